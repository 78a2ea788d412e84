from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from support_backfills import JOB, ended, pod, report

from feedplane_api.backfill import BackfillStatus, Progress
from feedplane_api.backfill_worker import BackfillReport
from feedplane_operator.core.backfill_pods import JobView
from feedplane_operator.core.backfill_progress import sum_up
from feedplane_operator.core.observed import BackfillView

NOTHING = BackfillStatus()


def job(workers: int = 2, **changes: Any) -> JobView:
    fields: dict[str, Any] = {
        "name": JOB.name,
        "run": "uid-1",
        "workers": workers,
        "parallelism": workers,
        "suspended": False,
        "deleting": False,
        "created": None,
        "succeeded": 0,
        "complete": False,
        "failed": None,
        "finish_time": None,
        **changes,
    }
    return JobView(**fields)


def view(*reports: BackfillReport) -> BackfillView:
    pods = [pod(each.worker) for each in reports]
    return BackfillView(
        pods=tuple(pods), reports={p.name: r for p, r in zip(pods, reports, strict=True)}
    )


def test_nobody_heard_is_nothing_done() -> None:
    figures = sum_up(BackfillView(), job(), NOTHING)
    assert figures.progress == Progress()
    assert (figures.workers_heard, figures.quality) == (0, None)


def test_shares_of_workers_to_come_are_guessed() -> None:
    figures = sum_up(view(report(0)), job(4), NOTHING)
    assert (figures.progress.chunks_total, figures.progress.percent) == (40, 7)


def test_replaced_worker_adds_rows_and_no_chunks() -> None:
    first, second = pod(0, suffix="first"), pod(0, suffix="second")
    reports = {
        first.name: report(0, chunks_done=6, rows_new=600),
        second.name: report(0, chunks_done=7, rows_new=100),
    }
    figures = sum_up(BackfillView(pods=(second,), reports=reports), job(1), NOTHING)
    assert (figures.progress.chunks_done, figures.progress.rows_written) == (7, 700)


def test_figures_do_not_fall_when_pods_are_forgotten() -> None:
    before = BackfillStatus(progress=Progress(chunks_total=20, chunks_done=9, rows_written=900))
    figures = sum_up(view(report(0, chunks_done=1, rows_new=1)), job(), before)
    assert (figures.progress.chunks_done, figures.progress.rows_written) == (9, 900)


def test_rate_and_time_left_are_those_of_running_workers() -> None:
    running = view(report(0, rows_per_second=500, seconds_left=9), report(1, seconds_left=None))
    both = replace(running, pods=(*running.pods, ended(2, rows_per_second=9_999)))
    figures = sum_up(both, job(3), NOTHING)
    assert (figures.progress.rows_per_second, figures.progress.seconds_left) == (1_500, 9)


def test_pods_of_another_run_do_not_count() -> None:
    other = pod(0, job="history-0")
    figures = sum_up(BackfillView(pods=(other,)), job(), NOTHING)
    assert figures.workers_heard == 0


def test_run_without_chunks_is_complete() -> None:
    empty = view(report(0, chunks_total=0, chunks_done=0, rows_expected=0))
    assert sum_up(empty, job(1, complete=True), NOTHING).progress.percent == 100


def test_last_ban_that_ends_is_told() -> None:
    early, late = (datetime(2026, 11, 21, hour, tzinfo=UTC) for hour in (9, 10))
    figures = sum_up(
        view(report(0, banned_until=late), report(1, banned_until=early)), job(), NOTHING
    )
    assert figures.banned_until_time == late


def test_failed_chunks_are_the_first_twenty_by_day() -> None:
    chunks = tuple(
        {"instrument": "BTCUSDT", "channel": "trade", "day": f"2026-10-{day:02}", "reason": "X"}
        for day in range(31, 0, -1)
    )
    figures = sum_up(view(report(0, chunks_failed=31, failed=chunks)), job(1), NOTHING)
    assert [chunk.day for chunk in figures.failed_chunks][:2] == ["2026-10-01", "2026-10-02"]
    assert len(figures.failed_chunks) == 20
