"""Backfill: from the spec and what stands around it to a Plan.

A run is an Indexed Job. It is made when the run is due and its turn has come, it is only ever
paused or resumed after that, and its end is written down before anything of it is cleared away.
"""

from datetime import datetime, timedelta
from typing import Final

from feedplane_api.backfill import Backfill, BackfillStatus
from feedplane_api.conditions import Reason
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, FeedState
from feedplane_api.subscription import Subscription
from feedplane_operator.core.backfill_config import build_config, check_backfill, list_wanted
from feedplane_operator.core.backfill_pods import BackfillPod, JobView, parse_jobs
from feedplane_operator.core.backfill_progress import Figures, sum_up
from feedplane_operator.core.backfill_runs import Run, find_run, next_schedule_time
from feedplane_operator.core.backfill_status import (
    begin,
    end_status,
    note_backfill_turns,
    refuse,
    rest,
    run_status,
    say_running,
)
from feedplane_operator.core.checks import Refusal, is_owned
from feedplane_operator.core.children.backfill import (
    account_name,
    adjust_job,
    build_run,
    config_name,
    job_name,
)
from feedplane_operator.core.cron import check_schedule
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.core.pods import judge_pod
from feedplane_operator.core.status import changed_status, no, read_status

RESYNC_SECONDS: Final = 300.0
WATCHFUL_SECONDS: Final = 5.0
"""What waits for another object is looked at this often."""
LAST_WORDS: Final = timedelta(seconds=20)
"""How long after a Job's end the last words of its Pods may take to arrive."""


