"""How far a run is, from what its workers say, last words and answers alike.

A worker that was replaced counts its chunks anew and its rows from zero, so chunks are taken from
the report that is furthest and rows are added up. Must not know conditions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from feedplane_api.backfill import BackfillStatus, FailedChunk, Progress, Quality
from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.quality import judge_missing, percent_up
from feedplane_operator.core.backfill_pods import JobView
from feedplane_operator.core.observed import BackfillView
from feedplane_operator.core.status import settle

FAILED_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run's workers say all together."""

    progress: Progress
    quality: Quality | None
    failed_chunks: tuple[FailedChunk, ...]
    banned_until_time: datetime | None
    workers_heard: int
    """Workers that have ever said anything."""


def sum_up(view: BackfillView, job: JobView, before: BackfillStatus) -> Figures:
    """Return the figures of a run; `before` is what was said of the same run until now.

    Figures never fall: an operator that was away has not heard of Pods that went in between.
    """
    said = _reports(view, job)
    furthest = _furthest(said.values())
    rows = list(said.values())
    known = len(furthest)
    total = sum(report.chunks_total for report in furthest.values())
    if known:
        # Workers whose turn has not come have shares of about the same size.
        total = total * max(job.workers, known) // known
    now_running = [view.reports[pod.name] for pod in view.pods if _speaks(view, job, pod.name)]
    was = before.progress or Progress()
    done = max(was.chunks_done, sum(report.chunks_done for report in furthest.values()))
    failed = max(was.chunks_failed, sum(report.chunks_failed for report in furthest.values()))
    total = max(total, done + failed, was.chunks_total if known < job.workers else 0)
    rate = sum(report.rows_per_second for report in now_running)
    progress = Progress(
        chunks_total=total,
        chunks_done=done,
        chunks_failed=failed,
        rows_written=max(
            was.rows_written, sum(report.rows_new + report.rows_updated for report in rows)
        ),
        rows_duplicate=max(was.rows_duplicate, sum(report.rows_duplicate for report in rows)),
        rows_quarantined=max(was.rows_quarantined, sum(report.rows_quarantined for report in rows)),
        rows_per_second=settle(was.rows_per_second, rate) or 0 if rate else 0,
        seconds_left=_seconds_left(now_running),
        percent=_percent(done, total, job),
    )
    bans = [report.banned_until for report in now_running if report.banned_until is not None]
    return Figures(
        progress=progress,
        quality=_quality(rows) or before.quality,
        failed_chunks=_failed(furthest.values()) or before.failed_chunks,
        banned_until_time=max(bans, default=None),
        workers_heard=known,
    )


def _reports(view: BackfillView, job: JobView) -> dict[str, BackfillReport]:
    # By Pod: its last words, or what it answered last; Pods that are gone only answered.
    said = dict(view.reports)
    for pod in view.pods:
        if pod.job == job.name and pod.last_words is not None:
            said[pod.name] = pod.last_words
    return said


def _furthest(reports: Iterable[BackfillReport]) -> dict[int, BackfillReport]:
    found: dict[int, BackfillReport] = {}
    for report in reports:
        known = found.get(report.worker)
        if known is None or _distance(report) >= _distance(known):
            found[report.worker] = report
    return found


def _distance(report: BackfillReport) -> tuple[bool, int]:
    return report.ended, report.chunks_done + report.chunks_failed


def _speaks(view: BackfillView, job: JobView, name: str) -> bool:
    return name in view.reports and any(
        pod.name == name and pod.job == job.name and pod.running for pod in view.pods
    )


def _seconds_left(running: Iterable[BackfillReport]) -> int | None:
    left = [report.seconds_left for report in running if report.seconds_left is not None]
    return max(left, default=None)


def _percent(done: int, total: int, job: JobView) -> int:
    if total == 0:
        return 100 if job.complete else 0
    return min(100, done * 100 // total)


def _quality(reports: Iterable[BackfillReport]) -> Quality | None:
    expected = missing = 0
    for report in reports:
        expected += report.rows_expected
        missing += report.rows_missing
    if not expected:
        return None
    return Quality(
        expected=expected,
        missing=missing,
        percent=min(100, percent_up(missing, expected)),
        severity=judge_missing(missing, expected),
    )


def _failed(reports: Iterable[BackfillReport]) -> tuple[FailedChunk, ...]:
    chunks: Mapping[tuple[str, str, str], FailedChunk] = {
        (chunk.day, chunk.instrument, chunk.channel): FailedChunk(
            instrument=chunk.instrument,
            channel=chunk.channel,
            day=chunk.day,
            reason=chunk.reason,
            message=chunk.message,
        )
        for report in reports
        for chunk in report.failed
    }
    return tuple(chunks[key] for key in sorted(chunks)[:FAILED_SHOWN])
