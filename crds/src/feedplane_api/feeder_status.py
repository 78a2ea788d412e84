"""What a feeder answers: `FeederStatus` on `/status`, `Listing` on `/instruments`.

Both sides read these through `feedplane_api.worker`, beside the configuration they answer to.
Must not know how a feeder or the operator works.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, Field

from feedplane_api.contract import ContractModel, FeedSourceIdentity


class SessionState(StrEnum):
    """State of a worker's session: the worst of its connections that carry streams."""

    DISCONNECTED = "Disconnected"
    CONNECTING = "Connecting"
    SUBSCRIBING = "Subscribing"
    STREAMING = "Streaming"
    STALE = "Stale"


class ChannelState(StrEnum):
    """State of one wanted channel that is not live."""

    PENDING = "Pending"
    STALE = "Stale"
    REFUSED = "Refused"
    RETIRED = "Retired"


class ChannelProblem(ContractModel):
    """One wanted (instrument, channel) that is not live, and why."""

    symbol: str
    channel: str
    state: ChannelState
    reason: str
    """CamelCase word: AwaitingFirstFrame, Mute, NotListed, NotTrading, VenueRefused, ..."""
    since_time: datetime


class GapCount(ContractModel):
    """Ledger rows of one instrument and channel."""

    symbol: str
    channel: str
    open: int = 0
    filled: int = 0
    unfillable: int = 0
    missing: int | None = None
    """Trades whose numbers the ledger names and the tape lacks; None where no ledger is read."""


class RepairReport(ContractModel):
    """The ledgers' open rows of this shard, and what this process did about them."""

    open: int = 0
    filled: int = 0
    unfillable: int = 0
    rows: int = 0
    """Rows that filled them."""
    pending: bool = False
    """No ledger was read yet since this feeder publishes: its counts of gaps say nothing."""


class LargeGap(ContractModel):
    """An open row of the ledger that is too large for the feeder to fill by itself."""

    symbol: str
    channel: str
    start: AwareDatetime
    """The missing part lies from here, ..."""
    end: AwareDatetime
    """... to before here."""
    since_time: AwareDatetime
    """When it was found."""


class MissingDays(ContractModel):
    """Whole days that instruments lack of channels whose past can be fetched."""

    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    start: AwareDatetime
    """The midnight that their first day begins with, ..."""
    end: AwareDatetime
    """... and the one that their last day ends with."""


class SinkReport(ContractModel):
    """One sink as the feeder sees it; never part of the health verdict."""

    name: str
    kind: str
    connected: bool = False
    records_written: int = 0
    records_duplicate: int = 0
    records_quarantined: int = 0
    queued_records: int = 0
    spilled_bytes: int = 0
    lost_records: int = 0
    missed_snapshots: int = 0
    """Snapshots that another account wrote and this one, unbroken all the while, never had; at
    least so many, and only in a merged feed."""
    last_write_time: datetime | None = None
    last_error: str | None = None
    """Error class and text without any connection string."""


class CandidateReport(ContractModel):
    """Another account that could publish, as this feeder knows it from the Lease."""

    account: str
    healthy: bool = False
    reason: str = ""
    fresh: bool = False
    """Whether it was heard of lately."""


class BufferReport(ContractModel):
    """What a standby remembers, and what became of it."""

    records: int = 0
    seconds: int = 0
    """Age of the oldest record held."""
    replayed_records: int = 0
    """Records written from the buffer on promotions of this process."""
    dropped_records: int = 0
    """Records the bound of memory pushed out before their time."""


class ElectionReport(ContractModel):
    """Who publishes, as this feeder knows it."""

    active: bool = False
    holder: str | None = None
    """Account that holds the publisher Lease."""
    epoch: int = 0
    """Transitions of the Lease."""
    since_time: datetime | None = None
    reason: str | None = None
    api_reachable: bool = True
    unreachable_seconds: int = 0
    """How long the API server could not be reached, over this process's life."""
    last_failover_milliseconds: int | None = None
    """How long the tape stood still at this process's last promotion, by its rows."""
    candidates: tuple[CandidateReport, ...] = ()


class Coverage(ContractModel):
    """Wanted channels by state."""

    wanted: int = 0
    live: int = 0
    stale: int = 0
    refused: int = 0


class HealthReport(ContractModel):
    """The feeder's verdict on its own account."""

    healthy: bool
    reason: str
    message: str = ""
    definitive: bool = False
    """Whether waiting cannot help, so that no cooldown is owed: a refused login, a ban."""


class FeederStatus(ContractModel):
    """What a feeder answers on `/status`.

    Lists exceptions only: a wanted channel that is not in `problems` is live.
    """

    feed_source: FeedSourceIdentity
    venue: str
    account: str
    shard: int
    pod: str = ""
    version: str = ""
    start_time: datetime
    time: datetime
    config_hash: str = ""
    """`config_hash` of the WorkerConfig in force."""
    session: SessionState
    connections: int = 0
    health: HealthReport
    ready: bool = False
    coverage: Coverage
    problems: tuple[ChannelProblem, ...] = ()
    last_event_milliseconds: dict[str, int] = Field(default_factory=dict)
    """Per symbol: ts_recv of the newest record in any wanted channel, Unix milliseconds."""
    gaps: tuple[GapCount, ...] = ()
    repair: RepairReport = RepairReport()
    large_gaps: tuple[LargeGap, ...] = Field(default=(), max_length=500)
    """Open gaps that wait for a Backfill, the oldest first."""
    missing_days: tuple[MissingDays, ...] = Field(default=(), max_length=32)
    """Days that the check of the tape found missing and nobody has tried to fetch, the oldest
    first; as many of them as a report holds."""
    events_per_second: int = 0
    """Over the last ten seconds."""
    lag_milliseconds: int | None = None
    """Median of ts_recv minus ts_event over the last ten seconds."""
    event_loop_lag_milliseconds: int = 0
    reconnects: int = 0
    rotations: int = 0
    request_weight_used: int = 0
    banned_until_time: datetime | None = None
    election: ElectionReport = ElectionReport()
    buffer: BufferReport = BufferReport()
    sinks: tuple[SinkReport, ...] = ()


class ListedInstrument(ContractModel):
    """One line of the venue's instrument list."""

    symbol: str
    trading: bool
    """False when the venue lists it but does not trade it now."""


class Listing(ContractModel):
    """What a feeder answers on `/instruments`: the venue's list, normalized."""

    venue: str
    time: datetime
    instruments: tuple[ListedInstrument, ...]
