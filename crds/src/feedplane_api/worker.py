"""The contract between operator and feeder: the file one renders, the answer the other gives.

`WorkerConfig` is the whole configuration of one feeder process (one account, one shard).
`FeederStatus` is what the feeder answers on `/status`; `Listing` what it answers on
`/instruments`. Must not know Kubernetes objects or how either side works.
"""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from feedplane_api.contract import ContractModel
from feedplane_api.contract import FeedSourceIdentity as FeedSourceIdentity
from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.feeder_status import BufferReport as BufferReport
from feedplane_api.feeder_status import CandidateReport as CandidateReport
from feedplane_api.feeder_status import ChannelProblem as ChannelProblem
from feedplane_api.feeder_status import ChannelState as ChannelState
from feedplane_api.feeder_status import Coverage as Coverage
from feedplane_api.feeder_status import ElectionReport as ElectionReport
from feedplane_api.feeder_status import FeederStatus as FeederStatus
from feedplane_api.feeder_status import GapCount as GapCount
from feedplane_api.feeder_status import HealthReport as HealthReport
from feedplane_api.feeder_status import LargeGap as LargeGap
from feedplane_api.feeder_status import ListedInstrument as ListedInstrument
from feedplane_api.feeder_status import Listing as Listing
from feedplane_api.feeder_status import MissingDays as MissingDays
from feedplane_api.feeder_status import RepairReport as RepairReport
from feedplane_api.feeder_status import SessionState as SessionState
from feedplane_api.feeder_status import SinkReport as SinkReport
from feedplane_api.market_hours import MarketHours as MarketHours

WORKER_CONFIG_VERSION = 1

Symbol = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,32}$")]
ChannelName = Annotated[
    str,
    Field(
        pattern=r"^(trade|quote|book|metric|snapshot"
        r"|bar-(1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M))$"
    ),
]


class Endpoints(ContractModel):
    """Where the venue is reached; what is absent is the adapter's own default."""

    stream: str | None = None
    """Base URL of the stream, for instance `wss://stream.example:9443`."""
    rest: str | None = None
    """Base URL of the REST interface."""
    archive: str | None = None
    """Base URL of the archive of past days."""


class AccountIdentity(ContractModel):
    """The account a worker logs in with."""

    name: str = "local"
    """Name of the account, as the FeedSource lists it."""
    preference: int = Field(default=0, ge=0)
    """Position in the FeedSource's list; 0 is the preferred account."""


class Wanted(ContractModel):
    """One line of the should-list: one instrument and its channels."""

    symbol: Symbol
    """The instrument without its venue suffix, as the Subscription wrote it."""
    channels: tuple[ChannelName, ...] = Field(min_length=1)
    """Channels of this instrument, for instance `trade` or `bar-1m`."""
    manual_repair: tuple[ChannelName, ...] = ()
    """Those whose gaps are left open until a person fills them."""


class Selector(ContractModel):
    """Globs over the venue's own instrument list; used only where no operator expands them."""

    include: tuple[str, ...] = Field(min_length=1)
    """Globs; a symbol that one of them matches is wanted."""
    exclude: tuple[str, ...] = ()
    """Globs; a symbol that one of them matches is left out."""
    max_instruments: int = Field(default=1000, ge=1, le=100_000)
    """At most so many symbols, in alphabetical order."""
    channels: tuple[ChannelName, ...] = Field(min_length=1)
    """Channels of every instrument chosen."""


class FailoverMode(StrEnum):
    """What the accounts that are not active do."""

    MERGED = "Merged"
    HOT = "Hot"
    WARM = "Warm"
    COLD = "Cold"


