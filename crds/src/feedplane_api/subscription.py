"""Subscription: instruments and channels wanted from one FeedSource, the should-list."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from feedplane_api.conditions import Conditions, ConditionType
from feedplane_api.names import Kind
from feedplane_api.resource import AGE, Column, Resource, condition_path, name_rule
from feedplane_api.schema import (
    SET,
    ApiModel,
    Count,
    ObjectName,
    Percent,
    Rule,
    RuleReason,
    ShortText,
    SmallCount,
    StatusModel,
    Time,
    listed_by,
)
from feedplane_api.worker import ChannelName, Symbol

MAX_INSTRUMENTS = 2_000
MAX_CHANNELS = 20

Instrument = Annotated[Symbol, Field(max_length=32)]
Channel = Annotated[ChannelName, Field(max_length=8)]
Glob = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/*?\[\]!-]{1,64}$", max_length=64)]
Instruments = Annotated[
    tuple[Instrument, ...], Field(min_length=1, max_length=MAX_INSTRUMENTS), SET
]
Channels = Annotated[tuple[Channel, ...], Field(min_length=1, max_length=MAX_CHANNELS), SET]


class Repair(StrEnum):
    """Who asks for open gaps to be filled."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class FeedSourceRef(ApiModel):
    """A FeedSource in the same namespace."""

    name: Annotated[ObjectName, Field(max_length=30)]
    """Name of the FeedSource."""


class InstrumentSelector(ApiModel):
    """Instruments by their symbols, looked up again whenever the venue's list changes."""

    include: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET]
    """Globs an instrument must match one of, as `*USDT`; letter case does not count."""
    exclude: Annotated[tuple[Glob, ...], Field(max_length=64), SET] = ()
    """Globs an instrument must match none of."""
    max_instruments: int = Field(default=1_000, ge=1, le=10_000)
    """At most so many, the first by name; the status says when more match."""


class SubscriptionSpec(ApiModel):
    """What is wanted."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.feedSourceRef.name == oldSelf.feedSourceRef.name",
            message="feedSourceRef.name cannot change: create another Subscription",
            field=".feedSourceRef.name",
            reason=RuleReason.FORBIDDEN,
        ),
        Rule(
            cel="has(self.instruments) || has(self.selector)",
            message="instruments, selector or both must be set",
            field=".instruments",
            reason=RuleReason.REQUIRED,
            holds=lambda spec: bool(spec.instruments) or spec.selector is not None,
        ),
    )

    feed_source_ref: FeedSourceRef
    """The FeedSource to take the data from; it cannot change."""
    instruments: Instruments = ()
    """Instruments by the venue's symbol, as `BTCUSDT`."""
    selector: InstrumentSelector | None = None
    """Instruments by glob, besides those named."""
    channels: Channels
    """What is wanted of each instrument."""
    repair: Repair = Repair.AUTOMATIC
    """Automatic has gaps filled as they are found, Manual leaves them to a person's Backfill."""


class MissingChannel(StatusModel):
    """One wanted instrument and channel that is not live."""

    instrument: Instrument
    """The instrument."""
    channel: Channel
    """The channel."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, in one CamelCase word."""
    message: ShortText = ""
    """Why, in a sentence for people."""


class SubscriptionCoverage(StatusModel):
    """Wanted pairs of instrument and channel by what became of them."""

    wanted: SmallCount = 0
    """Pairs that are wanted."""
    live: SmallCount = 0
    """Pairs that deliver."""
    stale: SmallCount = 0
    """Pairs that were acknowledged and stay mute."""
    refused: SmallCount = 0
    """Pairs that the venue does not list, does not trade or refuses."""
    percent: Percent = 0
    """Live as a part of wanted, rounded down."""


class Gaps(StatusModel):
    """Rows of the ledger."""

    open: Count = 0
    """Gaps that wait to be filled."""
    filled: Count = 0
    """Gaps that were filled."""
    unfillable: Count = 0
    """Gaps that no source can fill; the ledger says why."""
    missing: Count | None = None
    """Numbered trades that the ledger names and the tape lacks; absent where no ledger is read."""


class SubscriptionStatus(StatusModel):
    """What is."""

    observed_generation: Count | None = None
    """The metadata.generation last acted on."""
    conditions: Conditions = ()
    """Accepted, Covered, Complete and Ready."""
    coverage: SubscriptionCoverage | None = None
    """How much of what is wanted is live."""
    missing: Annotated[
        tuple[MissingChannel, ...], Field(max_length=20), listed_by("instrument", "channel")
    ] = ()
    """The first twenty that are not live."""
    gaps: Gaps | None = None
    """The ledger in numbers, whoever found and filled its gaps."""
    last_event_time: Time | None = None
    """When the newest event was received, to the minute."""


class Subscription(Resource):
    """Instruments and channels wanted from one FeedSource."""

    kind: ClassVar[Kind] = Kind.SUBSCRIPTION
    rules: ClassVar[tuple[Rule, ...]] = (name_rule(63, "it becomes a label's value"),)
    condition_types: ClassVar[tuple[ConditionType, ...]] = (
        ConditionType.ACCEPTED,
        ConditionType.COVERED,
        ConditionType.COMPLETE,
        ConditionType.READY,
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Feed", ".spec.feedSourceRef.name", "The FeedSource."),
        Column(
            "Wanted",
            ".status.coverage.wanted",
            "Pairs of instrument and channel wanted.",
            type="integer",
        ),
        Column("Live", ".status.coverage.live", "Pairs that deliver.", type="integer"),
        Column("Stale", ".status.coverage.stale", "Pairs that stay mute.", type="integer"),
        Column("Gaps", ".status.gaps.open", "Gaps that wait to be filled.", type="integer"),
        Column(
            "Missing", ".status.gaps.missing", "Numbered trades the tape lacks.", type="integer"
        ),
        Column("Ready", condition_path("Ready", "status"), "Whether it does what its spec asks."),
        AGE,
        Column(
            "Message", condition_path("Ready", "message"), "Why it is or is not ready.", priority=1
        ),
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.feedSourceRef.name",)

    spec: SubscriptionSpec
    """What is wanted."""
    status: SubscriptionStatus = SubscriptionStatus()
    """What is."""
