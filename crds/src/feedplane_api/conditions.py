"""Conditions: their types, every reason they can have, and the one way to set them.

Must not know when a condition holds; that is the operator's to decide.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from feedplane_api.explained import Explained
from feedplane_api.schema import Count, StatusModel, Time, listed_by


class ConditionStatus(StrEnum):
    """Whether something holds, as Kubernetes says it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(Explained):
    """Every condition a resource of ours can have."""

    ACCEPTED = "Accepted", "The spec is valid and in force."
    READY = "Ready", "The resource does what its spec asks: the one condition to wait for."
    STREAMING = "Streaming", "The active account delivers data."
    REDUNDANT = "Redundant", "At least one more healthy account could take over now."
    DEGRADED = "Degraded", "Data flows, but less well than asked, or no account is healthy."
    PAUSED = "Paused", "A person paused the resource."
    COVERED = "Covered", "Each wanted instrument and channel is live."
    COMPLETE = "Complete", "The ledger has no open gap for the wanted instruments and channels."
    RUNNING = "Running", "Workers fetch history now."
    SUCCEEDED = "Succeeded", "The whole range was fetched and checked."
    FAILED = "Failed", "The Backfill gave up; what it wrote stays."


class Reason(Explained):
    """Every reason a condition can have."""

    # Any condition.
    AWAITING_OBSERVATION = "AwaitingObservation", "Nothing is known yet."
    PAUSED_BY_SPEC = "PausedBySpec", "spec.state is Paused."
    NOT_PAUSED = "NotPaused", "spec.state is Running."

    # Accepted.
    VALID = "Valid", "The spec was checked and is in force."
    INVALID_SPEC = (
        "InvalidSpec",
        "A field breaks a rule; the message names it, and the last good spec stays in force.",
    )
    UNKNOWN_VENUE = "UnknownVenue", "The feeder has no adapter of the name in spec.venue."
    UNSUPPORTED_SINK = "UnsupportedSink", "This release cannot write to that kind of sink."
    FEED_SOURCE_NOT_FOUND = (
        "FeedSourceNotFound",
        "spec.feedSourceRef names no FeedSource in this namespace.",
    )
    FEED_SOURCE_NOT_ACCEPTED = (
        "FeedSourceNotAccepted",
        "The FeedSource referred to is not accepted itself.",
    )
    SUBSCRIPTION_NOT_FOUND = (
        "SubscriptionNotFound",
        "spec.subscriptionRef names no Subscription of the same FeedSource in this namespace.",
    )
    SECRET_NOT_FOUND = "SecretNotFound", "A Secret or the key named in it does not exist."
    ACCOUNT_IN_USE = "AccountInUse", "Another FeedSource already uses the same account."
    NAME_CONFLICT = (
        "NameConflict",
        "An object with the name of one of ours exists and belongs to something else.",
    )

    # Ready, Streaming, Redundant, Degraded.
    ALL_LIVE = "AllLive", "Everything wanted is live."
    NOTHING_WANTED = "NothingWanted", "No Subscription asks for anything."
    NOT_ACCEPTED = "NotAccepted", "The spec is not accepted and no earlier one is in force."
    STARTING = "Starting", "Feeders are starting or connecting."
    ROLLING_OUT = "RollingOut", "Feeders are being replaced, standby first."
    FEEDER_NOT_RUNNING = "FeederNotRunning", "A feeder's Pod does not run."
    FEEDER_UNREACHABLE = "FeederUnreachable", "A feeder runs but does not answer."
    FEEDER_FAILING = "FeederFailing", "A feeder stops again and again; the message says why."
    SESSION_LOST = "SessionLost", "The connection to the venue is down."
    STREAM_STALE = "StreamStale", "Frames stopped inside the market's session."
    COVERAGE_LOW = "CoverageLow", "Fewer instruments are live than spec.failover asks."
    ACCOUNT_BANNED = "AccountBanned", "The venue refuses the account or the address for a time."
    CREDENTIALS_REFUSED = "CredentialsRefused", "The venue refuses the account's credentials."
    CREDENTIALS_CHANGED = (
        "CredentialsChanged",
        "New credentials are there, and another account publishes while they are tried.",
    )
    VENUE_UNREACHABLE = "VenueUnreachable", "The venue's REST interface does not answer."
    FRAMES_MALFORMED = "FramesMalformed", "Too many frames cannot be read or cannot be true."
    EVENT_LOOP_LAGGING = (
        "EventLoopLagging",
        "A feeder's own process stood still: too little processor, or a frozen node.",
    )
    SINK_UNAVAILABLE = "SinkUnavailable", "A sink cannot be written; records wait in the spill."
    MARKET_CLOSED = "MarketClosed", "The market's session is closed and no data is expected."
    ACTIVE_HEALTHY = "ActiveHealthy", "The active account is healthy and delivers data."
    NO_ACTIVE_ACCOUNT = "NoActiveAccount", "No account holds the publisher Lease."
    NO_ACCOUNT_HEALTHY = "NoAccountHealthy", "No account is healthy; the last one stays active."
    STANDBY_READY = "StandbyReady", "A standby account is healthy and could take over."
    STANDBY_NOT_READY = "StandbyNotReady", "No standby account could take over now."
    SINGLE_ACCOUNT = "SingleAccount", "The FeedSource has one account, so nothing can take over."
    NOT_DEGRADED = "NotDegraded", "Everything is as asked."
    ROLLOUT_STUCK = (
        "RolloutStuck",
        "A feeder that was replaced does not become healthy; the active one is left as it is.",
    )
    LEASE_CONFLICT = (
        "LeaseConflict",
        "Two accounts take themselves for active; sinks refuse the second copies.",
    )

    # An account in status.accounts, besides those above.
    STOPPED = "Stopped", "The account's feeders are stopped."
    MAINTENANCE = "Maintenance", "A person took the account out of service."
    COLD_START = "ColdStart", "Started because the account before it cannot publish."

    # Covered, Complete.
    INSTRUMENTS_MISSING = "InstrumentsMissing", "Wanted instruments are not live; status.missing."
    INSTRUMENTS_REFUSED = "InstrumentsRefused", "The venue does not list or does not serve some."
    INSTRUMENTS_RETIRED = "InstrumentsRetired", "The venue no longer trades some of them."
    SELECTOR_MATCHES_NOTHING = "SelectorMatchesNothing", "No listed instrument matches."
    SELECTOR_TOO_WIDE = "SelectorTooWide", "More match than spec.selector.maxInstruments."
    NO_OPEN_GAPS = "NoOpenGaps", "The ledger has no open gap."
    GAPS_OPEN = "GapsOpen", "The ledger has open gaps."
    GAPS_UNFILLABLE = "GapsUnfillable", "Some gaps can be filled from nowhere; the ledger says why."

    # Backfill.
    QUEUED = "Queued", "As many backfill workers run as may; this one's turn comes."
    AWAITING_LISTING = (
        "AwaitingListing",
        "Globs wait for the venue's instrument list, which a feeder tells.",
    )
    WORKERS_STARTING = "WorkersStarting", "The Job is there and its Pods are starting."
    WORKERS_FAILED = (
        "WorkersFailed",
        "Workers ended without finishing, again and again; the message says why.",
    )
    AWAITING_SCHEDULE = "AwaitingSchedule", "The next run's time has not come."
    CHUNKS_RUNNING = "ChunksRunning", "Chunks are being fetched."
    CHUNKS_DONE = "ChunksDone", "Each chunk was fetched and checked."
    CHUNKS_FAILED = "ChunksFailed", "Some chunks failed for good; status.failedChunks."
    QUALITY_BREACHED = "QualityBreached", "More rows are missing than the limit allows."
    NOT_FINISHED = "NotFinished", "The run has not come to an end."
    NOT_FAILED = "NotFailed", "Nothing has failed for good."


class Condition(StatusModel):
    """One aspect of the resource as last observed."""

    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)]
    """Name of the condition."""
    status: ConditionStatus
    """Whether it holds."""
    reason: Annotated[
        str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=128)
    ]
    """Why, in one CamelCase word; each is explained in the reference."""
    message: Annotated[str, Field(max_length=4096)]
    """Why, in a sentence for people."""
    observed_generation: Count | None = None
    """The metadata.generation this was said of."""
    last_transition_time: Time
    """When the status last changed."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), listed_by("type")]


def set_condition(
    conditions: Iterable[Condition],
    kind: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    *,
    message: str = "",
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return the conditions with one set, sorted by type.

    `last_transition_time` moves only when the status flips. An empty message becomes the
    reason's own sentence.
    """
    known = tuple(conditions)
    others = tuple(condition for condition in known if condition.type != kind)
    before = find_condition(known, kind)
    since = now.replace(microsecond=0)
    if before is not None and before.status == status:
        since = before.last_transition_time
    changed = Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=message or reason.sentence,
        observed_generation=generation,
        last_transition_time=since,
    )
    return tuple(sorted((*others, changed), key=lambda condition: condition.type))


def find_condition(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of a type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)
