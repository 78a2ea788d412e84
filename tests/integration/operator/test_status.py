"""Statuses on a real API server: truthful by what Pods and feeders say, and never a secret."""

from typing import Any

from support_operator import FakeFeeders, OperatorProcess, Server, wait_for
from support_resources import (
    condition,
    feed_source,
    feeder_status,
    mute,
    subscription,
    utc,
)

from feedplane_api.worker import Coverage, ListedInstrument
from feedplane_operator.core.children.configmap import ANNOTATION_WORKER_HASH

CANARY = "canary-4711"


def start_pods(server: Server, namespace: str, **status: Any) -> None:
    """Do what a kubelet does: say of every Pod that it runs, or what else became of it."""

    def pods() -> list[dict[str, Any]]:
        return server.list("Pod", namespace)

    wait_for(pods)
    running = {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "conditions": [{"type": "Ready", "status": "True"}],
        **status,
    }
    for pod in pods():
        server.merge("Pod", namespace, pod["metadata"]["name"], {"status": running}, "/status")


def hold_lease(server: Server, namespace: str, holder: str) -> None:
    """Do what a feeder does: take the publisher Lease."""
    now = utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 300,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": 1,
    }
    server.merge("Lease", namespace, "spot-publisher-0", {"spec": spec})


def answer(server: Server, feeders: FakeFeeders, namespace: str, **changes: Any) -> None:
    """Let the feeder of account a answer, as one that has taken over its configuration."""
    config = wait_for(lambda: server.get("ConfigMap", namespace, "spot-a-0"))
    digest = config["metadata"]["annotations"][ANNOTATION_WORKER_HASH]
    feeders.statuses[f"{namespace}/spot-a-0"] = feeder_status(config_hash=digest, **changes)


def _said(server: Server, kind: str, namespace: str, name: str, about: str) -> tuple[str, str]:
    found = condition(server.get(kind, namespace, name), about)
    return found.get("status", ""), found.get("reason", "")


def _stream(server: Server, feeders: FakeFeeders, namespace: str) -> None:
    server.create(feed_source("spot", namespace))
    server.create(subscription("majors", "spot", namespace))
    wait_for(lambda: server.get("Lease", namespace, "spot-publisher-0"))
    wait_for(lambda: "BTCUSDT" in str(server.get("ConfigMap", namespace, "spot-a-0")))
    start_pods(server, namespace)
    hold_lease(server, namespace, "a/spot-a-0-pod")
    answer(server, feeders, namespace, last_event_milliseconds={"BTCUSDT": 1_795_000_000_000})
    ready = ("True", "AllLive")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Ready") == ready)
    wait_for(lambda: _said(server, "Subscription", namespace, "majors", "Ready") == ready)


