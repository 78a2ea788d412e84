from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support_backfills import (
    FEED,
    JOB,
    again,
    backfill,
    ended,
    finish,
    heard,
    pod,
    report,
    start,
)
from support_plans import NOW, after, parse_subscription
from support_resources import JsonDict, condition, subscription

from feedplane_api.backfill_worker import parse_backfill_config
from feedplane_operator.core.observed import BackfillView, Observed
from feedplane_operator.core.plan import Plan, Ref
from feedplane_operator.core.reconcile_backfill import reconcile_backfill
from feedplane_operator.events import EventReason

LATER = NOW + timedelta(minutes=11)
CONFIG = Ref("ConfigMap", "default", "backfill-history-uid-1")


def _config(observed: Observed, ref: Ref = CONFIG) -> Any:
    return parse_backfill_config(observed.children[ref]["data"]["backfill.yaml"])


def _said(resource: JsonDict, kind: str) -> tuple[str, str]:
    found = condition(resource, kind)
    return found["status"], found["reason"]


def test_valid_backfill_becomes_an_indexed_job() -> None:
    written, observed = start(backfill(parallelism=3))
    assert [ref.kind for ref in observed.children] == ["ServiceAccount", "ConfigMap", "Job"]
    spec = observed.children[JOB]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert _said(written, "Running") == ("True", "WorkersStarting")
    assert written["status"]["run"] == "uid-1"
    config = _config(observed)
    assert (config.name, config.run, config.workers) == ("history", "uid-1", 3)
    assert [(line.symbol, line.channels) for line in config.wanted] == [("BTCUSDT", ("trade",))]
    assert config.start == datetime(2026, 11, 1, tzinfo=UTC)


def test_run_that_began_leaves_nothing_to_plan() -> None:
    written, observed = start(backfill())
    plan = reconcile_backfill(written, observed, NOW)
    assert (plan.apply, plan.delete, plan.status, plan.events) == ((), (), None, ())


def test_run_that_began_posts_one_event() -> None:
    plan = reconcile_backfill(backfill(), FEED, NOW)
    assert [note.reason for note in plan.events] == [EventReason.BACKFILL_STARTED]


@pytest.mark.parametrize(
    ("resource", "observed", "reason"),
    [
        pytest.param(backfill(), Observed(), "FeedSourceNotFound", id="no feed source"),
        pytest.param(backfill(channels=["gossip"]), FEED, "InvalidSpec", id="no such channel"),
    ],
)
def test_refused_backfill_says_why(resource: JsonDict, observed: Observed, reason: str) -> None:
    plan = reconcile_backfill(resource, observed, NOW)
    written = {"status": plan.status}
    assert _said(written, "Accepted") == ("False", reason)
    assert _said(written, "Running") == ("False", "NotAccepted")
    assert plan.apply == ()
    assert [note.reason for note in plan.events] == [EventReason.SPEC_REFUSED]


def test_feed_source_without_a_database_is_refused() -> None:
    feed = dict(FEED.feed_source or {})
    feed["spec"] = {**feed["spec"], "sinks": [{"name": "out", "file": {"path": "/data"}}]}
    plan = reconcile_backfill(backfill(), replace(FEED, feed_source=feed), NOW)
    assert _said({"status": plan.status}, "Accepted") == ("False", "UnsupportedSink")


def test_subscription_referred_to_must_exist() -> None:
    resource = backfill(
        subscriptionRef={"name": "majors"}, instruments=None, channels=None, parallelism=1
    )
    plan = reconcile_backfill(resource, FEED, NOW)
    assert _said({"status": plan.status}, "Accepted") == ("False", "SubscriptionNotFound")
    majors = subscription("majors", "spot", channels=["trade", "bar-1m"])
    known = replace(FEED, subscriptions=(parse_subscription(majors),))
    _, observed = after(resource, known, reconcile_backfill(resource, known, NOW))
    assert _config(observed).wanted[0].channels == ("bar-1m", "trade")


