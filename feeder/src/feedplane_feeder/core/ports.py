"""What the core asks of the outside: adapter, session, sink, election, clock.

The shapes every venue and every store must fit. Must not name any of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.core.batches import NO_EPOCH as NO_EPOCH
from feedplane_feeder.core.batches import Batch as Batch
from feedplane_feeder.core.batches import PublisherSession as PublisherSession
from feedplane_feeder.core.batches import Takeover as Takeover
from feedplane_feeder.core.batches import Watermark as Watermark
from feedplane_feeder.core.batches import Written as Written
from feedplane_feeder.core.instrument_list import InstrumentList as InstrumentList
from feedplane_feeder.core.roles import Demoted as Demoted
from feedplane_feeder.core.roles import Election as Election
from feedplane_feeder.core.roles import Promoted as Promoted
from feedplane_feeder.core.roles import Seat as Seat
from feedplane_feeder.records import BookDelta, Gap, Quarantined, Record


@dataclass(frozen=True, slots=True, order=True)
class Channel:
    """One (kind, instrument) subscription with its own sequence, as the should-list names it."""

    symbol: str
    """Instrument without venue suffix, for instance `BTCUSDT`."""
    name: str
    """`trade`, `quote`, `book`, `metric`, `snapshot` or `bar-<interval>`."""


class TransportKind(StrEnum):
    """How a venue's frames reach us; one transport file each."""

    WEBSOCKET = "websocket"
    HTTP_POLLING = "http-polling"
    SERVER_SENT_EVENTS = "server-sent-events"
    LIBRARY = "library"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueLimits:
    """A venue's documented limits; each adapter gives the source beside its numbers."""

    control_messages_per_second: int
    streams_per_connection: int
    connects_per_five_minutes: int
    request_weight_per_minute: int
    connection_life_seconds: int
    """The venue ends a connection at this age."""
    ping_timeout_seconds: int
    """Nothing at all received for this long means the socket is dead."""
    sessions_per_account: int | None = None
    """How many logins an account may have at once; None means any number."""
    source: str = ""
    """Where the venue states them, and when that was read."""


class Proof(StrEnum):
    """How far an adapter is proven; each includes the ones before it."""

    CONSTRUCTED = "constructed"
    """Against frames and a simulator made from the venue's documentation."""
    RECORDED = "recorded"
    """Against frames that the venue itself sent."""
    TRIED_LIVE = "tried live"
    """Connected to the venue itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue can do, told once by its adapter."""

    channels: frozenset[str]
    """Channel kinds, see `ChannelKind`."""
    transport: TransportKind
    limits: VenueLimits
    bar_intervals: frozenset[str] = frozenset()
    """Intervals a `bar-<interval>` channel may have."""
    needs_credentials: bool = False
    dense_bars: bool = True
    """Whether there is a bar for each interval; else one without trades has none."""
    numbered: frozenset[str] = frozenset({"trade", "book"})
    """Channel kinds whose ids are a run without holes, so that a missing one shows."""
    used_weight_header: str | None = None
    """REST answer header with the request weight used in this minute."""
    banned_until_pattern: str | None = None
    """Regular expression for the end of a ban in a REST answer, group 1 in Unix milliseconds."""
    credentials_refused_pattern: str | None = None
    """Regular expression found in a REST answer that refuses the credentials."""
    credential_headers: Mapping[str, str] = field(default_factory=dict)
    """Credential key -> header that carries it, in handshakes and requests; others stay unsent.

    `Authorization: Bearer ` is a header with what stands before the value.
    """
    instruments: InstrumentList | None = None
    """The list that `Adapter.instruments` reads; None where it returns None."""
    proof: Proof = Proof.CONSTRUCTED
    """How far this adapter is proven; the page of venues says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPlan:
    """One connection: where to, and which channels on it."""

    key: str
    """Stable name of the connection within the worker, for instance `public-0`."""
    url: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One frame to send now."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """How to fetch the full state of one channel (book synchronisation)."""

    channel: Channel
    path: str
    """REST path with query, relative to the REST endpoint."""
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The venue refused a channel."""

    channel: Channel
    reason: str
    message: str


class ControlKind(StrEnum):
    """What a session asks its owner to do with the connection."""

    ROTATE = "rotate"
    """Replace this connection, new one first (the venue announced its end)."""
    RECONNECT = "reconnect"
    """Drop this connection now and open another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A request about the connection itself."""

    kind: ControlKind
    reason: str


@dataclass(slots=True, kw_only=True)
class Received:
    """What a batch of frames was turned into. Lists are fresh for each call.

    Records stand in the order of their frames. Whether a sequence jumped is not judged here: the
    tape does that, over all connections of a channel.
    """

    records: list[Record] = field(default_factory=list)
    acknowledged: list[Channel] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    unreadable: dict[Channel, str] = field(default_factory=dict)
    """Channels, with their instrument_id, that a frame set aside may have belonged to."""
    interrupted: dict[Channel, str] = field(default_factory=dict)
    """Channels, with their instrument_id, that the venue took back and that will come again."""
    answered: bool = False
    """Whether the session may have more to send now."""
    controls: list[Control] = field(default_factory=list)
    unchanged: int = 0
    """Answers and channels that came and said what was known: signs of life, but no records."""
    late_polls: int = 0
    """Polls that went out late or not at all, since the last frames."""


