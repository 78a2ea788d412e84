"""Names of the operator's log events, and reasons of the Kubernetes events it posts."""

from enum import StrEnum
from typing import Self


class LogEvent(StrEnum):
    """The message of every log line, `noun.past_verb`."""

    OPERATOR_STARTED = "operator.started"
    OPERATOR_STOPPED = "operator.stopped"
    OPERATOR_FAILED = "operator.failed"
    LEADERSHIP_ACQUIRED = "leadership.acquired"
    LEADERSHIP_LOST = "leadership.lost"
    LEADERSHIP_RELEASED = "leadership.released"
    LEADERSHIP_UNREACHABLE = "leadership.unreachable"
    FEED_RECONCILED = "feed.reconciled"
    RECONCILE_FAILED = "reconcile.failed"
    CHILD_APPLIED = "child.applied"
    CHILD_DELETED = "child.deleted"
    CHILD_REFUSED = "child.refused"
    STATUS_WRITTEN = "status.written"
    EVENT_POSTED = "event.posted"
    EVENT_DROPPED = "event.dropped"
    FEEDER_UNREACHABLE = "feeder.unreachable"
    FEEDER_REACHED = "feeder.reached"
    POLL_FAILED = "poll.failed"
    KINDS_AWAITED = "kinds.awaited"
    LIST_FAILED = "list.failed"
    GHOST_DROPPED = "ghost.dropped"


class EventReason(StrEnum):
    """Reasons of Kubernetes events; each is stable and explained."""

    sentence: str

    def __new__(cls, word: str, sentence: str) -> Self:
        """Keep the sentence beside the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member

    SPEC_ACCEPTED = "SpecAccepted", "The spec that was refused before is in force."
    SPEC_REFUSED = "SpecRefused", "The spec cannot be used; what ran before runs on."
    BECAME_READY = "BecameReady", "The resource does what its spec asks."
    BECAME_UNREADY = "BecameUnready", "The resource no longer does what its spec asks."
    STREAMING_STARTED = "StreamingStarted", "The active account delivers data."
    STREAMING_LOST = "StreamingLost", "The active account no longer delivers data."
    REDUNDANCY_LOST = "RedundancyLost", "No standby account could take over now."
    DEGRADED = "Degraded", "Data flows, but less well than asked."
    RECOVERED = "Recovered", "Everything is as asked again."
    PAUSED = "Paused", "A person paused the resource."
    RESUMED = "Resumed", "A person resumed the resource."
    ACTIVE_CHANGED = "ActiveChanged", "Another account publishes."
    COVERAGE_LOST = "CoverageLost", "Wanted instruments are not live."
    COVERAGE_REGAINED = "CoverageRegained", "Each wanted instrument and channel is live."
    GAPS_OPENED = "GapsOpened", "The ledger has open gaps."
    GAPS_CLOSED = "GapsClosed", "The ledger has no open gap."
    NAME_TAKEN = "NameTaken", "An object with the name of one of ours belongs to something else."
