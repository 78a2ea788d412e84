"""Hong Kong by HTTP polling: FuShu, and the public quote services of Tencent and Sina.

Who FuShu is cannot be told from any public source; its dialect is taken from the one client
known to speak it. The other two are asked by many public clients, without a promise from either.
Each is a venue of its own: what one prints another may not.

Source: see `fushu_frames`; limits are our own restraint, as none are published, 2026-11-21.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters.fushu_frames import (
    HONG_KONG,
    Answer,
    parse_fushu,
    parse_sina,
    parse_tencent,
)
from feedplane_feeder.core.aside import set_aside
from feedplane_feeder.core.looks import Watched, channels_of
from feedplane_feeder.core.placement import place_channels, plan_connections
from feedplane_feeder.core.polling import (
    SECOND_NS,
    HttpTerms,
    Poll,
    PollPlan,
    render_plan,
    split_answer,
)
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    Clock,
    ConnectionPlan,
    Due,
    Fetch,
    Outgoing,
    Received,
    Refusal,
    SnapshotRequest,
    Transport,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import BookDelta, ChannelKind
from feedplane_feeder.transports.http_polling import PollingTransport

MISSES_REFUSED: Final = 2
"""A symbol that is absent from so many answers is unknown; one may belong to an older question."""
MISSES_AGAIN: Final = 60
"""It is refused anew after so many more, should somebody have asked for it again meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is true of one of the services."""

    venue: str
    endpoints: Endpoints
    capabilities: Capabilities
    path: str
    """What the symbols stand behind."""
    symbol_form: str
    """How a symbol is spelled there."""
    parse: Callable[[bytes], Answer]
    period_ns: int
    batch: int
    """Symbols in one request."""
    terms: HttpTerms = field(default_factory=HttpTerms)

    def url(self, base: str, symbols: Sequence[str]) -> str:
        """Return the request for some symbols."""
        names = ",".join(self.symbol_form.format(symbol) for symbol in symbols)
        return f"{base}{self.path}{names}"


class FushuSession:
    """See `Session`: one plan of polls, and what its answers say."""

    def __init__(self, dialect: Dialect, plan: ConnectionPlan, limits: VenueLimits) -> None:
        self._dialect = dialect
        self._base = plan.url.partition(dialect.path)[0]
        self._spacing_ns = SECOND_NS // max(1, limits.control_messages_per_second)
        self._watched: dict[str, Watched] = {}
        self._batches: dict[str, tuple[Channel, ...]] = {}
        self._plan_due = False
        self.want(plan.channels)

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        self._plan_due = True

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`."""
        wanted: dict[str, list[Channel]] = {}
        for channel in channels:
            wanted.setdefault(channel.symbol, []).append(channel)
        for symbol in [symbol for symbol in self._watched if symbol not in wanted]:
            del self._watched[symbol]
        for symbol, of_symbol in wanted.items():
            if symbol not in self._watched:
                instrument_id = format_instrument_id(symbol, self._dialect.venue)
                self._watched[symbol] = Watched(instrument_id, HONG_KONG)
            self._watched[symbol].want(of_symbol)
        stand_ins = [Channel(symbol, "") for symbol in wanted]
        self._batches = place_channels(stand_ins, self._batches, "batch", self._dialect.batch)
        self._plan_due = True

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`: it is asked for all the time."""
        watched = self._watched.get(channel.symbol)
        if watched is not None:
            watched.renew(channel)
            watched.misses = 0

    def unsubscribe_all(self) -> None:
        """See `Session`."""
        self.want(())

    def frame_counts(self) -> Mapping[Channel, int]:
        """See `Session`."""
        return {
            channel: watched.frames
            for watched in self._watched.values()
            for channel in watched.channels
        }

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        if not self._plan_due:
            return Due()
        self._plan_due = False
        polls = tuple(
            Poll(key, self._dialect.url(self._base, [channel.symbol for channel in batch]))
            for key, batch in self._batches.items()
        )
        period_ns = max(self._dialect.period_ns, len(polls) * self._spacing_ns)
        plan = PollPlan(period_ns=period_ns, spacing_ns=self._spacing_ns, polls=polls)
        return Due(outgoing=[Outgoing(render_plan(plan))])

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        for frame in frames:
            try:
                head, body = split_answer(frame)
                answer = self._dialect.parse(body)
            except MalformedFrameError as error:
                self._set_aside(frame, ts_recv, error, received)
                continue
            received.late_polls += head.late
            self._take(answer, self._batches.get(head.poll, ()), ts_recv, received)
        return received

    def _take(
        self, answer: Answer, batch: Sequence[Channel], ts_recv: int, received: Received
    ) -> None:
        for symbol, look in answer.looks.items():
            watched = self._watched.get(symbol)
            if watched is None:
                continue
            try:
                watched.take(look, ts_recv, received)
            except ImpossibleValueError as error:
                answer.refused.append((symbol, error.reason, str(look)))
        met = {symbol for symbol, _, _ in answer.refused}
        for symbol, reason, text in answer.refused:
            watched = self._watched.get(symbol)
            if watched is not None:
                watched.set_aside(self._dialect.venue, reason, text, ts_recv, received)
        for channel in batch:
            if channel.symbol not in answer.looks and channel.symbol not in met:
                self._miss(channel.symbol, received)

    def _miss(self, symbol: str, received: Received) -> None:
        watched = self._watched[symbol]
        watched.misses += 1
        if watched.frames == 0 and watched.misses % MISSES_AGAIN == MISSES_REFUSED:
            received.refusals.extend(
                Refusal(channel=channel, reason="VenueRefused", message="not in the answer")
                for channel in watched.channels
            )

    # An answer that cannot be read may have told of any instrument.
    def _set_aside(self, frame: bytes, ts_recv: int, error: Exception, received: Received) -> None:
        suspects = channels_of(self._watched.values())
        set_aside(received, frame, ts_recv, error, venue=self._dialect.venue, suspects=suspects)


class FushuAdapter:
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

        # The first symbol alone: opening a connection asks once.
        def url_of(channels: Sequence[Channel]) -> str:
            return self._dialect.url(base, [channels[0].symbol])

        return plan_connections(wanted, current, "polls", limits.streams_per_connection, url_of)

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> FushuSession:
        """See `Adapter`."""
        return FushuSession(self._dialect, plan, limits)

    def transport(self, clock: Clock, websocket: Callable[[], Transport]) -> Transport:
        """See `Adapter`."""
        return PollingTransport(self._dialect.terms, clock)

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...] | None:
        """See `Adapter`: none of the services has a list."""
        return None

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """See `Adapter`; never asked, as there is no book channel."""
        raise ImpossibleValueError("NoBook")

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """See `Adapter`."""
        raise MalformedFrameError("no book at this venue", body)


def _limits(requests_per_second: int) -> VenueLimits:
    return VenueLimits(
        control_messages_per_second=requests_per_second,
        streams_per_connection=8_192,
        connects_per_five_minutes=60,
        request_weight_per_minute=60 * requests_per_second,
        connection_life_seconds=7 * 86_400,
        ping_timeout_seconds=60,
        source="no limits are published; our own restraint, 2026-11-21",
    )


FUSHU: Final = FushuAdapter(
    Dialect(
        venue="fushu",
        endpoints=Endpoints(stream="https://api.fushu.com", rest="https://api.fushu.com"),
        capabilities=Capabilities(
            channels=frozenset({ChannelKind.QUOTE, ChannelKind.SNAPSHOT}),
            transport=TransportKind.HTTP_POLLING,
            limits=_limits(2),
            needs_credentials=True,
            credential_headers={"apiKey": "Authorization: Bearer "},
        ),
        path="/v1/tick?symbols=",
        symbol_form="{}.HK",
        parse=parse_fushu,
        period_ns=3 * SECOND_NS,
        batch=500,
        terms=HttpTerms(headers={"Content-Type": "application/json"}),
    )
)
TENCENT: Final = FushuAdapter(
    Dialect(
        venue="fushu-tencent",
        endpoints=Endpoints(stream="https://qt.gtimg.cn", rest="https://qt.gtimg.cn"),
        capabilities=Capabilities(
            channels=frozenset({ChannelKind.SNAPSHOT}),
            transport=TransportKind.HTTP_POLLING,
            limits=_limits(5),
        ),
        path="/q=",
        symbol_form="r_hk{}",
        parse=parse_tencent,
        period_ns=3 * SECOND_NS,
        batch=60,  # public clients ask for no more at once
    )
)
SINA: Final = FushuAdapter(
    Dialect(
        venue="fushu-sina",
        endpoints=Endpoints(stream="https://hq.sinajs.cn", rest="https://hq.sinajs.cn"),
        capabilities=Capabilities(
            channels=frozenset({ChannelKind.SNAPSHOT}),
            transport=TransportKind.HTTP_POLLING,
            limits=_limits(5),
        ),
        path="/list=",
        symbol_form="rt_hk{}",
        parse=parse_sina,
        period_ns=3 * SECOND_NS,
        batch=100,
        # Without it every answer is 403.
        terms=HttpTerms(headers={"Referer": "https://finance.sina.com.cn"}),
    )
)
ADAPTERS: Final = (FUSHU, SINA, TENCENT)
