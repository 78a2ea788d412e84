"""Meters: counts of the hot path, gathered as plain numbers and handed on once a second.

Nothing here is called per record: batches add their sums. Must not know where the numbers go
besides the metric objects.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from feedplane_api.worker import HealthReport
from feedplane_feeder.core.tape import Taken
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Metric,
    Quote,
    Record,
    Snapshot,
    Trade,
)

SECOND_NS: Final = 1_000_000_000
WINDOW_NS: Final = 10 * SECOND_NS
LAG_SAMPLES: Final = 512
_KINDS: Final[Mapping[type[Record], str]] = {
    Trade: ChannelKind.TRADE.value,
    Quote: ChannelKind.QUOTE.value,
    Bar: ChannelKind.BAR.value,
    BookDelta: ChannelKind.BOOK.value,
    Metric: ChannelKind.METRIC.value,
    Snapshot: ChannelKind.SNAPSHOT.value,
}


class Meters:
    """One feeder's counts."""

    def __init__(self, metrics: Metrics, venue: str) -> None:
        self._metrics = metrics
        self._venue = venue
        self._lags: deque[int] = deque(maxlen=LAG_SAMPLES)
        self._moments: deque[tuple[int, int, int, int]] = deque()
        self._records = self._frames = self._bytes = self._malformed = 0
        self._counts: dict[str, int] = {}
        self._dropped = 0
        self._health_reason = ""
        self.reconnects = 0
        self.rotations = 0

    def add_frames(self, frames: Sequence[bytes], malformed: int) -> None:
        """Count what one read of a socket brought."""
        self._frames += len(frames)
        self._bytes += sum(map(len, frames))
        self._malformed += malformed

    def add_polls(self, late: int, unchanged: int) -> None:
        """Count polls that came too late, and what was answered without news."""
        self._metrics.late_polls_total.labels(self._venue).inc(late)
        self._metrics.unchanged_total.labels(self._venue).inc(unchanged)

    def add_taken(self, taken: Taken) -> None:
        """Count what the tape made of a batch."""
        for channel, count in taken.counts.items():
            self._records += count
            self._counts[channel] = self._counts.get(channel, 0) + count
        if taken.records:
            self._sample_lag(taken.records[-1])
        if taken.duplicates or taken.out_of_order:
            self._add_rare(taken)
        for gap in taken.gaps:
            kind = gap.channel.partition("-")[0]
            self._metrics.gaps_total.labels(self._venue, kind).inc()

    def add_quarantined(self, channels: Sequence[str]) -> None:
        """Count frames and records set aside."""
        for channel in channels:
            kind = channel.partition("-")[0] or "unknown"
            self._metrics.quarantined_total.labels(self._venue, kind).inc()

    def add_reconnect(self, cause: str) -> None:
        """Count a connection that was lost."""
        self.reconnects += 1
        self._metrics.reconnects_total.labels(self._venue, cause).inc()

    def add_rotation(self) -> None:
        """Count a connection that was replaced in good time."""
        self.rotations += 1
        self._metrics.rotations_total.labels(self._venue).inc()

    def flush(self, now_ns: int) -> None:
        """Hand the sums on; call it about once a second."""
        for channel, count in self._counts.items():
            self._metrics.records_total.labels(self._venue, channel).inc(count)
        self._metrics.frames_total.labels(self._venue).inc(self._frames)
        self._metrics.bytes_total.labels(self._venue).inc(self._bytes)
        self._moments.append((now_ns, self._records, self._frames, self._malformed))
        self._counts.clear()
        self._records = self._frames = self._bytes = self._malformed = 0
        while self._moments and self._moments[0][0] <= now_ns - WINDOW_NS:
            self._moments.popleft()

    def gauge(
        self, *, states: Mapping[str, int], connections: int, weight_used: int, active: bool
    ) -> None:
        """Set what is a level and not a count."""
        for state, count in states.items():
            self._metrics.coverage_channels.labels(self._venue, state).set(count)
        self._metrics.connections.labels(self._venue).set(connections)
        self._metrics.request_weight_used.labels(self._venue).set(weight_used)
        self._metrics.active.labels(self._venue).set(int(active))

    def add_promotion(self, reason: str, replayed: int) -> None:
        """Count a promotion and the records it replayed."""
        self._metrics.failovers_total.labels(self._venue, reason).inc()
        self._metrics.replayed_records_total.labels(self._venue).inc(replayed)

    def gauge_buffer(self, *, records: int, seconds: int, dropped: int) -> None:
        """Set how much is remembered; `dropped` counts over the life of the process."""
        self._metrics.buffer_records.labels(self._venue).set(records)
        self._metrics.buffer_seconds.labels(self._venue).set(seconds)
        self._metrics.buffer_dropped_records_total.labels(self._venue).inc(dropped - self._dropped)
        self._dropped = dropped

    def set_health(self, report: HealthReport) -> None:
        """Set the verdict and its reason; the one before is no longer in force."""
        self._metrics.healthy.labels(self._venue).set(int(report.healthy))
        if self._health_reason and self._health_reason != report.reason:
            self._metrics.health_reason.labels(self._venue, self._health_reason).set(0)
        self._health_reason = report.reason
        self._metrics.health_reason.labels(self._venue, report.reason).set(1)

    def window(self) -> tuple[int, int, int]:
        """Return records, frames and malformed frames of the last ten seconds."""
        return (
            sum(moment[1] for moment in self._moments),
            sum(moment[2] for moment in self._moments),
            sum(moment[3] for moment in self._moments),
        )

    def events_per_second(self) -> int:
        """Return the mean rate of records over the last ten seconds."""
        if len(self._moments) < 2:
            return 0
        elapsed_ns = self._moments[-1][0] - self._moments[0][0]
        counted = self.window()[0] - self._moments[0][1]
        return counted * SECOND_NS // max(1, elapsed_ns)

    def lag_milliseconds(self) -> int | None:
        """Return the median lag of the newest samples, None when there is none."""
        return int(median(self._lags)) // 1_000_000 if self._lags else None

    def _sample_lag(self, record: Record) -> None:
        lag_ns = record.ts_recv - record.ts_event
        self._lags.append(lag_ns)
        kind = _KINDS[type(record)]
        self._metrics.lag_seconds.labels(self._venue, kind).observe(lag_ns / 1e9)

    def _add_rare(self, taken: Taken) -> None:
        for channel, count in taken.duplicates.items():
            self._metrics.duplicates_total.labels(self._venue, channel).inc(count)
        for channel, count in taken.out_of_order.items():
            self._metrics.out_of_order_total.labels(self._venue, channel).inc(count)
