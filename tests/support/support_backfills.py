"""Backfills as tests of the operator write them, and a Job controller in memory."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from support_plans import NOW, after, stored
from support_resources import BACKFILL, JsonDict, feed_source

from feedplane_api.backfill_worker import BackfillReport, render_termination
from feedplane_operator.core.backfill_pods import BackfillPod, parse_backfill_pod
from feedplane_operator.core.observed import BackfillView, Observed
from feedplane_operator.core.plan import Plan, Ref
from feedplane_operator.core.reconcile_backfill import reconcile_backfill

FEED = Observed(feed_source=stored(feed_source("spot")))
RUN = "uid-1"
JOB = Ref("Job", "default", f"history-{RUN}")


def backfill(**spec: Any) -> JsonDict:
    """Return a Backfill as the API server has it."""
    body: JsonDict = {**BACKFILL["spec"], **spec}  # type: ignore[dict-item]
    body = {key: value for key, value in body.items() if value is not None}
    return stored({**BACKFILL, "spec": body})


def nightly(**spec: Any) -> JsonDict:
    """Return a Backfill that runs each night at half past one."""
    schedule = {"cron": "30 1 * * *"}
    made = backfill(range=None, window={"lastDays": 3}, schedule=schedule, **spec)
    made["metadata"]["creationTimestamp"] = "2026-11-20T12:00:00Z"
    return made


def start(resource: JsonDict, now: datetime = NOW) -> tuple[JsonDict, Observed]:
    """Return a Backfill and its surroundings once its run has begun."""
    plan = reconcile_backfill(resource, FEED, now)
    return after(resource, FEED, plan)


def again(resource: JsonDict, observed: Observed, now: datetime = NOW) -> tuple[JsonDict, Plan]:
    """Return a Backfill as the next reconcile leaves it, and what that planned."""
    plan = reconcile_backfill(resource, observed, now)
    return after(resource, observed, plan)[0], plan


def report(worker: int = 0, **changes: Any) -> BackfillReport:
    """Return what a worker says that has done three of ten chunks."""
    fields: JsonDict = {
        "worker": worker,
        "chunks_total": 10,
        "chunks_done": 3,
        "rows_new": 3_000,
        "rows_expected": 3_000,
        "rows_per_second": 1_000,
        "seconds_left": 7,
        **changes,
    }
    return BackfillReport(**fields)


def pod(worker: int = 0, last_words: str | None = None, **changes: Any) -> BackfillPod:
    """Return the Pod of a worker, running or, with last words, ended."""
    name = f"{JOB.name}-{worker}-{changes.pop('suffix', 'abcde')}"
    code = changes.pop("exit_code", 0)
    status: JsonDict = {"phase": "Running", "podIP": "10.0.0.7"}
    if last_words is not None:
        state = {"terminated": {"exitCode": code, "message": last_words}}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "feeder", "state": state}],
        }
    labels = {"batch.kubernetes.io/job-name": changes.pop("job", JOB.name)}
    annotations = {"batch.kubernetes.io/job-completion-index": str(worker)}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return parse_backfill_pod({"metadata": metadata, "status": {**status, **changes}})


def ended(worker: int = 0, **changes: Any) -> BackfillPod:
    """Return the Pod of a worker that did its whole share."""
    said = report(worker, **{"chunks_done": 10, "ended": True, **changes})
    return pod(worker, render_termination(said))


def heard(observed: Observed, *reports: BackfillReport, **changes: Any) -> Observed:
    """Return the surroundings with workers that run and answer."""
    pods = tuple(pod(each.worker) for each in reports)
    said = {one.name: each for one, each in zip(pods, reports, strict=True)}
    return replace(observed, backfill=BackfillView(pods=pods, reports=said, **changes))


def finish(observed: Observed, *pods: BackfillPod, **status: Any) -> Observed:
    """Return the surroundings once the Job has come to its end."""
    ref = next(ref for ref in observed.children if ref.kind == "Job")
    done = {
        "succeeded": len(pods),
        "completionTime": "2026-11-21T08:10:00Z",
        "conditions": [{"type": "Complete", "status": "True"}],
        **status,
    }
    job = json.loads(json.dumps(observed.children[ref]))
    children = {**observed.children, ref: {**job, "status": done}}
    return replace(observed, children=children, backfill=BackfillView(pods=pods))
