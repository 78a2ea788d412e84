"""What a feeder answers: `FeederStatus` on `/status`, `Listing` on `/instruments`.

Both sides read these through `feedplane_api.worker`, beside the configuration they answer to.
Must not know how a feeder or the operator works.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

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
    last_write_time: datetime | None = None
    last_error: str | None = None
    """Error class and text without any connection string."""


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
