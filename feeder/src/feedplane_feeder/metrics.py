"""The feeder's metric objects: names, labels and what each one counts.

Labels are few on purpose: `venue` and `channel`, plus one closed word where a figure falls into
kinds. Callers bind labels once and add whole batches. Must not know who counts or who reads.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "feedplane_feeder_"
LAG_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
WRITE_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Every metric of one feeder process, registered in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._register_tape()
        self._register_sessions()
        self._register_sinks()
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

    def _register_sessions(self) -> None:
        self.reconnects_total = self._counter(
            "reconnects", "Connections lost and opened again, by cause.", "cause"
        )
        self.rotations_total = self._counter(
            "rotations", "Connections replaced in good time, new one first."
        )
        self.connections = self._gauge("connections", "Open connections.")
        self.coverage_channels = self._gauge(
            "coverage_channels", "Wanted channels by state: live, stale, refused, pending.", "state"
        )
        self.request_weight_used = self._gauge(
            "request_weight_used", "REST request weight used in the venue's present window."
        )
        self.active = self._gauge("active", "1 while this feeder publishes, else 0.")
        self.healthy = self._gauge("healthy", "1 while the health verdict is good, else 0.")

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