def test_globs_wait_for_the_venues_list() -> None:
    resource = backfill(instruments=None, selector={"include": ["*USDT"]})
    written, plan = again(resource, FEED)
    assert _said(written, "Running") == ("False", "AwaitingListing")
    assert plan.apply == ()
    listed = replace(FEED, listing={"BTCUSDT": True, "BTCEUR": True})
    _, observed = after(written, listed, reconcile_backfill(written, listed, NOW))
    assert [line.symbol for line in _config(observed).wanted] == ["BTCUSDT"]


def test_backfill_waits_for_its_turn() -> None:
    full = replace(FEED, backfill=BackfillView(free_workers=1))
    written, plan = again(backfill(parallelism=2), full)
    assert _said(written, "Running") == ("False", "Queued")
    assert (plan.apply, plan.waiting, plan.starting) == ((), 2, 0)
    behind = replace(FEED, backfill=BackfillView(first=False))
    assert again(written, behind)[1].waiting == 2
    _, plan = again(written, FEED)
    assert (plan.waiting, plan.starting, len(plan.apply)) == (0, 2, 3)


def test_backfill_larger_than_all_places_runs_alone() -> None:
    few = replace(FEED, backfill=BackfillView(most_workers=4, free_workers=4))
    _, plan = again(backfill(parallelism=9), few)
    spec = plan.apply[-1]["spec"]
    assert (spec["completions"], spec["parallelism"]) == (9, 4)


def test_progress_shows_while_workers_run() -> None:
    written, observed = start(backfill())
    observed = heard(observed, report(0), report(1, chunks_done=4, rows_new=4_000, seconds_left=9))
    written, _ = again(written, observed)
    progress = written["status"]["progress"]
    assert (progress["chunksDone"], progress["chunksTotal"], progress["percent"]) == (7, 20, 35)
    assert (progress["rowsWritten"], progress["secondsLeft"]) == (7_000, 9)
    assert _said(written, "Running") == ("True", "ChunksRunning")


def test_ban_of_the_venue_is_said_with_its_end() -> None:
    written, observed = start(backfill())
    until = datetime(2026, 11, 21, 9, tzinfo=UTC)
    written, _ = again(written, heard(observed, report(banned_until=until)))
    assert written["status"]["bannedUntilTime"] == "2026-11-21T09:00:00Z"
    assert "bans until 2026-11-21T09:00:00Z" in condition(written, "Running")["message"]


def test_complete_run_succeeds_and_is_cleared_away() -> None:
    written, observed = start(backfill(parallelism=1))
    plan = reconcile_backfill(written, finish(observed, ended()), LATER)
    written, _ = after(written, observed, plan)
    assert _said(written, "Succeeded") == ("True", "ChunksDone")
    assert _said(written, "Running") == ("False", "ChunksDone")
    assert _said(written, "Failed") == ("False", "NotFailed")
    status = written["status"]
    assert status["completionTime"] == "2026-11-21T08:10:00Z"
    assert status["progress"]["percent"] == 100
    assert "secondsLeft" not in status["progress"]
    assert [entry["outcome"] for entry in status["history"]] == ["Succeeded"]
    assert [ref.kind for ref in plan.delete] == ["ConfigMap", "ServiceAccount"]
    assert [note.reason for note in plan.events] == [EventReason.BACKFILL_SUCCEEDED]


def test_backfill_that_ended_is_not_run_again() -> None:
    written, observed = start(backfill(parallelism=1))
    over = finish(observed, ended())
    written, _ = again(written, over, LATER)
    gone = replace(over, children={}, backfill=BackfillView())
    plan = reconcile_backfill(written, gone, LATER)
    assert (plan.apply, plan.delete, plan.status) == ((), (), None)