def reconcile_backfill(resource: Manifest, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for a Backfill; a second look finds nothing to do."""
    try:
        backfill = Backfill.parse(resource)
    except InvalidSpecError as error:
        return _refuse(resource, (Reason.INVALID_SPEC, str(error)), now)
    schedule = backfill.spec.schedule
    wrong = check_schedule(schedule, now) if schedule is not None else None
    if wrong is not None:
        return _refuse(resource, (Reason.INVALID_SPEC, wrong), now)
    run = find_run(backfill, parse_jobs(observed.children), now)
    if run is None:
        return _rest(backfill, observed, now)
    if run.job is not None:
        return _go_on(backfill, run, run.job, observed, now)
    found = check_backfill(backfill, observed)
    if isinstance(found[0], Reason):
        return _refuse(resource, (found[0], str(found[1])), now)
    return _start(backfill, run, found, observed, now)


def _rest(backfill: Backfill, observed: Observed, now: datetime) -> Plan:
    # Nothing is under way: everything of earlier runs goes but the Jobs of those remembered.
    status, spec = backfill.status, backfill.spec
    expiry = _expiry(backfill)
    if expiry is not None and expiry <= now:
        return Plan(delete=(Ref(backfill.kind.value, *_place(backfill)),))
    verdict = None
    upcoming = next_schedule_time(backfill, now)
    if spec.schedule is not None and upcoming is not None:
        verdict = no(Reason.AWAITING_SCHEDULE, f"the next run is at {upcoming:%Y-%m-%dT%H:%M:%SZ}")
        if spec.state is FeedState.PAUSED:
            verdict = no(Reason.PAUSED_BY_SPEC)
    after = rest(backfill, verdict, now)
    kept = {job_name(backfill.metadata.name, record.run) for record in status.history}
    return Plan(
        delete=_surplus(backfill, observed, keep=frozenset(kept)),
        status=changed_status(status, after),
        events=note_backfill_turns(status, after),
        requeue_after_seconds=_until(min(filter(None, (upcoming, expiry)), default=None), now),
    )


def _start(
    backfill: Backfill,
    run: Run,
    found: tuple[FeedSource, Subscription | None],
    observed: Observed,
    now: datetime,
) -> Plan:
    feed_source, subscription = found
    if backfill.spec.state is FeedState.PAUSED:
        return _wait(backfill, Reason.PAUSED_BY_SPEC, "", now)
    wanted = list_wanted(backfill, subscription, observed)
    if wanted is None:
        return _wait(backfill, Reason.AWAITING_LISTING, "", now, seconds=WATCHFUL_SECONDS)
    if not wanted:
        refusal = (Reason.SELECTOR_MATCHES_NOTHING, "spec.selector: no listed instrument matches")
        return _refuse_run(backfill, refusal, now)
    workers = min(backfill.spec.parallelism, observed.backfill.most_workers)
    if not observed.backfill.may_start(workers):
        said = f"{observed.backfill.most_workers} workers of all Backfills may run at once"
        return _wait(backfill, Reason.QUEUED, said, now, waiting=workers)
    begun = begin(backfill, run, now)
    config = build_config(backfill, feed_source, wanted, run, begun.start_time or now)
    children = build_run(backfill, feed_source, config, workers, observed.defaults)
    taken = _check_names(backfill, children, observed)
    if taken is not None:
        return _refuse_run(backfill, taken, now)
    job = JobView(
        name=job_name(backfill.metadata.name, run.name),
        run=run.name,
        workers=config.workers,
        parallelism=workers,
        suspended=False,
        deleting=False,
        created=None,
        succeeded=0,
        complete=False,
        failed=None,
        finish_time=None,
    )
    figures = sum_up(observed.backfill, job, begun)
    after = run_status(backfill, begun, say_running(figures, job), None, now)
    return Plan(
        apply=children,
        status=changed_status(backfill.status, after),
        events=note_backfill_turns(backfill.status, after),
        requeue_after_seconds=RESYNC_SECONDS,
        starting=workers,
    )


def _go_on(backfill: Backfill, run: Run, job: JobView, observed: Observed, now: datetime) -> Plan:
    begun = begin(backfill, run, now)
    figures = sum_up(observed.backfill, job, begun)
    if job.finished:
        return _finish(backfill, begun, job, figures, observed, now)
    paused = backfill.spec.state is FeedState.PAUSED
    most = observed.backfill.most_workers
    workers = min(backfill.spec.parallelism, job.workers, most)
    resumes = job.suspended and not paused
    may = not resumes or observed.backfill.may_start(workers)
    live = observed.children[Ref("Job", backfill.metadata.namespace, job.name)]
    change = None
    if not job.deleting:
        change = adjust_job(live, parallelism=workers, suspended=paused or not may)
    verdict = say_running(figures, job)
    if paused:
        verdict = no(Reason.PAUSED_BY_SPEC)
    elif not may:
        said = f"{most} workers of all Backfills may run at once"
        verdict = no(Reason.QUEUED, said)
    else:
        trouble = _find_trouble(observed.backfill.pods, job)
        verdict = verdict if trouble is None else no(*trouble)
    after = run_status(backfill, begun, verdict, figures, now)
    healed = _heal(backfill, run, begun, observed)
    return Plan(
        apply=healed if change is None else (*healed, change),
        delete=_surplus(backfill, observed, keep=_kept(backfill, job)),
        status=changed_status(backfill.status, after),
        events=note_backfill_turns(backfill.status, after),
        requeue_after_seconds=RESYNC_SECONDS,
        waiting=workers if not may else 0,
        starting=workers if resumes and may else 0,
    )


def _heal(
    backfill: Backfill, run: Run, begun: BackfillStatus, observed: Observed
) -> tuple[Manifest, ...]:
    # What somebody deleted, and the run's next Pod needs. Its chunks are the same whatever has
    # become of the FeedSource since; only its instruments are looked up anew.
    names = (account_name(backfill.metadata.name), config_name(backfill.metadata.name, run.name))
    here = {ref.name for ref in observed.children if ref.kind != "Job"}
    found = check_backfill(backfill, observed)
    if here.issuperset(names) or isinstance(found[0], Reason) or begun.start_time is None:
        return ()
    feed_source, subscription = found
    wanted = list_wanted(backfill, subscription, observed)
    if not wanted:
        return ()
    config = build_config(backfill, feed_source, wanted, run, begun.start_time)
    children = build_run(backfill, feed_source, config, 1, observed.defaults)
    return tuple(
        child for child in children if child["kind"] != "Job" and ref_of(child).name not in here
    )


def _finish(
    backfill: Backfill,
    begun: BackfillStatus,
    job: JobView,
    figures: Figures,
    observed: Observed,
    now: datetime,
) -> Plan:
    # The Job's end may be seen before the last words of its Pods are.
    late = job.finish_time is not None and now - job.finish_time > LAST_WORDS
    if figures.workers_heard < job.succeeded and not late:
        return Plan(requeue_after_seconds=1.0)
    if any(not pod.ended for pod in observed.backfill.pods if pod.job == job.name) and not late:
        return Plan(requeue_after_seconds=1.0)
    trouble = _find_trouble(observed.backfill.pods, job)
    after = end_status(backfill, begun, job, figures, trouble, now)
    ended = backfill.model_copy(update={"status": after})
    expiry = _expiry(ended)
    upcoming = next_schedule_time(backfill, now)
    return Plan(
        delete=_surplus(backfill, observed, keep=_kept(ended, job)),
        status=changed_status(backfill.status, after),
        events=note_backfill_turns(backfill.status, after),
        requeue_after_seconds=_until(min(filter(None, (upcoming, expiry)), default=None), now),
    )


def _wait(
    backfill: Backfill,
    reason: Reason,
    message: str,
    now: datetime,
    *,
    seconds: float = RESYNC_SECONDS,
    waiting: int = 0,
) -> Plan:
    after = rest(backfill, no(reason, message), now)
    return Plan(
        status=changed_status(backfill.status, after),
        events=note_backfill_turns(backfill.status, after),
        requeue_after_seconds=seconds,
        waiting=waiting,
    )


def _refuse(resource: Manifest, refusal: Refusal, now: datetime) -> Plan:
    before = read_status(BackfillStatus, resource)
    generation = int(resource["metadata"].get("generation", 0))
    after = refuse(before, refusal, generation, now)
    return Plan(
        status=changed_status(before, after),
        events=note_backfill_turns(before, after),
        requeue_after_seconds=RESYNC_SECONDS,
    )


def _refuse_run(backfill: Backfill, refusal: Refusal, now: datetime) -> Plan:
    after = refuse(backfill.status, refusal, backfill.metadata.generation, now)
    return Plan(
        status=changed_status(backfill.status, after),
        events=note_backfill_turns(backfill.status, after),
        requeue_after_seconds=RESYNC_SECONDS,
    )


def _find_trouble(pods: tuple[BackfillPod, ...], job: JobView) -> Refusal | None:
    # What keeps workers from working; a Pod that did its work says nothing here.
    troubles = [
        judged
        for pod in pods
        if pod.job == job.name and pod.last_words is None
        for judged in [judge_pod(pod.view)]
        if judged is not None
    ]
    return troubles[0] if troubles else None


def _check_names(
    backfill: Backfill, children: tuple[Manifest, ...], observed: Observed
) -> Refusal | None:
    for child in children:
        ref = ref_of(child)
        live = observed.children.get(ref)
        foreign = live is not None and not is_owned(live, backfill.metadata.uid)
        if foreign or ref in observed.taken_names:
            return Reason.NAME_CONFLICT, f"{ref.kind} {ref.name} belongs to something else"
    return None


def _kept(backfill: Backfill, job: JobView) -> frozenset[str]:
    name = backfill.metadata.name
    jobs = {job_name(name, record.run) for record in backfill.status.history}
    if not job.finished:
        return frozenset({*jobs, job.name, config_name(name, job.run), account_name(name)})
    # Without a schedule the Job goes by its own time to live.
    return frozenset(jobs if backfill.spec.schedule is not None else {*jobs, job.name})


def _surplus(backfill: Backfill, observed: Observed, keep: frozenset[str]) -> tuple[Ref, ...]:
    return tuple(
        ref
        for ref in sorted(observed.children)
        if ref.name not in keep
        and is_owned(observed.children[ref], backfill.metadata.uid)
        and "deletionTimestamp" not in observed.children[ref]["metadata"]
    )


def _expiry(backfill: Backfill) -> datetime | None:
    seconds, ended = backfill.spec.ttl_seconds_after_finished, backfill.status.completion_time
    if seconds is None or ended is None:
        return None
    return ended + timedelta(seconds=seconds)


def _until(moment: datetime | None, now: datetime) -> float:
    if moment is None:
        return RESYNC_SECONDS
    return min(RESYNC_SECONDS, max(0.5, (moment - now).total_seconds() + 0.1))


def _place(backfill: Backfill) -> tuple[str, str]:
    return backfill.metadata.namespace, backfill.metadata.name
