"""A Backfill's status: conditions, figures, history, and the events they are worth.

Must not know how anything was observed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from feedplane_api.backfill import (
    Backfill,
    BackfillStatus,
    FailedChunk,
    Outcome,
    Progress,
    RunRecord,
    Severity,
)
from feedplane_api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from feedplane_operator.core.backfill_pods import JobView
from feedplane_operator.core.backfill_progress import Figures
from feedplane_operator.core.backfill_runs import Run, next_schedule_time
from feedplane_operator.core.plan import Note
from feedplane_operator.core.status import (
    Turn,
    Verdict,
    no,
    note_turns,
    write_conditions,
    yes,
)
from feedplane_operator.events import EventReason

NAMED_IN_MESSAGE: Final = 3
TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
_TURNS: tuple[Turn, ...] = (
    (ConditionType.ACCEPTED, TRUE, EventReason.SPEC_ACCEPTED),
    (ConditionType.ACCEPTED, FALSE, EventReason.SPEC_REFUSED),
    (ConditionType.RUNNING, TRUE, EventReason.BACKFILL_STARTED),
    (ConditionType.SUCCEEDED, TRUE, EventReason.BACKFILL_SUCCEEDED),
    (ConditionType.FAILED, TRUE, EventReason.BACKFILL_FAILED),
)
_SILENT_FIRST = frozenset({EventReason.SPEC_ACCEPTED})


def refuse(
    backfill: BackfillStatus, refusal: tuple[Reason, str], generation: int, now: datetime
) -> BackfillStatus:
    """Return the status of a Backfill that cannot run; what was said of earlier runs stays."""
    ended = backfill.completion_time is not None
    return _with(
        backfill,
        {
            ConditionType.ACCEPTED: no(*refusal),
            ConditionType.RUNNING: None if ended else no(Reason.NOT_ACCEPTED),
            ConditionType.SUCCEEDED: None if ended else no(Reason.NOT_FINISHED),
            ConditionType.FAILED: None if ended else no(Reason.NOT_FAILED),
        },
        generation,
        now,
    )


def rest(backfill: Backfill, verdict: Verdict | None, now: datetime) -> BackfillStatus:
    """Return the status while no run is under way; without a verdict the last run's stays."""
    before = backfill.status
    fresh = not before.conditions or before.run is None
    after = _with(
        before,
        {
            ConditionType.ACCEPTED: yes(Reason.VALID),
            ConditionType.RUNNING: verdict,
            ConditionType.SUCCEEDED: no(Reason.NOT_FINISHED) if fresh else None,
            ConditionType.FAILED: no(Reason.NOT_FAILED) if fresh else None,
        },
        backfill.metadata.generation,
        now,
    )
    return after.model_copy(update={"next_schedule_time": next_schedule_time(backfill, now)})


def begin(backfill: Backfill, run: Run, now: datetime) -> BackfillStatus:
    """Return the status with everything of a former run taken out of it."""
    before = backfill.status
    if before.run == run.name and before.start_time is not None:
        return before
    started = run.job.created if run.job is not None and run.job.created else now
    return before.model_copy(
        update={
            "run": run.name,
            "start_time": started.replace(microsecond=0),
            "completion_time": None,
            "last_schedule_time": run.scheduled,
            "progress": Progress(),
            "quality": None,
            "failed_chunks": (),
            "banned_until_time": None,
        }
    )


def run_status(
    backfill: Backfill,
    begun: BackfillStatus,
    verdict: Verdict,
    figures: Figures | None,
    now: datetime,
    *,
    refusal: tuple[Reason, str] | None = None,
) -> BackfillStatus:
    """Return the status of a run that is under way."""
    after = _with(
        begun,
        {
            ConditionType.ACCEPTED: yes(Reason.VALID) if refusal is None else no(*refusal),
            ConditionType.RUNNING: verdict,
            ConditionType.SUCCEEDED: no(Reason.NOT_FINISHED),
            ConditionType.FAILED: no(Reason.NOT_FAILED),
        },
        backfill.metadata.generation,
        now,
    )
    changes: dict[str, Any] = {"next_schedule_time": next_schedule_time(backfill, now)}
    if figures is not None:
        changes |= _figures(figures)
    return after.model_copy(update=changes)