def test_last_words_are_waited_for() -> None:
    written, observed = start(backfill(parallelism=2))
    early = finish(observed, ended(0), pod(1), succeeded=2)
    plan = reconcile_backfill(written, early, NOW + timedelta(minutes=10, seconds=5))
    assert plan == Plan(requeue_after_seconds=1.0)
    written, _ = again(written, early, LATER)
    assert _said(written, "Succeeded") == ("True", "ChunksDone")


def test_partly_failed_run_names_what_is_missing() -> None:
    chunk = {"instrument": "BTCUSDT", "channel": "trade", "reason": "NotFound", "message": "404"}
    failed = tuple({**chunk, "day": f"2026-11-0{day}"} for day in (3, 2))
    written, observed = start(backfill(parallelism=1))
    words = ended(chunks_done=8, chunks_failed=2, failed=failed)
    plan = reconcile_backfill(written, finish(observed, words), LATER)
    written, _ = after(written, observed, plan)
    assert _said(written, "Failed") == ("True", "ChunksFailed")
    assert _said(written, "Succeeded") == ("False", "ChunksFailed")
    named = condition(written, "Failed")["message"]
    assert named.startswith("2 of 10 chunks failed: BTCUSDT trade 2026-11-02 (NotFound), ")
    assert [chunk["day"] for chunk in written["status"]["failedChunks"]] == [
        "2026-11-02",
        "2026-11-03",
    ]
    assert written["status"]["history"][0]["outcome"] == "Failed"
    assert [note.reason for note in plan.events] == [EventReason.BACKFILL_FAILED]


@pytest.mark.parametrize(
    ("missing", "severity", "outcome"),
    [
        pytest.param(50, "None", "Succeeded", id="exactly five percent"),
        pytest.param(51, "Warning", "Succeeded", id="above five"),
        pytest.param(200, "Warning", "Succeeded", id="exactly twenty"),
        pytest.param(201, "Error", "Failed", id="above twenty"),
    ],
)
def test_rows_that_are_nowhere_are_judged(missing: int, severity: str, outcome: str) -> None:
    written, observed = start(backfill(parallelism=1))
    words = ended(rows_expected=1_000, rows_missing=missing)
    plan = reconcile_backfill(written, finish(observed, words), LATER)
    written, _ = after(written, observed, plan)
    assert written["status"]["quality"]["severity"] == severity
    assert written["status"]["history"][0]["outcome"] == outcome
    told = EventReason.QUALITY_BREACHED in [note.reason for note in plan.events]
    assert told == (outcome == "Failed")


def test_workers_that_give_up_fail_the_run() -> None:
    written, observed = start(backfill(parallelism=1))
    gone = {"type": "Failed", "status": "True", "message": "backoff"}
    words = pod(0, "UnknownVenue: no history of moon", exit_code=78)
    over = finish(observed, words, succeeded=0, completionTime=None, conditions=[gone])
    written, _ = again(written, over, LATER)
    assert _said(written, "Failed") == ("True", "UnknownVenue")
    assert "no history of moon" in condition(written, "Failed")["message"]


def test_missing_secret_shows_while_the_job_waits() -> None:
    written, observed = start(backfill(parallelism=1))
    waiting = {
        "reason": "CreateContainerConfigError",
        "message": 'secret "db" not found',
    }
    states = [{"name": "feeder", "state": {"waiting": waiting}}]
    stuck = pod(0, phase="Pending", containerStatuses=states)
    view = BackfillView(pods=(stuck,))
    written, _ = again(written, replace(observed, backfill=view))
    assert _said(written, "Running") == ("False", "SecretNotFound")


def test_paused_backfill_suspends_its_job_and_goes_on() -> None:
    written, observed = start(backfill())
    written["spec"]["state"] = "Paused"
    plan = reconcile_backfill(written, observed, NOW)
    assert plan.apply[0]["spec"]["suspend"] is True
    written, observed = after(written, observed, plan)
    assert _said(written, "Running") == ("False", "PausedBySpec")
    written["spec"]["state"] = "Running"
    full = replace(observed, backfill=BackfillView(free_workers=0))
    assert _said(again(written, full)[0], "Running") == ("False", "Queued")
    plan = reconcile_backfill(written, observed, NOW)
    assert (plan.apply[0]["spec"]["suspend"], plan.starting) == (False, 2)


