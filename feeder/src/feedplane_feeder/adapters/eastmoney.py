"""EastMoney: Shanghai, Shenzhen and Beijing shares, pushed; klines by `eastmoney_history`.

Lists of quotes are pushed as server-sent events; an endpoint `wss://` takes the WebSocket dialect
instead. The venue publishes no limits and bans addresses for the better part of a day: streams
are few and opened one after the other, and a ban is waited out.

Source: public clients (akshare 1.19, efinance 0.5) and reports of bans, read 2026-11-21.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters import eastmoney_list
from feedplane_feeder.adapters.eastmoney_frames import FIELDS, secid
from feedplane_feeder.adapters.eastmoney_session import PushSession, SocketSession
from feedplane_feeder.core.placement import plan_connections
from feedplane_feeder.core.polling import HttpTerms
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    Clock,
    ConnectionPlan,
    Fetch,
    SnapshotRequest,
    StreamConnection,
    StreamListener,
    Transport,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import BookDelta, ChannelKind
from feedplane_feeder.transports.server_sent_events import EventTransport

VENUE: Final = "eastmoney"
PUSH_PATH: Final = "/api/qt/ulist/sse"
SOCKET_PATH: Final = "/ws/qt/stock/klt.min"
TERMS: Final = HttpTerms(
    headers={
        "Accept": "text/event-stream",
        "Referer": "https://quote.eastmoney.com/",
    },
    spacing_seconds=0.25,
    # A banned address is cut off without an answer, for 20 hours and more.
    resets_to_ban=3,
    ban_seconds=1_800.0,
    source="reports of akshare's users; none by the venue",
)
LIMITS: Final = VenueLimits(
    control_messages_per_second=10,
    streams_per_connection=500,
    connects_per_five_minutes=60,
    request_weight_per_minute=60,
    connection_life_seconds=7 * 86_400,
    ping_timeout_seconds=60,
    source="no limits are published; 500 codes a list as public clients ask, 2026-11-21",
)


class PushOrSocket:
    """See `Transport`: by the address's scheme."""

    def __init__(self, clock: Clock, websocket: Callable[[], Transport]) -> None:
        self._push = EventTransport(TERMS, clock)
        self._websocket = websocket
        self._socket: Transport | None = None

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> StreamConnection:
        """See `Transport`."""
        if not url.startswith("ws"):
            return await self._push.connect(url, headers, listener)
        self._socket = self._socket or self._websocket()
        return await self._socket.connect(url, headers, listener)


class EastMoneyAdapter:
    """See `Adapter`."""

    venue = VENUE
    endpoints = Endpoints(
        stream="https://push2.eastmoney.com", rest="https://push2his.eastmoney.com"
    )
    capabilities = Capabilities(
        channels=frozenset({ChannelKind.SNAPSHOT}),
        transport=TransportKind.SERVER_SENT_EVENTS,
        limits=LIMITS,
        instruments=eastmoney_list.TERMS,
    )

    def instrument_id(self, symbol: str) -> str:
        """See `Adapter`."""
        return format_instrument_id(symbol, self.venue)

    def connections(
        self,
        wanted: Sequence[Channel],
        current: Sequence[ConnectionPlan],
        endpoints: Endpoints,
        limits: VenueLimits,
    ) -> tuple[ConnectionPlan, ...]:
        """See `Adapter`."""
        base = (endpoints.stream or self.endpoints.stream or "").rstrip("/")
        capacity = limits.streams_per_connection
        return plan_connections(wanted, current, "push", capacity, partial(_url, base))

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> PushSession | SocketSession:
        """See `Adapter`."""
        if plan.url.startswith("ws"):
            return SocketSession(self.venue, plan, limits)
        base = plan.url.partition(PUSH_PATH)[0]
        return PushSession(self.venue, plan, partial(_push_url, base))

    def transport(self, clock: Clock, websocket: Callable[[], Transport]) -> Transport:
        """See `Adapter`."""
        return PushOrSocket(clock, websocket)

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...] | None:
        """See `Adapter`; the push says which of all other names it does not know."""
        return await eastmoney_list.read_list(fetch)

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """See `Adapter`; never asked, as there is no book channel."""
        raise ImpossibleValueError("NoBook")

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """See `Adapter`."""
        raise MalformedFrameError("no book at this venue", body)


def _url(base: str, channels: Sequence[Channel]) -> str:
    if base.startswith("ws"):
        return f"{base}{SOCKET_PATH}"
    return _push_url(base, sorted({secid(channel.symbol) for channel in channels}))


def _push_url(base: str, secids: Sequence[str]) -> str:
    fields = ",".join(FIELDS)
    return f"{base}{PUSH_PATH}?fltt=2&invt=2&fields={fields}&secids={','.join(secids)}"


ADAPTER: Final = EastMoneyAdapter()
