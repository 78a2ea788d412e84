"""What a backfill worker says of itself: metrics, the figures of a log line, its report.

All from one `Progress`. Must not know how anything is fetched.
"""

import math
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from feedplane_api.backfill_worker import BackfillReport, ChunkProblem
from feedplane_feeder.core.progress import ChunkResult, Progress

FAILED_TOLD: Final = 20
LONGEST_MESSAGE: Final = 256
PREFIX: Final = "feedplane_backfill_"


class BackfillMetrics:
    """Every metric of one backfill worker, registered in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.rows = self._gauge(
            "rows", "Rows of this run by result: new, updated, duplicate, quarantined.", "result"
        )
        self.chunks = self._gauge(
            "chunks", "Chunks of this run that ended, by state: done, failed, present.", "state"
        )
        self.chunks_left = self._gauge("chunks_left", "Chunks of this worker still to do.")
        self.rows_missing = self._gauge(
            "rows_missing", "Expected rows of finished chunks that are nowhere."
        )
        self.rows_per_second = self._gauge("rows_per_second", "Rows written a second, of late.")
        self.remaining_seconds = self._gauge(
            "remaining_seconds", "Time the rest takes at the rate of late; NaN while unknown."
        )
        self.request_weight_used = self._gauge(
            "request_weight_used", "REST request weight used in the venue's present window."
        )

    def _gauge(self, noun: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{noun}", text, ("venue", *labels), registry=self.registry)

    def take(self, venue: str, progress: Progress, now_ns: int) -> None:
        """Set every metric to what is known now."""
        left = progress.seconds_left(now_ns)
        self.chunks_left.labels(venue).set(
            progress.chunks_total - progress.chunks_done - progress.chunks_failed
        )
        self.rows_missing.labels(venue).set(progress.rows_missing)
        self.rows_per_second.labels(venue).set(progress.rows_per_second(now_ns))
        self.remaining_seconds.labels(venue).set(math.nan if left is None else left)
        written = progress.written
        for result, count in (
            ("new", written.new),
            ("updated", written.updated),
            ("duplicate", written.duplicate),
            ("quarantined", written.quarantined),
        ):
            self.rows.labels(venue, result).set(count)
        for state, count in (
            ("done", progress.chunks_done),
            ("failed", progress.chunks_failed),
            ("present", progress.chunks_present),
        ):
            self.chunks.labels(venue, state).set(count)


def list_figures(progress: Progress, now_ns: int) -> dict[str, Any]:
    """Return the fields of a log line about progress."""
    left = progress.seconds_left(now_ns)
    return {
        "percent": progress.percent,
        "chunks_done": progress.chunks_done,
        "chunks_total": progress.chunks_total,
        "chunks_failed": progress.chunks_failed,
        "rows_new": progress.written.new,
        "rows_duplicate": progress.written.duplicate,
        "rows_missing": progress.rows_missing,
        "rows_per_second": round(progress.rows_per_second(now_ns)),
        "left_seconds": None if left is None else round(left),
        "elapsed_seconds": round((now_ns - progress.started_ns) / 1e9, 3),
    }


def build_report(
    progress: Progress, now_ns: int, *, worker: int, ended: bool, banned_until_ns: int = 0
) -> BackfillReport:
    """Return how far a worker is."""
    left = progress.seconds_left(now_ns)
    banned = banned_until_ns > now_ns
    return BackfillReport(
        worker=worker,
        ended=ended,
        chunks_total=progress.chunks_total,
        chunks_done=progress.chunks_done,
        chunks_failed=progress.chunks_failed,
        chunks_present=progress.chunks_present,
        rows_new=progress.written.new,
        rows_updated=progress.written.updated,
        rows_duplicate=progress.written.duplicate,
        rows_quarantined=progress.written.quarantined,
        rows_expected=progress.rows_expected,
        rows_missing=progress.rows_missing,
        rows_per_second=round(progress.rows_per_second(now_ns)),
        seconds_left=None if left is None else round(left),
        banned_until=datetime.fromtimestamp(banned_until_ns / 1e9, UTC) if banned else None,
        failed=tuple(_problem(result) for result in progress.failed[:FAILED_TOLD]),
    )


def _problem(result: ChunkResult) -> ChunkProblem:
    chunk = result.chunk
    return ChunkProblem(
        instrument=chunk.symbol,
        channel=chunk.channel,
        day=chunk.day,
        reason=result.reason or "Unknown",
        message=result.message[:LONGEST_MESSAGE],
    )