def test_paused_backfill_starts_nothing() -> None:
    written, plan = again(backfill(state="Paused"), FEED)
    assert _said(written, "Running") == ("False", "PausedBySpec")
    assert (plan.apply, plan.waiting) == ((), 0)


def test_parallelism_changed_keeps_the_shares() -> None:
    written, observed = start(backfill(parallelism=4))
    written["spec"]["parallelism"] = 1
    plan = reconcile_backfill(written, observed, NOW)
    spec = plan.apply[0]["spec"]
    assert (spec["parallelism"], spec["completions"]) == (1, 4)
    template = observed.children[JOB]["spec"]["template"]
    assert spec["template"] == template


def test_deleted_configuration_is_made_again() -> None:
    written, observed = start(backfill())
    children = {ref: child for ref, child in observed.children.items() if ref != CONFIG}
    plan = reconcile_backfill(written, replace(observed, children=children), NOW)
    assert [child["kind"] for child in plan.apply] == ["ConfigMap"]
    assert plan.apply[0]["data"] == observed.children[CONFIG]["data"]


def test_past_its_time_to_live_it_deletes_itself() -> None:
    resource = backfill(parallelism=1, ttlSecondsAfterFinished=600)
    written, observed = start(resource)
    over = finish(observed, ended())
    written, plan = again(written, over, LATER)
    assert plan.requeue_after_seconds == 300.0
    plan = reconcile_backfill(written, over, NOW + timedelta(minutes=20))
    assert plan.delete == (Ref("Backfill", "default", "history"),)


def test_taken_name_refuses_the_run() -> None:
    written, plan = again(backfill(), replace(FEED, taken_names=frozenset({JOB})))
    assert _said(written, "Accepted") == ("False", "NameConflict")
    assert plan.apply == ()


def test_feed_source_that_is_broken_refuses_the_run() -> None:
    feed = {**(FEED.feed_source or {}), "spec": {"venue": "binance-spot"}}
    plan = reconcile_backfill(backfill(), replace(FEED, feed_source=feed), NOW)
    assert _said({"status": plan.status}, "Accepted") == ("False", "FeedSourceNotAccepted")


def test_globs_that_match_nothing_refuse_the_run() -> None:
    resource = backfill(instruments=None, selector={"include": ["*USDT"]})
    written, plan = again(resource, replace(FEED, listing={"BTCEUR": True}))
    assert _said(written, "Accepted") == ("False", "SelectorMatchesNothing")
    assert plan.apply == ()


def test_subscriptions_globs_wait_for_the_list_too() -> None:
    resource = backfill(subscriptionRef={"name": "all"}, instruments=None, channels=None)
    others = [
        subscription("others", "spot"),
        subscription("all", "spot", selector={"include": ["*"]}),
    ]
    around = replace(FEED, subscriptions=tuple(parse_subscription(one) for one in others))
    assert _said(again(resource, around)[0], "Running") == ("False", "AwaitingListing")


def test_job_that_is_being_deleted_is_left_alone() -> None:
    written, observed = start(backfill())
    job = dict(observed.children[JOB])
    job["metadata"] = {**job["metadata"], "deletionTimestamp": "2026-11-21T08:00:00Z"}
    written["spec"]["parallelism"] = 1
    going = replace(observed, children={**observed.children, JOB: job})
    assert reconcile_backfill(written, going, NOW).apply == ()
    without = {ref: child for ref, child in observed.children.items() if ref != JOB}
    plan = reconcile_backfill(written, replace(observed, children=without), NOW)
    assert [child["kind"] for child in plan.apply][-1] == "Job"
