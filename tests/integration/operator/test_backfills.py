"""Backfills on a real API server and its Job controller: run, watched, paused, queued, cleared."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from support_kubelet import end_pod
from support_operator import FakeFeeders, OperatorProcess, Server, path_of, wait_for
from support_resources import (
    BACKFILL,
    JsonDict,
    condition,
    feed_source,
    feeder_status,
    subscription,
    utc,
)

from feedplane_api.backfill_worker import BackfillReport, render_termination
from feedplane_api.worker import LargeGap, MissingDays
from feedplane_operator.core.children.configmap import ANNOTATION_WORKER_HASH

LABEL = "?labelSelector=app.kubernetes.io/component=backfill"


@pytest.fixture
def namespace(server: Server, namespace: str) -> Iterator[str]:
    """A namespace whose Backfills do not take the places of another test's."""
    yield namespace
    server.call("DELETE", path_of("Backfill", namespace))
    server.call("DELETE", path_of("FeedSource", namespace))


def _make(server: Server, namespace: str, name: str = "history", **spec: Any) -> None:
    metadata = {"name": name, "namespace": namespace}
    body: JsonDict = {**BACKFILL["spec"], "parallelism": 1, **spec}  # type: ignore[dict-item]
    server.create({**BACKFILL, "metadata": metadata, "spec": body})


def _state(server: Server, namespace: str, name: str = "history") -> str:
    found = condition(server.get("Backfill", namespace, name), "Running")
    return str(found.get("reason", ""))


def _states(server: Server, namespace: str) -> list[str]:
    found = server.list("Backfill", namespace)
    return [str(condition(item, "Running").get("reason", "")) for item in found]


def _jobs(server: Server, namespace: str) -> list[JsonDict]:
    return server.list("Job", namespace, LABEL)


def _pods(server: Server, namespace: str) -> list[JsonDict]:
    return server.list("Pod", namespace, LABEL)


def _run(server: Server, namespace: str) -> str:
    """Do what a kubelet does: say of the one Pod that it runs."""
    pod = wait_for(lambda: _pods(server, namespace), 20)[0]
    name = str(pod["metadata"]["name"])
    running = {"name": "feeder", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
    status = {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{**running, "state": {"running": {}}}],
    }
    server.merge("Pod", namespace, name, {"status": status}, "/status")
    return name


def _report(**changes: Any) -> BackfillReport:
    fields: JsonDict = {"chunks_total": 4, "rows_per_second": 900, **changes}
    return BackfillReport(**fields)


