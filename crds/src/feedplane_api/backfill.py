"""Backfill: history for a range of time, once or on a schedule."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from feedplane_api.conditions import Conditions, ConditionType
from feedplane_api.feed_source import FeedState
from feedplane_api.names import Kind
from feedplane_api.resource import AGE, Column, Resource, condition_path, name_rule
from feedplane_api.schema import (
    ATOMIC,
    SET,
    ApiModel,
    Count,
    ObjectName,
    Percent,
    Rule,
    RuleReason,
    ShortText,
    StatusModel,
    Time,
    cel_same,
    listed_by,
)
from feedplane_api.subscription import (
    MAX_CHANNELS,
    MAX_INSTRUMENTS,
    Channel,
    FeedSourceRef,
    Instrument,
    InstrumentSelector,
)

# Unlike a Subscription's these lists never change, so they need no merging; and to compare two sets
# costs the API server more than it allows a rule.
FixedInstruments = Annotated[
    tuple[Instrument, ...], Field(min_length=1, max_length=MAX_INSTRUMENTS), ATOMIC
]
RunName = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=16)]
FixedChannels = Annotated[tuple[Channel, ...], Field(min_length=1, max_length=MAX_CHANNELS), ATOMIC]

IMMUTABLE = (
    "feedSourceRef",
    "subscriptionRef",
    "instruments",
    "selector",
    "channels",
    "range",
    "window",
    "mode",
    "sources",
    "ttlSecondsAfterFinished",
)


class BackfillMode(StrEnum):
    """What is done about rows that are there already."""

    MISSING_ONLY = "MissingOnly"
    OVERWRITE = "Overwrite"


class BackfillSource(StrEnum):
    """Where history comes from."""

    ARCHIVE = "Archive"
    REST = "Rest"


class Severity(StrEnum):
    """How bad the part that is missing is."""

    NONE = "None"
    WARNING = "Warning"
    ERROR = "Error"


class SubscriptionRef(ApiModel):
    """A Subscription in the same namespace."""

    name: ObjectName
    """Name of the Subscription."""


class TimeRange(ApiModel):
    """A range of time in the venue's clock, the end not included."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.end > self.start",
            message="end must be after start",
            field=".end",
            holds=lambda span: span.end > span.start,
        ),
    )

    start: Time
    """First moment, as `2026-11-01T00:00:00Z`."""
    end: Time
    """First moment after the range."""


class Window(ApiModel):
    """A range that ends when the run starts."""

    last_days: int = Field(ge=1, le=3_650)
    """Whole UTC days before the day of the run."""


class Schedule(ApiModel):
    """When to run again."""

    cron: Annotated[
        str, Field(pattern=r"^[0-9A-Za-z*/,?L#-]+( [0-9A-Za-z*/,?L#-]+){4}$", max_length=128)
    ]
    """Minute, hour, day of month, month and day of week, as `30 1 * * *`."""
    time_zone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+/-]+$", max_length=64)] = "Etc/UTC"
    """Time zone of the expression, as `Asia/Shanghai`."""
    succeeded_history_limit: int = Field(default=3, ge=0, le=10)
    """Runs that succeeded, the newest, that stay in the status and keep their Jobs."""
    failed_history_limit: int = Field(default=1, ge=0, le=10)
    """Runs that failed, the newest, that stay in the status and keep their Jobs."""


def _one_selection(spec: "BackfillSpec") -> bool:
    by_hand = bool(spec.instruments) or spec.selector is not None
    return by_hand != (spec.subscription_ref is not None)


class BackfillSpec(ApiModel):
    """What is wanted."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=" && ".join(cel_same(field, "self", "oldSelf") for field in IMMUTABLE),
            message="only parallelism, state and schedule can change: create another Backfill",
            field=".feedSourceRef",
            reason=RuleReason.FORBIDDEN,
        ),
        Rule(
            cel="(has(self.instruments) || has(self.selector)) != has(self.subscriptionRef)",
            message="set either instruments and selector, or subscriptionRef",
            field=".subscriptionRef",
            holds=_one_selection,
        ),
        Rule(
            cel="has(self.channels) || has(self.subscriptionRef)",
            message="channels must be set without a subscriptionRef",
            field=".channels",
            reason=RuleReason.REQUIRED,
            holds=lambda spec: bool(spec.channels) or spec.subscription_ref is not None,
        ),
        Rule(
            cel="has(self.range) != has(self.window)",
            message="set either range or window",
            field=".range",
            holds=lambda spec: (spec.range is None) != (spec.window is None),
        ),
        Rule(
            cel="!has(self.schedule) || has(self.window)",
            message="schedule needs a window: a range would be the same each time",
            field=".schedule",
            holds=lambda spec: spec.schedule is None or spec.window is not None,
        ),
        Rule(
            cel="!has(self.schedule) || !has(self.ttlSecondsAfterFinished)",
            message="ttlSecondsAfterFinished is for a Backfill without a schedule, which ends",
            field=".ttlSecondsAfterFinished",
            holds=lambda spec: spec.schedule is None or spec.ttl_seconds_after_finished is None,
        ),
    )

    feed_source_ref: FeedSourceRef
    """The FeedSource whose venue, limits and sinks are used; it cannot change."""
    subscription_ref: SubscriptionRef | None = None
    """The Subscription whose instruments and channels are fetched; it cannot change."""
    instruments: FixedInstruments = ()
    """Instruments by the venue's symbol; they cannot change."""
    selector: InstrumentSelector | None = None
    """Instruments by glob, besides those named; it cannot change."""
    channels: FixedChannels = ()
    """What is fetched of each instrument; unset takes those of the Subscription. They cannot
    change."""
    range: TimeRange | None = None
    """A fixed range of time; it cannot change."""
    window: Window | None = None
    """A range that moves with the run; it cannot change."""
    mode: BackfillMode = BackfillMode.MISSING_ONLY
    """MissingOnly fetches what the ledger and the tables lack, Overwrite fetches everything and
    replaces what differs; it cannot change."""
    sources: Annotated[tuple[BackfillSource, ...], Field(min_length=1, max_length=2), SET] = (
        BackfillSource.ARCHIVE,
        BackfillSource.REST,
    )
    """Where to look, in order; they cannot change."""
    parallelism: int = Field(default=2, ge=1, le=64)
    """Workers a run is shared among, within the venue's limits; a change holds for how many of
    them work at once, and for the shares from the next run on."""
    schedule: Schedule | None = None
    """When to run again; unset runs once."""
    state: FeedState = FeedState.RUNNING
    """Paused stops the workers and starts no run; what was fetched stays, and Running goes on."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Delete the Backfill so long after it ended; unset keeps it. It cannot change."""


