"""Which run of a Backfill there is: under way, due, or none until the schedule's next time.

A Backfill without a schedule has one run, named after its uid, so that one made anew under the
same name begins anew. Runs of a schedule are named after their minute. Pure.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from feedplane_api.backfill import Backfill
from feedplane_operator.core.backfill_pods import JobView
from feedplane_operator.core.cron import due_time, next_time

_UID_LETTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is under way or due."""

    name: str
    scheduled: datetime | None = None
    """The time by the schedule, of a run that begins."""
    job: JobView | None = None
    """Its Job, where there is one."""


def find_run(backfill: Backfill, jobs: tuple[JobView, ...], now: datetime) -> Run | None:
    """Return the run that is under way or due now; None where there is none.

    One at a time: a run that falls due during another waits for its end.
    """
    live = next((job for job in jobs if not job.finished), None)
    if live is not None:
        return Run(name=live.run, scheduled=_scheduled(backfill, live.run), job=live)
    status = backfill.status
    if status.run is not None and status.completion_time is None:
        return _run(backfill, status.run, jobs)
    if backfill.spec.schedule is None:
        return None if status.run is not None else _run(backfill, _only_run(backfill), jobs)
    since = status.last_schedule_time or backfill.metadata.creation_timestamp or now
    due = due_time(backfill.spec.schedule, since, now)
    return None if due is None else _run(backfill, name_run(due), jobs)


def name_run(scheduled: datetime) -> str:
    """Return the name of a run of a schedule: its minute since the epoch."""
    return str(int(scheduled.timestamp()) // 60)


def next_schedule_time(backfill: Backfill, now: datetime) -> datetime | None:
    """Return when the next run begins; None without a schedule."""
    schedule = backfill.spec.schedule
    return None if schedule is None else next_time(schedule, now)


def _run(backfill: Backfill, name: str, jobs: tuple[JobView, ...]) -> Run:
    job = next((job for job in jobs if job.run == name), None)
    return Run(name=name, scheduled=_scheduled(backfill, name), job=job)


def _only_run(backfill: Backfill) -> str:
    return backfill.metadata.uid[:_UID_LETTERS] or "1"


def _scheduled(backfill: Backfill, name: str) -> datetime | None:
    if backfill.spec.schedule is None or not name.isdecimal():
        return None
    return datetime.fromtimestamp(int(name) * 60, UTC)
