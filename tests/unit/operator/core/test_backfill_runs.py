from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from support_backfills import FEED, again, ended, nightly, start
from support_plans import NOW, after
from support_resources import JsonDict, condition

from feedplane_api.backfill_worker import parse_backfill_config
from feedplane_operator.core.observed import BackfillView, Observed
from feedplane_operator.core.plan import Ref
from feedplane_operator.core.reconcile_backfill import reconcile_backfill


def _config(observed: Observed, ref: Ref) -> Any:
    return parse_backfill_config(observed.children[ref]["data"]["backfill.yaml"])


def _said(resource: JsonDict, kind: str) -> tuple[str, str]:
    found = condition(resource, kind)
    return found["status"], found["reason"]


def test_schedule_nobody_can_keep_is_refused() -> None:
    resource = nightly()
    resource["spec"]["schedule"] = {"cron": "61 1 * * *"}
    written, plan = again(resource, FEED)
    assert _said(written, "Accepted") == ("False", "InvalidSpec")
    assert plan.apply == ()


def test_schedule_waits_for_its_next_time() -> None:
    resource = nightly()
    early = datetime(2026, 11, 20, 13, tzinfo=UTC)
    written, plan = again(resource, FEED, early)
    assert _said(written, "Running") == ("False", "AwaitingSchedule")
    assert written["status"]["nextScheduleTime"] == "2026-11-21T01:30:00Z"
    assert (plan.apply, plan.requeue_after_seconds) == ((), 300.0)
    soon = datetime(2026, 11, 21, 1, 29, 58, tzinfo=UTC)
    assert 1 < (again(written, FEED, soon)[1].requeue_after_seconds or 0) < 3


def test_schedule_due_runs_over_its_window() -> None:
    written, observed = start(nightly())
    minute = str(int(datetime(2026, 11, 21, 1, 30, tzinfo=UTC).timestamp()) // 60)
    assert Ref("Job", "default", f"history-{minute}") in observed.children
    assert written["status"]["lastScheduleTime"] == "2026-11-21T01:30:00Z"
    assert written["status"]["nextScheduleTime"] == "2026-11-22T01:30:00Z"
    config = _config(observed, Ref("ConfigMap", "default", f"backfill-history-{minute}"))
    assert config.start == datetime(2026, 11, 18, tzinfo=UTC)
    assert config.end == datetime(2026, 11, 21, tzinfo=UTC)


def test_schedule_runs_once_however_many_times_were_missed() -> None:
    written, observed = start(nightly(), datetime(2026, 11, 25, 9, tzinfo=UTC))
    assert written["status"]["lastScheduleTime"] == "2026-11-25T01:30:00Z"
    jobs = [ref for ref in observed.children if ref.kind == "Job"]
    assert len(jobs) == 1


def test_schedule_keeps_as_much_history_as_asked() -> None:
    resource = nightly(parallelism=1)
    resource["spec"]["schedule"]["succeededHistoryLimit"] = 2
    observed, day = FEED, NOW
    for _ in range(4):
        resource, observed = after(resource, observed, reconcile_backfill(resource, observed, day))
        job = next(
            ref
            for ref, child in observed.children.items()
            if ref.kind == "Job" and "status" not in child
        )
        done = {
            "succeeded": 1,
            "completionTime": (day + timedelta(minutes=1)).isoformat(),
            "conditions": [{"type": "Complete", "status": "True"}],
        }
        children = {**observed.children, job: {**observed.children[job], "status": done}}
        words = ended()
        view = BackfillView(pods=(replace(words, job=job.name),))
        observed = replace(observed, children=children, backfill=view)
        day += timedelta(minutes=5)
        resource, observed = after(resource, observed, reconcile_backfill(resource, observed, day))
        assert _said(resource, "Succeeded") == ("True", "ChunksDone")
        observed = replace(observed, backfill=BackfillView())
        day += timedelta(days=1)
    assert len(resource["status"]["history"]) == 2
    assert [ref.kind for ref in observed.children] == ["Job", "Job"]


def test_paused_schedule_starts_no_run() -> None:
    written, plan = again(nightly(state="Paused"), FEED)
    assert _said(written, "Running") == ("False", "PausedBySpec")
    assert plan.apply == ()


def test_schedule_paused_between_runs_says_so() -> None:
    early = datetime(2026, 11, 20, 13, tzinfo=UTC)
    written, plan = again(nightly(state="Paused"), FEED, early)
    assert _said(written, "Running") == ("False", "PausedBySpec")
    assert plan.apply == ()
