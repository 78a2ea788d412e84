"""Names of the operator's log events, and reasons of the Kubernetes events it posts."""

from feedplane_api.explained import Explained


class LogEvent(Explained):
    """The message of every log line, `noun.past_verb`."""

    OPERATOR_STARTED = "operator.started", "The port is open and watching begins."
    OPERATOR_STOPPED = "operator.stopped", "The process ended in good order."
    OPERATOR_FAILED = (
        "operator.failed",
        "The process ends and is started anew; `error` says why, a lost Lease or watch for one.",
    )
    LEADERSHIP_ACQUIRED = "leadership.acquired", "This replica acts from now on."
    LEADERSHIP_RELEASED = (
        "leadership.released",
        "This replica ends and gave the Lease back, so that the other one need not wait.",
    )
    LEADERSHIP_UNREACHABLE = (
        "leadership.unreachable",
        "The Lease of the election could not be read or written; it is tried again.",
    )
    FEED_RECONCILED = "feed.reconciled", "Children of a FeedSource were written or deleted."
    RECONCILE_FAILED = "reconcile.failed", "Something stood in the way; it is tried again."
    CHILD_APPLIED = "child.applied", "A child was written; `difference` is the first found."
    CHILD_DELETED = "child.deleted", "A child that nothing asks for any more was deleted."
    CHILD_REFUSED = (
        "child.refused",
        "The API server did not take a child: a quota, an admission rule, a name that is taken.",
    )
    STATUS_WRITTEN = "status.written", "A status was written (DEBUG only)."
    EVENT_POSTED = "event.posted", "A Kubernetes event was posted, repeats of it not counted."
    EVENT_DROPPED = "event.dropped", "A Kubernetes event could not be posted."
    FEEDER_UNREACHABLE = "feeder.unreachable", "A feeder does not answer on /status."
    FEEDER_REACHED = "feeder.reached", "It answers again."
    POLL_FAILED = "poll.failed", "Leases or mount failures could not be listed; tried again."
    KINDS_AWAITED = (
        "kinds.awaited",
        "The CRDs are not served yet; nothing is done until they are.",
    )
    LIST_FAILED = "list.failed", "Something could not be listed, a right for one; tried again."
    GHOST_DROPPED = "ghost.dropped", "An object is gone without a watch having said so."
    NOTIFICATION_SENT = "notification.sent", "A webhook took a notification."
    NOTIFICATION_RETRIED = "notification.retried", "A webhook did not; it is asked again."
    NOTIFICATION_FAILED = "notification.failed", "A webhook did not take it in all tries."


class EventReason(Explained):
    """Reasons of Kubernetes events; each is stable and explained."""

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
    FAILOVER_STARTED = "FailoverStarted", "The account that published let go or went silent."
    FAILOVER_COMPLETED = "FailoverCompleted", "Another account took over from one that failed."
    FAILBACK_COMPLETED = "FailbackCompleted", "A more preferred account has its place back."
    SWITCHOVER_COMPLETED = (
        "SwitchoverCompleted",
        "Another account took over in good order: by a person's wish, for maintenance, or because"
        " the feeder before it was replaced.",
    )
    ACCOUNT_UNHEALTHY = "AccountUnhealthy", "An account cannot publish; the message says why."
    ACCOUNT_BANNED = "AccountBanned", "The venue refuses an account or its address for a time."
    ACCOUNT_RECOVERED = "AccountRecovered", "An account is healthy again."
    LEASE_CONFLICT = (
        "LeaseConflict",
        "Two accounts take themselves for active; sinks refuse the second copies.",
    )
    ROLLOUT_STARTED = "RolloutStarted", "Feeders are being replaced, standby first."
    ROLLOUT_COMPLETED = "RolloutCompleted", "All feeders run what the spec asks."
    ROLLOUT_STUCK = (
        "RolloutStuck",
        "A replaced feeder does not become healthy; the active one keeps its Pod.",
    )
    NOTIFICATION_FAILED = "NotificationFailed", "A webhook could not be told, after all tries."
    COVERAGE_LOST = "CoverageLost", "Wanted instruments are not live."
    COVERAGE_REGAINED = "CoverageRegained", "Each wanted instrument and channel is live."
    BACKFILL_STARTED = "BackfillStarted", "A run began: its Job was made."
    BACKFILL_SUCCEEDED = "BackfillSucceeded", "A run fetched and checked the whole range."
    BACKFILL_FAILED = "BackfillFailed", "A run ended with parts missing; the message names them."
    QUALITY_BREACHED = "QualityBreached", "More rows are missing after a run than the limit allows."
    REPAIR_STARTED = (
        "RepairStarted",
        "A Backfill was made for missing days, or for gaps that a feeder cannot fill.",
    )
    GAPS_OPENED = "GapsOpened", "The ledger has open gaps."
    GAPS_CLOSED = "GapsClosed", "The ledger has no open gap."
