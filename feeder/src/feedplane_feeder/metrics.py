"""The feeder's metric objects: names, labels and what each one counts.

Labels are few on purpose: `venue` and `channel`, plus one closed word where a figure falls into
kinds. Callers bind labels once and add whole batches. Must not know who counts or who reads.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "feedplane_feeder_"
LAG_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
FAILOVER_BUCKETS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 60.0)
REPAIR_BUCKETS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
WRITE_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Every metric of one feeder process, registered in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._register_tape()
        self._register_repairs()
        self._register_sessions()
        self._register_sinks()
        self._register_failover()
        self._register_process()

    def _register_tape(self) -> None:
        self.records_total = self._counter("records", "Checked records.", "channel")
        self.duplicates_total = self._counter(
            "duplicates", "Records dropped because the same sequence was seen before.", "channel"
        )
        self.out_of_order_total = self._counter(
            "out_of_order", "Records whose sequence went back.", "channel"
        )
        self.gaps_total = self._counter("gaps", "Gaps found, one per ledger row.", "channel")
        self.quarantined_total = self._counter(
            "quarantined", "Frames and records set aside as impossible.", "channel"
        )
        self.frames_total = self._counter("frames", "Frames received from the venue.")
        self.bytes_total = self._counter("bytes", "Bytes of frames received from the venue.")
        self.lag_seconds = Histogram(
            f"{PREFIX}lag_seconds",
            "Receive time minus the venue's event time, sampled once per batch.",
            ("venue", "channel"),
            registry=self.registry,
            buckets=LAG_BUCKETS,
        )

    def _register_repairs(self) -> None:
        self.repairs_total = self._counter(
            "repairs",
            "Parts of gaps by what asking for them came to: filled, unfillable, failed.",
            "channel",
            "result",
        )
        self.repaired_rows_total = self._counter(
            "repaired_rows", "Rows that filled gaps.", "channel"
        )
        self.open_gaps = self._gauge("open_gaps", "Gaps the ledger has open.", "sink")
        self.repair_seconds = Histogram(
            f"{PREFIX}repair_seconds",
            "Time from the finding of a gap until it was filled.",
            ("venue",),
            registry=self.registry,
            buckets=REPAIR_BUCKETS,
        )

    def _register_sessions(self) -> None:
        self.reconnects_total = self._counter(
            "reconnects", "Connections lost and opened again, by cause.", "cause"
        )
        self.rotations_total = self._counter(
            "rotations", "Connections replaced in good time, new one first."
        )
        self.late_polls_total = self._counter(
            "late_polls", "Polls that went out after their time, or missed it."
        )
        self.unchanged_total = self._counter(
            "unchanged", "Channels of an answer that said what was known already."
        )
        self.connections = self._gauge("connections", "Open connections.")
        self.coverage_channels = self._gauge(
            "coverage_channels", "Wanted channels by state: live, stale, refused, pending.", "state"
        )
        self.request_weight_used = self._gauge(
            "request_weight_used", "REST request weight used in the venue's present window."
        )
        self.request_wait_seconds_total = self._counter(
            "request_wait_seconds",
            "Time REST requests waited for room in the budget, by priority: live, repair.",
            "priority",
        )
        self.active = self._gauge("active", "1 while this feeder publishes, else 0.")
        self.healthy = self._gauge("healthy", "1 while the health verdict is good, else 0.")
        self.health_reason = self._gauge(
            "health_reason", "1 for the reason of the health verdict in force, else 0.", "reason"
        )

    def _register_sinks(self) -> None:
        self.queue_records = self._gauge(
            "queue_records", "Records waiting in memory for the sink.", "sink"
        )
        self.spilled_bytes = self._gauge(
            "spilled_bytes", "Bytes waiting on disk for the sink.", "sink"
        )
        self.lost_records_total = self._counter(
            "lost_records", "Records past the spill bound; each loss is a ledger row.", "sink"
        )
        self.sink_rows_total = self._counter(
            "sink_rows", "Rows by result: new, duplicate, quarantined.", "sink", "result"
        )
        self.sink_errors_total = self._counter(
            "sink_errors", "Writes that failed and are tried again.", "sink"
        )
        self.sink_write_seconds = Histogram(
            f"{PREFIX}sink_write_seconds",
            "Time one write takes until the sink has committed it.",
            ("venue", "sink"),
            registry=self.registry,
            buckets=WRITE_BUCKETS,
        )

        self.missed_snapshots_total = self._counter(
            "missed_snapshots",
            "Snapshots another account wrote and this one, unbroken, never had; at least so many.",
            "sink",
        )
        self.retention_removed_total = self._counter(
            "retention_removed",
            "What retention removed, by result: rows deleted, chunks dropped.",
            "sink",
            "result",
        )

    def _register_failover(self) -> None:
        self.failovers_total = Counter(
            "feedplane_failovers",
            "Promotions of this feeder, by why it was its turn.",
            ("venue", "reason"),
            registry=self.registry,
        )
        self.failover_seconds = Histogram(
            "feedplane_failover_seconds",
            "How long a sink's tape stood still at a promotion: commit of the new epoch's first"
            " batch minus ts_recv of the newest row before it.",
            ("venue", "sink"),
            registry=self.registry,
            buckets=FAILOVER_BUCKETS,
        )
        self.lease_renew_seconds = Histogram(
            f"{PREFIX}lease_renew_seconds",
            "Time one renewal of the publisher Lease takes.",
            ("venue",),
            registry=self.registry,
            buckets=WRITE_BUCKETS,
        )
        self.lease_unreachable_seconds_total = self._counter(
            "lease_unreachable_seconds", "Time during which the API server did not answer."
        )
        self.buffer_records = self._gauge(
            "buffer_records", "Records a standby remembers for its promotion."
        )
        self.buffer_seconds = self._gauge("buffer_seconds", "How far back they reach.")
        self.buffer_dropped_records_total = self._counter(
            "buffer_dropped_records", "Records the bound of memory pushed out before their time."
        )
        self.replayed_records_total = self._counter(
            "replayed_records", "Remembered records offered to the sinks on promotions."
        )
        self.fenced_records_total = self._counter(
            "fenced_records", "Book deltas refused because another line publishes by now.", "sink"
        )

    def _register_process(self) -> None:
        self.event_loop_lag_seconds = self._gauge(
            "event_loop_lag_seconds", "Worst delay of the event loop over the last ten seconds."
        )
        self.config_refused_total = self._counter(
            "config_refused", "New configurations that could not be used."
        )

    def _counter(self, noun: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{noun}", text, ("venue", *labels), registry=self.registry)

    def _gauge(self, noun: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{noun}", text, ("venue", *labels), registry=self.registry)