def test_backfill_runs_to_its_end_with_progress(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    wait_for(lambda: _state(server, namespace) == "WorkersStarting")
    name = _run(server, namespace)
    feeders.reports[f"{namespace}/{name}"] = _report(chunks_done=1, rows_new=250, seconds_left=3)
    wait_for(lambda: _state(server, namespace) == "ChunksRunning")
    progress = (server.get("Backfill", namespace, "history") or {})["status"]["progress"]
    assert (progress["percent"], progress["rowsWritten"], progress["secondsLeft"]) == (25, 250, 3)
    words = render_termination(_report(chunks_done=4, rows_new=1_000, ended=True))
    end_pod(server, namespace, name, words)
    wait_for(lambda: _state(server, namespace) == "ChunksDone", 20)
    ended = server.get("Backfill", namespace, "history") or {}
    assert condition(ended, "Succeeded")["status"] == "True"
    assert ended["status"]["progress"]["percent"] == 100
    assert ended["status"]["progress"]["rowsWritten"] == 1_000
    wait_for(lambda: not server.list("ConfigMap", namespace, LABEL))


def test_pods_of_a_run_are_restricted_and_hold_no_token(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    server.call("PATCH", f"/api/v1/namespaces/{namespace}", label, "merge-patch+json")
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    pod = wait_for(lambda: _pods(server, namespace))[0]
    text = json.dumps(pod["spec"])
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountToken" not in text
    assert "secretKeyRef" not in text
    assert pod["spec"]["serviceAccountName"] == "backfill-history"


def test_worker_told_to_stop_is_started_again(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    first = _run(server, namespace)
    end_pod(server, namespace, first, render_termination(_report(chunks_done=1)), code=75)
    wait_for(lambda: {pod["metadata"]["name"] for pod in _pods(server, namespace)} - {first}, 20)
    assert _state(server, namespace) in ("ChunksRunning", "WorkersStarting")


def test_worker_that_cannot_work_fails_the_run_at_once(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    end_pod(server, namespace, _run(server, namespace), "UnknownVenue: no history", code=78)

    def failed() -> JsonDict:
        return condition(server.get("Backfill", namespace, "history"), "Failed")

    wait_for(lambda: failed().get("status") == "True", 30)
    assert failed()["reason"] == "UnknownVenue"
    assert "no history" in failed()["message"]


def test_paused_backfill_loses_its_pods_and_goes_on(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    wait_for(lambda: _pods(server, namespace))
    server.merge("Backfill", namespace, "history", {"spec": {"state": "Paused"}})
    wait_for(lambda: _state(server, namespace) == "PausedBySpec")
    wait_for(lambda: not _pods(server, namespace), 20)
    server.merge("Backfill", namespace, "history", {"spec": {"state": "Running"}})
    wait_for(lambda: _pods(server, namespace), 20)


def test_backfill_deleted_takes_everything_with_it(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace)
    wait_for(lambda: _pods(server, namespace))
    server.delete("Backfill", namespace, "history")
    wait_for(lambda: not _jobs(server, namespace), 20)
    wait_for(lambda: not server.list("ConfigMap", namespace, LABEL), 20)


def test_hundred_backfills_at_once_wait_in_line(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    for number in range(100):
        _make(server, namespace, f"history-{number:03}")
    wait_for(lambda: "" not in _states(server, namespace), 30)
    started = [state for state in _states(server, namespace) if state != "Queued"]
    assert len(_jobs(server, namespace)) == len(started) <= 16
    # What waits costs nothing, so others are served at once.
    other = feed_source("other", namespace)
    server.create(other)
    wait_for(lambda: condition(server.get("FeedSource", namespace, "other"), "Accepted"), 10)
    before = {item["metadata"]["name"] for item in _jobs(server, namespace)}
    gone = min(before).rsplit("-", 1)[0]
    server.delete("Backfill", namespace, gone)
    wait_for(lambda: {job["metadata"]["name"] for job in _jobs(server, namespace)} - before, 20)
    assert len(_jobs(server, namespace)) <= 16


def test_backfill_past_its_time_to_live_deletes_itself(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    _make(server, namespace, ttlSecondsAfterFinished=0)
    name = _run(server, namespace)
    end_pod(server, namespace, name, render_termination(_report(chunks_done=4, ended=True)))
    wait_for(lambda: server.get("Backfill", namespace, "history") is None, 20)
    wait_for(lambda: not _jobs(server, namespace), 20)


def test_large_gap_gets_a_backfill_of_its_subscription(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    server.create(subscription("majors", "spot", namespace))
    config = wait_for(lambda: server.get("ConfigMap", namespace, "spot-a-0"))
    began = utc().replace(microsecond=0) - timedelta(hours=2)
    gap = LargeGap(
        symbol="BTCUSDT",
        channel="trade",
        start=began,
        end=began + timedelta(minutes=5),
        since_time=began,
    )
    feeders.statuses[f"{namespace}/spot-a-0"] = feeder_status(
        config_hash=config["metadata"]["annotations"][ANNOTATION_WORKER_HASH], large_gaps=(gap,)
    )
    made = wait_for(lambda: server.list("Backfill", namespace), 20)
    (owner,) = made[0]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Subscription", "majors")
    wait_for(lambda: _jobs(server, namespace), 20)
    server.merge("Subscription", namespace, "majors", {"spec": {"repair": "Manual"}})
    wait_for(lambda: not server.list("Backfill", namespace), 20)


def test_missing_days_get_a_backfill_of_their_subscription(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    server.create(feed_source("spot", namespace, session={"checkDays": 30}))
    server.create(subscription("majors", "spot", namespace))
    config = wait_for(lambda: server.get("ConfigMap", namespace, "spot-a-0"))
    today = utc().replace(hour=0, minute=0, second=0, microsecond=0)
    missing = MissingDays(
        symbols=("BTCUSDT", "ETHUSDT"),
        channels=("quote", "trade"),
        start=today - timedelta(days=5),
        end=today - timedelta(days=3),
    )
    feeders.statuses[f"{namespace}/spot-a-0"] = feeder_status(
        config_hash=config["metadata"]["annotations"][ANNOTATION_WORKER_HASH],
        missing_days=(missing,),
    )
    (made,) = wait_for(lambda: server.list("Backfill", namespace), 20)
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Subscription", "majors")
    # What the Subscription does not want is left out.
    assert (made["spec"]["instruments"], made["spec"]["channels"]) == (["BTCUSDT"], ["trade"])
    assert made["spec"]["range"] == {
        "start": f"{missing.start:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{missing.end:%Y-%m-%dT%H:%M:%SZ}",
    }
    wait_for(lambda: _jobs(server, namespace), 20)
