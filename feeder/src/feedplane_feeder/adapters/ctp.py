"""CTP, the Chinese futures exchanges' common interface, and its sister for stock options.

Fronts belong to brokers, so there is no address of the venue's own; the list of instruments comes
from a public dictionary unless another address is configured.

Source: API manual 6.7 and broker practice (limits); openctp.cn/instruments.html (list); read
2026-11-21.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters.ctp_fields import FUTURES, OPTIONS, Layout
from feedplane_feeder.adapters.ctp_session import CtpSession
from feedplane_feeder.adapters.ctp_transport import (
    BROKER_HEADER,
    PASSWORD_HEADER,
    USER_HEADER,
    CtpTransport,
)
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.placement import plan_connections
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    Clock,
    ConnectionPlan,
    Fetch,
    SnapshotRequest,
    Transport,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.errors import MalformedFrameError
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import BookDelta, ChannelKind

LISTED: Final = "1"
"""InstLifePhase of an instrument that trades."""
LIMITS: Final = VenueLimits(
    control_messages_per_second=1,  # of 500 instruments each
    streams_per_connection=10_000,
    connects_per_five_minutes=100,
    request_weight_per_minute=60,
    connection_life_seconds=7 * 86_400,
    ping_timeout_seconds=30,  # the library's process says every 2 s that it is alive
    source="API manual 6.7 (flow control), brokers' practice; read 2026-11-21",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is true of one of the two interfaces."""

    venue: str
    layout: Layout
    package: str
    """Python package with the binding of the native library."""
    list_path: str


class _Instrument(Struct):
    InstrumentID: str
    InstLifePhase: str = LISTED


class _Dictionary(Struct):
    data: list[_Instrument]


class CtpAdapter:
    """See `Adapter`."""

    endpoints = Endpoints(stream="tcp://", rest="http://dict.openctp.cn")
    capabilities = Capabilities(
        channels=frozenset({ChannelKind.SNAPSHOT}),
        transport=TransportKind.LIBRARY,
        limits=LIMITS,
        credential_headers={
            "brokerId": BROKER_HEADER,
            "userId": USER_HEADER,
            "password": PASSWORD_HEADER,
        },
        instruments=InstrumentList(holds="the contracts of openctp's public dictionary"),
    )

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.venue = dialect.venue

    def instrument_id(self, symbol: str) -> str:
        """See `Adapter`; letter case is part of a symbol here."""
        return format_instrument_id(symbol, self.venue)

    def connections(
        self,
        wanted: Sequence[Channel],
        current: Sequence[ConnectionPlan],
        endpoints: Endpoints,
        limits: VenueLimits,
    ) -> tuple[ConnectionPlan, ...]:
        """See `Adapter`."""
        url = endpoints.stream or self.endpoints.stream or ""
        return plan_connections(wanted, current, "front", limits.streams_per_connection, url)

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> CtpSession:
        """See `Adapter`."""
        layout = self._dialect.layout
        return CtpSession(self.venue, plan.channels, limits, self.instrument_id, layout)

    def transport(self, clock: Clock, websocket: Callable[[], Transport]) -> Transport:
        """See `Adapter`."""
        size = self._dialect.layout.struct.size
        return CtpTransport(clock, package=self._dialect.package, depth_bytes=size)

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...] | None:
        """See `Adapter`."""
        body = await fetch(self._dialect.list_path, 1)
        try:
            dictionary = msgspec.json.decode(body, type=_Dictionary)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        return tuple(
            ListedInstrument(symbol=each.InstrumentID, trading=each.InstLifePhase == LISTED)
            for each in dictionary.data
        )

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """See `Adapter`; there is no book here, so nobody asks."""
        return SnapshotRequest(channel=Channel(symbol, ChannelKind.BOOK), path="", weight=1)

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """See `Adapter`; nothing that comes can be a book."""
        raise MalformedFrameError("the venue has no books", body)


ADAPTER: Final = CtpAdapter(
    Dialect(
        venue="ctp",
        layout=FUTURES,
        package="openctp_ctp",
        list_path="/instruments?types=futures,option&markets=SHFE,INE,DCE,CZCE,CFFEX,GFEX",
    )
)
OPTIONS_ADAPTER: Final = CtpAdapter(
    Dialect(
        venue="ctp-sopt",
        layout=OPTIONS,
        package="openctp_sopt",
        list_path="/instruments?types=option&markets=SSE,SZSE",
    )
)