@dataclass(slots=True, kw_only=True)
class Due:
    """What a session wants to send now and when it wants to be asked again."""

    outgoing: list[Outgoing] = field(default_factory=list)
    again_ns: int | None = None
    """Time at which to call `due` again at the latest; None means only after other events."""


class Session(Protocol):
    """One connection's protocol, sans-I/O: no socket, no clock, no task."""

    def opened(self, now_ns: int) -> None:
        """Tell that the connection is open."""

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """Turn a batch of frames into records, acknowledgements, refusals and controls."""

    def due(self, now_ns: int) -> Due:
        """Return what to send now, within the venue's limits, and when to ask again."""

    def want(self, channels: Sequence[Channel]) -> None:
        """Set the channels this connection should carry; the difference goes out through `due`."""

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe one channel again, alone."""

    def unsubscribe_all(self) -> None:
        """Take every channel back, before a clean end."""

    def frame_counts(self) -> Mapping[Channel, int]:
        """Return how many good frames each channel has delivered on this connection."""


class StreamListener(Protocol):
    """Who is told about frames."""

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        """Take the frames of one read off the socket."""


class StreamConnection(Protocol):
    """One open connection of a transport."""

    @property
    def last_read_ns(self) -> int:
        """When anything at all was read last, pings included."""

    async def run(self) -> str:
        """Read until the connection ends; why it ended, in a few words."""

    def send(self, text: str) -> None:
        """Send one frame; after the end it goes nowhere."""

    def pause_reading(self) -> None:
        """Leave what comes in the socket, so that the venue's side feels the pressure."""

    def resume_reading(self) -> None:
        """Read on."""

    async def close(self) -> None:
        """Say good-bye and hang up."""


@runtime_checkable
class RestingConnection(Protocol):
    """A connection that asks the venue again and again, and can leave it in peace."""

    def rest(self, until_ns: int) -> None:
        """Ask nothing that was answered already until then; a time that has passed ends a rest."""


class Transport(Protocol):
    """How sockets are opened."""

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> StreamConnection:
        """Open a connection.

        Raises:
            VenueUnavailableError: it did not open; VenueThrottledError says when to try again.
        """


Fetch = Callable[[str, int], Awaitable[bytes]]
"""Fetch a REST path (relative, with query) at a request weight; the answer's body."""


class Adapter(Protocol):
    """One venue. Pure but for `instruments`, which fetches through what it is given."""

    venue: str
    capabilities: Capabilities
    endpoints: Endpoints
    """The venue's own addresses, used where the configuration names none."""

    def instrument_id(self, symbol: str) -> str:
        """Return the stable identity `SYMBOL.VENUE` of a symbol."""

    def connections(
        self,
        wanted: Sequence[Channel],
        current: Sequence[ConnectionPlan],
        endpoints: Endpoints,
        limits: VenueLimits,
    ) -> tuple[ConnectionPlan, ...]:
        """Place channels on connections: within limits; what is placed stays where it is."""

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> Session:
        """Return a new session for one connection."""

    def transport(self, clock: "Clock", websocket: Callable[[], Transport]) -> Transport:
        """Return how this venue is reached; `websocket` makes the feeder's own engine.

        A session and its transport may agree on any text: what the session sends steers it.
        """

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...] | None:
        """Return the venue's instrument list, normalized; None where it has none.

        Without a list every named instrument is taken on trust.
        """

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """Return how to ask for the full book of an instrument."""

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """Read the answer to a `SnapshotRequest`.

        Raises:
            MalformedFrameError: not a book.
        """


class Sink(Protocol):
    """A store or bus that refuses second copies."""

    name: str
    kind: str

    async def open(self) -> None:
        """Connect and make sure the tables exist; may be called again after a failure.

        Raises:
            SinkUnavailableError: not reachable now; try again.
            SinkRefusedError: can never work as it is.
        """

    async def write(self, batch: Batch) -> Written:
        """Write a batch, all of it or nothing.

        Raises:
            SinkUnavailableError: not written; the same batch may be written again.
        """

    async def last(
        self, channels: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Watermark]:
        """Return the newest held record of each (instrument_id, channel name) that has one."""

    async def open_gaps(self, since_ns: int) -> Sequence[Gap]:
        """Return this shard's feed source's gaps found since then and still open."""

    async def fill(self, gaps: Sequence[Gap], filled_by: str) -> int:
        """Mark what of these gaps is on the tape by now as filled; return how many changed.

        Ids and bars are looked up; for a gap in the time of quotes the caller vouches.
        """

    async def close(self) -> None:
        """Release the connection; never raises."""


class Clock(Protocol):
    """Wall time and waiting, so that tests can bend both."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