def end_status(
    backfill: Backfill,
    begun: BackfillStatus,
    job: JobView,
    figures: Figures,
    trouble: tuple[Reason, str] | None,
    now: datetime,
) -> BackfillStatus:
    """Return the status of a run that has come to its end."""
    failure = judge_end(job, figures, trouble)
    said = _say_end(figures)
    verdict = no(failure[0] if failure else Reason.CHUNKS_DONE, said)
    succeeded = yes(Reason.CHUNKS_DONE, said) if failure is None else no(*failure)
    after = _with(
        begun,
        {
            ConditionType.ACCEPTED: yes(Reason.VALID),
            ConditionType.RUNNING: verdict,
            ConditionType.SUCCEEDED: succeeded,
            ConditionType.FAILED: no(Reason.NOT_FAILED) if failure is None else yes(*failure),
        },
        backfill.metadata.generation,
        now,
    )
    finish = (job.finish_time or now).replace(microsecond=0)
    progress = figures.progress.model_copy(update={"rows_per_second": 0, "seconds_left": None})
    record = RunRecord(
        run=begun.run or job.run,
        outcome=Outcome.SUCCEEDED if failure is None else Outcome.FAILED,
        start_time=begun.start_time or finish,
        completion_time=finish,
        rows_written=progress.rows_written,
        rows_missing=figures.quality.missing if figures.quality else 0,
        chunks_failed=progress.chunks_failed,
    )
    return after.model_copy(
        update={
            **_figures(figures),
            "progress": progress,
            "banned_until_time": None,
            "completion_time": finish,
            "history": keep_history(backfill, (record, *begun.history)),
            "next_schedule_time": next_schedule_time(backfill, now),
        }
    )


def keep_history(backfill: Backfill, records: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Return the runs to remember: the newest of each outcome, within the schedule's limits."""
    schedule = backfill.spec.schedule
    if schedule is None:
        return tuple(records[:1])
    left = {
        Outcome.SUCCEEDED: schedule.succeeded_history_limit,
        Outcome.FAILED: schedule.failed_history_limit,
    }
    kept = []
    for record in records:
        if left[record.outcome] > 0:
            left[record.outcome] -= 1
            kept.append(record)
    return tuple(kept)


def judge_end(
    job: JobView, figures: Figures, trouble: tuple[Reason, str] | None
) -> tuple[Reason, str] | None:
    """Return why a run counts as failed, and what exactly is missing; None where it succeeded."""
    progress, quality = figures.progress, figures.quality
    if job.failed is not None:
        return trouble or (Reason.WORKERS_FAILED, job.failed)
    if progress.chunks_failed:
        return Reason.CHUNKS_FAILED, say_failed(progress, figures.failed_chunks)
    if quality is not None and quality.severity is Severity.ERROR:
        said = f"{quality.missing} of {quality.expected} expected rows are nowhere"
        return Reason.QUALITY_BREACHED, said
    return None


def say_running(figures: Figures, job: JobView) -> Verdict:
    """Return what is said of a run that is under way."""
    progress = figures.progress
    if not figures.workers_heard:
        return yes(Reason.WORKERS_STARTING, f"{job.parallelism} workers are starting")
    left = "" if progress.seconds_left is None else f", {progress.seconds_left} s left"
    failed = f", {progress.chunks_failed} failed" if progress.chunks_failed else ""
    said = (
        f"{progress.chunks_done} of {progress.chunks_total} chunks{failed},"
        f" {progress.rows_per_second} rows/s{left}"
    )
    if figures.banned_until_time is not None:
        said += f"; the venue bans until {figures.banned_until_time:%Y-%m-%dT%H:%M:%SZ}"
    return yes(Reason.CHUNKS_RUNNING, said)


def say_failed(progress: Progress, chunks: Sequence[FailedChunk]) -> str:
    """Return which chunks failed, the first few by name."""
    named = [
        f"{chunk.instrument} {chunk.channel} {chunk.day} ({chunk.reason})"
        for chunk in chunks[:NAMED_IN_MESSAGE]
    ]
    more = progress.chunks_failed - len(named)
    tail = f" and {more} more" if more > 0 and named else ""
    total = f"{progress.chunks_failed} of {progress.chunks_total} chunks failed"
    return f"{total}: {', '.join(named)}{tail}" if named else total


def note_backfill_turns(before: BackfillStatus, after: BackfillStatus) -> tuple[Note, ...]:
    """Return the events that a change of status is worth."""
    notes = note_turns(before.conditions, after.conditions, _TURNS, silent_first=_SILENT_FIRST)
    failed = find_condition(after.conditions, ConditionType.FAILED)
    if failed is not None and failed.reason == Reason.QUALITY_BREACHED.value:
        notes += tuple(
            Note(reason=EventReason.QUALITY_BREACHED, message=note.message, warning=True)
            for note in notes
            if note.reason is EventReason.BACKFILL_FAILED
        )
    return notes


def _say_end(figures: Figures) -> str:
    progress, quality = figures.progress, figures.quality
    missing = f", {quality.missing} rows missing" if quality and quality.missing else ""
    failed = f", {progress.chunks_failed} failed" if progress.chunks_failed else ""
    return (
        f"{progress.chunks_done} of {progress.chunks_total} chunks{failed},"
        f" {progress.rows_written} rows written{missing}"
    )


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "progress": figures.progress,
        "quality": figures.quality,
        "failed_chunks": figures.failed_chunks,
        "banned_until_time": figures.banned_until_time,
    }


def _with(
    status: BackfillStatus,
    verdicts: dict[ConditionType, Verdict | None],
    generation: int,
    now: datetime,
) -> BackfillStatus:
    conditions = write_conditions(status.conditions, verdicts, generation, now)
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})
