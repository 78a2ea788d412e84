"""What Binance's spot and USDⓈ-M markets have in common: addresses, placement, list, snapshots.

The two differ in a `Dialect`: which endpoint group carries which channel, paths and weights.

Source: binance-spot-api-docs rest-api.md and web-socket-streams.md; USDⓈ-M "Important WebSocket
Change Notice" (routed prefixes), read 2026-11-21.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters.binance_frames import nanoseconds
from feedplane_feeder.adapters.binance_session import BinanceSession
from feedplane_feeder.core.placement import plan_connections
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    Clock,
    ConnectionPlan,
    Fetch,
    SnapshotRequest,
    Transport,
    VenueLimits,
)
from feedplane_feeder.errors import MalformedFrameError
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import BookDelta, ChannelKind

CHANNELS: Final = frozenset(
    {ChannelKind.TRADE, ChannelKind.QUOTE, ChannelKind.BAR, ChannelKind.BOOK}
)
BAR_INTERVALS: Final = frozenset(
    "1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M".split()  # noqa: SIM905 - reads better
)
USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
BANNED_UNTIL_PATTERN: Final = r"banned until (\d{13})"
# -1022: signature, -2014: key format, -2015: key, address or permission. Source: errors.md.
CREDENTIALS_REFUSED_PATTERN: Final = r'"code"\s*:\s*-(1022|2014|2015)\b'
CREDENTIAL_HEADERS: Final = {"apiKey": "X-MBX-APIKEY", "api_key": "X-MBX-APIKEY"}
SNAPSHOT_LEVELS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is true of one of the two markets."""

    venue: str
    endpoints: Endpoints
    capabilities: Capabilities
    groups: Mapping[str, str]
    """Channel kind -> endpoint group; a connection carries one group."""
    paths: Mapping[str, str]
    """Endpoint group -> path of its combined streams."""
    instruments_path: str
    instruments_weight: int
    depth_path: str
    depth_weight: int
    tagged_quotes: bool
    """Whether the frames of quotes say that they are."""


class _Symbol(Struct):
    symbol: str
    status: str


class _ExchangeInfo(Struct):
    symbols: list[_Symbol]


class _Depth(Struct):
    lastUpdateId: Annotated[int, Meta(ge=0, le=2**63 - 1)]  # noqa: N815 - the venue's key
    bids: Raw
    asks: Raw
    T: int = 0


class BinanceAdapter:
    """See `Adapter`."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.venue = dialect.venue
        self.capabilities = dialect.capabilities
        self.endpoints = dialect.endpoints

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
        plans: list[ConnectionPlan] = []
        for group, path in sorted(self._dialect.paths.items()):
            plans += plan_connections(
                [channel for channel in wanted if self._group(channel) == group],
                [plan for plan in current if _prefix(plan.key) == group],
                group,
                limits.streams_per_connection,
                f"{base}{path}",
            )
        return tuple(plans)

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> BinanceSession:
        """See `Adapter`."""
        return BinanceSession(
            self.venue,
            plan.channels,
            limits,
            self.instrument_id,
            tagged_quotes=self._dialect.tagged_quotes,
        )

    def transport(self, clock: Clock, websocket: Callable[[], Transport]) -> Transport:
        """See `Adapter`."""
        return websocket()

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...]:
        """See `Adapter`."""
        body = await fetch(self._dialect.instruments_path, self._dialect.instruments_weight)
        try:
            info = msgspec.json.decode(body, type=_ExchangeInfo)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        return tuple(
            ListedInstrument(symbol=listed.symbol, trading=listed.status == "TRADING")
            for listed in info.symbols
        )

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """See `Adapter`."""
        return SnapshotRequest(
            channel=Channel(symbol, ChannelKind.BOOK),
            path=f"{self._dialect.depth_path}?symbol={symbol}&limit={SNAPSHOT_LEVELS}",
            weight=self._dialect.depth_weight,
        )

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """See `Adapter`."""
        try:
            depth = msgspec.json.decode(body, type=_Depth)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), body) from error
        return BookDelta(
            instrument_id=self.instrument_id(request.channel.symbol),
            ts_event=nanoseconds(depth.T) if depth.T > 0 else ts_recv,
            ts_recv=ts_recv,
            first_id=depth.lastUpdateId,
            last_id=depth.lastUpdateId,
            previous_last_id=None,
            bids=depth.bids,
            asks=depth.asks,
            snapshot=True,
        )

    def _group(self, channel: Channel) -> str:
        return self._dialect.groups[channel.name.partition("-")[0]]


def _prefix(key: str) -> str:
    return key.rpartition("-")[0]