def test_streaming_feeder_makes_the_feed_ready(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    _stream(server, feeders, namespace)
    status = (server.get("FeedSource", namespace, "spot") or {})["status"]
    assert status["activeAccount"] == "a"
    assert status["failover"]["epoch"] == 1
    assert status["coverage"] == {"wanted": 1, "live": 1, "percent": 100}
    assert status["eventsPerSecond"] == 1000
    covered = (server.get("Subscription", namespace, "majors") or {})["status"]
    assert covered["coverage"]["live"] == 1
    assert covered["lastEventTime"].startswith("2026-11-1")


def test_mute_channel_is_named_and_cured(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    _stream(server, feeders, namespace)
    answer(
        server,
        feeders,
        namespace,
        problems=(mute("BTCUSDT"),),
        coverage=Coverage(wanted=1, live=0, stale=1),
    )

    def missing() -> list[dict[str, Any]]:
        status = (server.get("Subscription", namespace, "majors") or {})["status"]
        found: list[dict[str, Any]] = status.get("missing", [])
        return found

    wait_for(missing)
    assert missing()[0]["instrument"] == "BTCUSDT"
    assert missing()[0]["reason"] == "Mute"
    low = ("False", "CoverageLow")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Ready") == low)
    answer(server, feeders, namespace)
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Ready")[0] == "True")
    wait_for(lambda: not missing())


def test_silent_feeder_is_told_apart_from_a_lost_session(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    _stream(server, feeders, namespace)
    del feeders.statuses[f"{namespace}/spot-a-0"]
    silent = ("False", "FeederUnreachable")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Streaming") == silent)


def test_selector_expands_over_the_venues_list(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    feeders.listing = tuple(
        ListedInstrument(symbol=symbol, trading=symbol != "OLDUSDT")
        for symbol in ("BTCUSDT", "ETHUSDT", "ETHBTC", "OLDUSDT")
    )
    server.create(feed_source("spot", namespace))
    selector = {"include": ["*USDT"]}
    server.create(subscription("all", "spot", namespace, selector=selector))
    wait_for(lambda: server.get("ConfigMap", namespace, "spot-a-0"))
    start_pods(server, namespace)
    answer(server, feeders, namespace)

    def wanted() -> str:
        config = server.get("ConfigMap", namespace, "spot-a-0") or {}
        return str(config["data"]["worker.yaml"])

    wait_for(lambda: "ETHUSDT" in wanted())
    assert "BTCUSDT" in wanted()
    assert "ETHBTC" not in wanted()
    assert "OLDUSDT" not in wanted()


def test_unknown_venue_is_said_by_the_pods_end(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace, venue="atlantis"))
    message = "UnknownVenue: expected one of binance-spot, was atlantis"
    ended = {"terminated": {"exitCode": 78, "message": message}}
    container = {
        "name": "feeder",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": ended,
    }
    start_pods(server, namespace, conditions=[], containerStatuses=[container])
    refused = ("False", "UnknownVenue")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Accepted") == refused)
    found = condition(server.get("FeedSource", namespace, "spot"), "Accepted")
    assert found["message"] == message


def test_missing_secret_is_named_without_reading_secrets(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    pod = wait_for(lambda: server.list("Pod", namespace))[0]["metadata"]
    said = 'MountVolume.SetUp failed for volume "sink-db" : secret "db" not found'
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "failed-mount", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": pod["name"], "namespace": namespace},
        "reason": "FailedMount",
        "message": said,
        "type": "Warning",
    }
    server.call("POST", f"/api/v1/namespaces/{namespace}/events", event)
    refused = ("False", "SecretNotFound")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Accepted") == refused, 20)
    message = condition(server.get("FeedSource", namespace, "spot"), "Accepted")["message"]
    assert 'secret "db" not found' in message


def test_invalid_spec_keeps_the_last_good_one_running(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    server.create(subscription("majors", "spot", namespace))
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    wait_for(lambda: "BTCUSDT" in str(server.get("ConfigMap", namespace, "spot-a-0")))
    neighbours = [f"other-{number}" for number in range(20)]
    for name in neighbours:
        server.create(feed_source(name, namespace))
    wait_for(lambda: all(server.get("Deployment", namespace, f"{n}-a-0") for n in neighbours), 60)
    before = server.versions(namespace)
    good = feed_source("spot", namespace)["spec"]["sinks"]
    bad = [{"name": "bus", "nats": {"servers": ["nats://nats:4222"]}}]
    server.merge("FeedSource", namespace, "spot", {"spec": {"sinks": bad, "state": "Paused"}})
    refused = ("False", "UnsupportedSink")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Accepted") == refused)
    message = condition(server.get("FeedSource", namespace, "spot"), "Accepted")["message"]
    assert message.startswith("spec.sinks[0].nats:")
    assert server.versions(namespace) == before
    server.merge("FeedSource", namespace, "spot", {"spec": {"sinks": good, "state": "Running"}})
    accepted = ("True", "Valid")
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Accepted") == accepted)


def test_subscription_without_feed_source_says_so(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(subscription("majors", "nowhere", namespace))
    refused = ("False", "FeedSourceNotFound")
    wait_for(lambda: _said(server, "Subscription", namespace, "majors", "Accepted") == refused)


def test_secret_value_appears_in_no_status_event_or_log(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": namespace},
        "stringData": {"dsn": f"postgresql://feed:{CANARY}@db/tape"},
    }
    server.call("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    _stream(server, feeders, namespace)
    bad = {"spec": {"sinks": [{"name": "bus", "nats": {"servers": ["nats://nats:4222"]}}]}}
    server.merge("FeedSource", namespace, "spot", bad)
    wait_for(lambda: _said(server, "FeedSource", namespace, "spot", "Accepted")[0] == "False")
    wait_for(lambda: server.list("CoreEvent", namespace))
    everything = [
        *server.list("FeedSource", namespace),
        *server.list("Subscription", namespace),
        *server.list("CoreEvent", namespace),
        *server.children(namespace).values(),
    ]
    assert CANARY not in str(everything)
    assert CANARY not in operator.log.read_text()