class Progress(StatusModel):
    """How far the run is."""

    chunks_total: Count = 0
    """Chunks of one instrument and day."""
    chunks_done: Count = 0
    """Chunks fetched and checked, or whole already."""
    chunks_failed: Count = 0
    """Chunks that failed for good."""
    rows_written: Count = 0
    """Rows that were new, or replaced another version of themselves."""
    rows_duplicate: Count = 0
    """Rows that were there already."""
    rows_quarantined: Count = 0
    """Rows that failed a check and lie in the quarantine table."""
    rows_per_second: Count = 0
    """Rows written a second, of late, over all workers."""
    seconds_left: Count | None = None
    """How long the rest takes at the rate of late; absent while nothing tells."""
    percent: Percent = 0
    """Chunks done as a part of all, rounded down."""


class Quality(StatusModel):
    """What the run's check found."""

    expected: Count = 0
    """Rows the calendar and the venue's records lead one to expect."""
    missing: Count = 0
    """Expected rows that are nowhere."""
    percent: Percent = 0
    """Missing as a part of expected, rounded up."""
    severity: Severity = Severity.NONE
    """Warning above 5 percent, Error above 20."""


class FailedChunk(StatusModel):
    """One chunk that failed for good."""

    instrument: Instrument
    """The instrument."""
    channel: Channel
    """The channel."""
    day: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10)]
    """The UTC day, as `2026-11-20`."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, in one CamelCase word."""
    message: ShortText = ""
    """Why, in a sentence for people."""


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RunRecord(StatusModel):
    """A run that ended."""

    run: RunName
    """Name of the run."""
    outcome: Outcome
    """How it ended."""
    start_time: Time
    """When it began."""
    completion_time: Time
    """When it ended."""
    rows_written: Count = 0
    """Rows that were new, or replaced another version of themselves."""
    rows_missing: Count = 0
    """Expected rows that are nowhere."""
    chunks_failed: Count = 0
    """Chunks that failed for good."""


class BackfillStatus(StatusModel):
    """What is."""

    observed_generation: Count | None = None
    """The metadata.generation last acted on."""
    conditions: Conditions = ()
    """Accepted, Running, Succeeded and Failed."""
    run: RunName | None = None
    """Name of the present or last run; its Job is named after the Backfill and it."""
    start_time: Time | None = None
    """When the present or last run began."""
    completion_time: Time | None = None
    """When the last run ended; absent while one is under way."""
    last_schedule_time: Time | None = None
    """The time by the schedule that the present or last run is of."""
    next_schedule_time: Time | None = None
    """When the next run begins."""
    progress: Progress | None = None
    """How far the run is."""
    quality: Quality | None = None
    """What the run's check found."""
    banned_until_time: Time | None = None
    """End of the venue's ban of a worker's address; absent where there is none."""
    failed_chunks: Annotated[
        tuple[FailedChunk, ...],
        Field(max_length=20),
        listed_by("instrument", "channel", "day"),
    ] = ()
    """The first twenty chunks that failed for good."""
    history: Annotated[tuple[RunRecord, ...], Field(max_length=20), listed_by("run")] = ()
    """Runs that ended, the newest first."""


class Backfill(Resource):
    """History for a range of time, once or on a schedule."""

    kind: ClassVar[Kind] = Kind.BACKFILL
    rules: ClassVar[tuple[Rule, ...]] = (name_rule(50, "its Jobs are named after it"),)
    condition_types: ClassVar[tuple[ConditionType, ...]] = (
        ConditionType.ACCEPTED,
        ConditionType.RUNNING,
        ConditionType.SUCCEEDED,
        ConditionType.FAILED,
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("State", condition_path("Running", "reason"), "What it does or waits for."),
        Column(
            "Progress",
            ".status.progress.percent",
            "Percent of the chunks that are done.",
            type="integer",
        ),
        Column("Rows", ".status.progress.rowsWritten", "Rows that were written.", type="integer"),
        Column(
            "Left", ".status.progress.secondsLeft", "Seconds the rest will take.", type="integer"
        ),
        Column(
            "Failed",
            ".status.progress.chunksFailed",
            "Chunks that failed for good.",
            type="integer",
        ),
        Column(
            "Missing", ".status.quality.missing", "Expected rows that are nowhere.", type="integer"
        ),
        AGE,
        Column("Feed", ".spec.feedSourceRef.name", "The FeedSource.", priority=1),
        Column(
            "Rate",
            ".status.progress.rowsPerSecond",
            "Rows written a second.",
            type="integer",
            priority=1,
        ),
        Column(
            "Message",
            condition_path("Running", "message"),
            "What it does or waits for, in a sentence.",
            priority=1,
        ),
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.feedSourceRef.name",)

    spec: BackfillSpec
    """What is wanted."""
    status: BackfillStatus = BackfillStatus()
    """What is."""
