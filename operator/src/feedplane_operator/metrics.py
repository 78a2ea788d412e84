"""The operator's metric objects; names follow `feedplane_operator_<noun>_<unit>[_total]`."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter(
    "feedplane_operator_reconciles_total", "Reconciles that came to an end.", ["kind"]
)
RECONCILE_ERRORS = Counter(
    "feedplane_operator_reconcile_errors_total",
    "Reconciles that failed and are tried again.",
    ["kind", "error"],
)
RECONCILE_SECONDS = Histogram(
    "feedplane_operator_reconcile_duration_seconds",
    "Time from taking a resource off the queue to its last write.",
    ["kind"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
WRITES = Counter(
    "feedplane_operator_writes_total",
    "Objects written, by what was written and how.",
    ["kind", "verb"],
)
API_REQUESTS = Counter(
    "feedplane_operator_api_requests_total",
    "Requests to the API server, watches apart.",
    ["method", "status"],
)
QUEUE_DEPTH = Gauge("feedplane_operator_queue_depth", "Resources that wait to be reconciled.")
QUEUE_AGE = Gauge(
    "feedplane_operator_queue_age_seconds", "How long the resource at the head has waited."
)
LEADER = Gauge("feedplane_operator_leader", "1 while this replica acts, 0 while it stands by.")
RESOURCES = Gauge("feedplane_operator_resources", "Resources of ours in the cluster.", ["kind"])
CHILDREN = Gauge("feedplane_operator_children", "Objects the operator keeps.", ["kind"])
POLL_SECONDS = Histogram(
    "feedplane_operator_poll_duration_seconds",
    "Time for one look at all feeders and Leases.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
POLL_ERRORS = Counter(
    "feedplane_operator_poll_errors_total", "Questions to feeders that got no answer."
)
NOTIFICATIONS = Counter(
    "feedplane_operator_notifications_total",
    "Webhook notifications by outcome: delivered, failed after all tries, or dropped.",
    ["outcome"],
)
ACTIVE_CHANGES = Counter(
    "feedplane_operator_active_changes_total",
    "Changes of the account that publishes: failover, failback or switchover.",
    ["kind"],
)
REPLACING = Gauge("feedplane_operator_replacing", "Feeders that are being replaced now.")
BACKFILL_WORKERS = Gauge(
    "feedplane_operator_backfill_workers", "Backfill workers that run now, over all Backfills."
)
BACKFILLS_WAITING = Gauge(
    "feedplane_operator_backfills_waiting", "Backfills that wait for workers to become free."
)
EVENTS = Counter("feedplane_operator_events_total", "Kubernetes events posted.", ["reason"])
EVENTS_DROPPED = Counter(
    "feedplane_operator_events_dropped_total", "Kubernetes events that could not be posted."
)