class Failback(StrEnum):
    """Whether the preferred account takes over again by itself."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class FailoverPolicy(ContractModel):
    """Who may publish and when that moves; taken over live."""

    accounts: tuple[str, ...] = ()
    """Every account in order of preference; empty where there is no other."""
    active_account: str | None = None
    """The account a person wants active; absent leaves the choice to failover."""
    maintenance: tuple[str, ...] = ()
    """Accounts a person took out of service."""
    failback: Failback = Failback.AUTOMATIC
    """Whether a more preferred account takes over again by itself."""
    failback_after_seconds: int = Field(default=300, ge=0)
    """How long it must have been healthy before it does."""
    cooldown_seconds: int = Field(default=30, ge=0)
    """Least time between two failovers that nobody was forced into."""
    failure_threshold: int = Field(default=2, ge=1)
    """Checks in a row that must fail before an account counts as unhealthy."""
    success_threshold: int = Field(default=3, ge=1)
    """Checks in a row that must pass before it counts as healthy again."""


class ElectionConfig(ContractModel):
    """The Leases and their timings; absent in a configuration without a cluster."""

    namespace: str
    """Namespace of the Lease."""
    lease_name: str
    """Name of the publisher Lease."""
    account_lease_name: str | None = None
    """Name of the Lease that allows the account's one session; absent where many are allowed."""
    mode: FailoverMode = FailoverMode.HOT
    """What this feeder does while it is not active."""
    lease_duration_seconds: int = 6
    """A Lease not renewed for this long is free."""
    renew_deadline_seconds: int = 4
    """After this long without an answer the API server counts as unreachable."""
    retry_period_seconds: int = 1
    """How often the Lease is renewed or looked at."""


class ConfigMapRef(ContractModel):
    """The ConfigMap this configuration came from, watched for live changes."""

    namespace: str
    """Namespace of the ConfigMap."""
    name: str
    """Name of the ConfigMap."""


class SessionConfig(ContractModel):
    """How connections are judged and renewed."""

    stale_after_seconds: int = Field(default=15, ge=1)
    """An acknowledged stream that stays mute this long, against its own rate, is stale."""
    minimum_coverage_percent: int = Field(default=90, ge=0, le=100)
    """An account with a smaller part of its channels live is not healthy."""
    rotate_after_seconds: int = Field(default=82_800, ge=10)
    """Connections are replaced, new one first, at this age (the venues' hard end is 24 h)."""
    replay_buffer_seconds: int = Field(default=30, ge=0)
    """How much a standby keeps in memory."""
    instruments_refresh_seconds: int = Field(default=300, ge=5)
    """How often the venue's instrument list is read again."""
    check_days: int = Field(default=0, ge=0, le=366)
    """Whole days of the tape that are looked at when the feeder starts; 0 looks at none."""
    hours: MarketHours | None = None
    """When data can be expected; absent where the market never closes."""


class Limits(ContractModel):
    """Tighter budgets than the venue's own; absent means the adapter's documented limit."""

    control_messages_per_second: int | None = Field(default=None, ge=1)
    """Messages a connection may send."""
    streams_per_connection: int | None = Field(default=None, ge=1)
    """Channels one connection carries."""
    connects_per_five_minutes: int | None = Field(default=None, ge=1)
    """Connections opened, all together."""
    request_weight_per_minute: int | None = Field(default=None, ge=1)
    """REST requests, in the venue's own weights."""
    sessions_per_account: int | None = Field(default=None, ge=1)
    """Logins an account may have at once."""
    backfill_share_percent: int = Field(default=50, ge=0, le=100)
    """Part of the request weight that backfills may use."""


class PostgresSinkConfig(ContractModel):
    """A PostgreSQL or TimescaleDB database."""

    kind: Literal["postgres"] = "postgres"
    """Kind of sink."""
    name: str = "postgres"
    """Name in logs, metrics and status."""
    dsn_path: str | None = None
    """File that holds the connection string (a mounted Secret key)."""
    dsn_env: str | None = None
    """Environment variable that holds the connection string; for runs without a cluster."""
    schema_name: str = Field(
        default="feedplane", alias="schema", pattern=r"^[a-z_][a-z0-9_]{0,62}$"
    )
    """Schema of the tables; made if it is not there."""
    chunk_interval_hours: int = Field(default=24, ge=1)
    """Hours that one chunk of a hypertable covers, of bars and metrics thirty times as many;
    without TimescaleDB of no effect."""
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """Days that rows of the data tables are kept; absent keeps all of them."""
    compress_after_days: int | None = Field(default=None, ge=1, le=36_500)
    """Age at which chunks are compressed, where the edition can; absent compresses nothing."""
    batch_rows: int = Field(default=5_000, ge=1)
    """A batch is written at so many rows, ..."""
    batch_milliseconds: int = Field(default=100, ge=1)
    """... or so long after its first one."""


class FileSinkConfig(ContractModel):
    """JSON lines in a folder, one file per channel and UTC day."""

    kind: Literal["file"] = "file"
    """Kind of sink."""
    name: str = "file"
    """Name in logs, metrics and status."""
    path: str
    """Folder the files are written to, or `-` for standard output."""


SinkConfig = Annotated[PostgresSinkConfig | FileSinkConfig, Field(discriminator="kind")]


class BufferConfig(ContractModel):
    """What stands between the session and a sink that is slow or away."""

    queue_records: int = Field(default=10_000, ge=100)
    """Records held in memory before they go to disk."""
    spill_path: str | None = None
    """Folder for records that the queue cannot hold; absent means no spill."""
    spill_mebibytes: int = Field(default=1_024, ge=1)
    """Bound of the spill; what does not fit is lost, and a gap in the ledger says so."""


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "Json"
    PLAIN = "Plain"


class WorkerConfig(ContractModel):
    """Everything one feeder process needs to know.

    `wanted`, `selectors`, `limits`, `session` and `policy` are taken over live; a change of any
    other field needs a new process.
    """

    version: Literal[1] = 1
    """Version of this format."""
    feed_source: FeedSourceIdentity = FeedSourceIdentity()
    """Whom this feeder works for."""
    venue: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=32)
    """Adapter name, for instance `binance-spot`."""
    account: AccountIdentity = AccountIdentity()
    """Which of the FeedSource's accounts this is."""
    shard: int = Field(default=0, ge=0)
    """Which part of the instruments this is."""
    endpoints: Endpoints = Endpoints()
    """Base URLs in place of the venue's own."""
    credentials_path: str | None = None
    """Folder with one file per credential key; absent where the venue needs none."""
    wanted: tuple[Wanted, ...] = ()
    """The should-list, instrument by instrument."""
    selectors: tuple[Selector, ...] = ()
    """The should-list by globs."""
    session: SessionConfig = SessionConfig()
    """How this feeder's connections are judged and renewed."""
    limits: Limits = Limits()
    """Tighter budgets than the venue's own."""
    sinks: tuple[SinkConfig, ...] = Field(min_length=1)
    """Where records go; every sink gets all of them."""
    buffer: BufferConfig = BufferConfig()
    """What stands before each sink."""
    election: ElectionConfig | None = None
    """The publisher Lease; without it this feeder always publishes."""
    policy: FailoverPolicy = FailoverPolicy()
    """Who may publish and when that moves."""
    config_map: ConfigMapRef | None = None
    """Where this configuration is watched; without it the file itself is."""
    http_port: int = Field(default=8000, ge=0, le=65_535)
    """Port of /healthz, /readyz, /status, /instruments and /metrics; 0 picks a free one."""
    log_format: LogFormat = LogFormat.JSON
    """How log lines are written, to standard error."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe lines that are written."""


LIVE_FIELDS = frozenset({"wanted", "selectors", "limits", "session", "policy"})
"""Fields of WorkerConfig that a running feeder takes over without a restart."""


def config_hash(config: WorkerConfig, *, live: bool = True) -> str:
    """Return a short stable hash of a configuration.

    With `live=False` the fields that a running feeder takes over are left out, so the hash
    changes only when the process has to be replaced.
    """
    exclude = None if live else set(LIVE_FIELDS)
    document = config.model_dump_json(by_alias=True, exclude=exclude)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def parse_worker_config(text: str) -> WorkerConfig:
    """Read a WorkerConfig from YAML text.

    Raises:
        InvalidWorkerConfigError: not YAML, or a field is missing, unknown or out of range.
    """
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        return WorkerConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "(document)"
        raise InvalidWorkerConfigError(path, f"{first['msg']}, was {first['input']!r}") from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a date that no calendar has.
        raise InvalidWorkerConfigError("(document)", f"not YAML: {error}") from error


def render_worker_config(config: WorkerConfig) -> str:
    """Write a WorkerConfig as YAML; what equals a default is left out."""
    document = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    # The discriminators equal their defaults and are needed to read the file back.
    document["sinks"] = [
        {"kind": sink.kind, **dumped}
        for sink, dumped in zip(config.sinks, document["sinks"], strict=True)
    ]
    versioned = {"version": config.version, **document}
    return str(yaml.dump(versioned, Dumper=yaml.CSafeDumper, sort_keys=True))
