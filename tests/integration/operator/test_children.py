"""Children on a real API server: made, healed, cleared away, and otherwise left alone."""

import time
from typing import Any

from support_operator import OperatorProcess, Server, wait_for
from support_resources import condition, feed_source, subscription


def _make(server: Server, namespace: str, **spec: Any) -> None:
    server.create(feed_source("spot", namespace, **spec))
    server.create(subscription("majors", "spot", namespace))
    wait_for(lambda: "BTCUSDT" in _config(server, namespace))


def _config(server: Server, namespace: str) -> str:
    found = server.get("ConfigMap", namespace, "spot-a-0")
    return str(found["data"]["worker.yaml"]) if found else ""


def _deployment(server: Server, namespace: str) -> dict[str, Any]:
    found = server.get("Deployment", namespace, "spot-a-0")
    assert found is not None
    return found


def test_feed_source_created_gets_all_children(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: ("Deployment", "spot-a-0") in server.children(namespace))
    children = server.children(namespace)
    assert set(children) == {
        ("ConfigMap", "spot-a-0"),
        ("Deployment", "spot-a-0"),
        ("Lease", "spot-publisher-0"),
        ("NetworkPolicy", "spot-feeders"),
        ("PodDisruptionBudget", "spot-shard-0"),
        ("Role", "spot-a-0"),
        ("RoleBinding", "spot-a-0"),
        ("Service", "spot-a-0"),
        ("ServiceAccount", "spot-a-0"),
    }
    uid = (server.get("FeedSource", namespace, "spot") or {})["metadata"]["uid"]
    owners = [child["metadata"]["ownerReferences"] for child in children.values()]
    assert all(len(found) == 1 and found[0]["uid"] == uid for found in owners)


def test_feed_source_created_has_conditions_within_two_seconds(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    server.create(feed_source("spot", namespace))
    server.create(subscription("majors", "spot", namespace))
    kinds = {"Accepted", "Ready", "Streaming", "Redundant", "Degraded", "Paused"}

    def said(kind: str, name: str) -> set[str]:
        found = server.get(kind, namespace, name) or {}
        return {entry["type"] for entry in found.get("status", {}).get("conditions", [])}

    wait_for(lambda: said("FeedSource", "spot") == kinds, 2)
    wait_for(
        lambda: said("Subscription", "majors") == {"Accepted", "Covered", "Complete", "Ready"}, 2
    )


def test_child_edited_by_hand_is_healed(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    server.merge("Deployment", namespace, "spot-a-0", {"spec": {"replicas": 3}})
    server.merge("ConfigMap", namespace, "spot-a-0", {"data": {"worker.yaml": "venue: other"}})
    server.merge("Role", namespace, "spot-a-0", {"rules": []})
    wait_for(lambda: _deployment(server, namespace)["spec"]["replicas"] == 1)
    wait_for(lambda: "BTCUSDT" in _config(server, namespace))
    wait_for(lambda: (server.get("Role", namespace, "spot-a-0") or {}).get("rules"))


def test_child_deleted_comes_back(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: ("Deployment", "spot-a-0") in server.children(namespace))
    before = server.children(namespace)
    for kind, name in before:
        server.delete(kind, namespace, name)

    def back() -> bool:
        now = server.children(namespace)
        return now.keys() == before.keys() and all(
            now[key]["metadata"]["uid"] != before[key]["metadata"]["uid"] for key in before
        )

    wait_for(back)


def test_foreign_label_on_child_survives_a_change(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    labels = {"metadata": {"labels": {"team": "rates"}, "annotations": {"note": "mine"}}}
    server.merge("Deployment", namespace, "spot-a-0", labels)
    feeder = {"spec": {"feeder": {"nodeSelector": {"disk": "fast"}}}}
    server.merge("FeedSource", namespace, "spot", feeder)

    def pod() -> dict[str, Any]:
        found: dict[str, Any] = _deployment(server, namespace)["spec"]["template"]["spec"]
        return found

    wait_for(lambda: pod().get("nodeSelector") == {"disk": "fast"})
    server.merge("FeedSource", namespace, "spot", {"spec": {"feeder": {"nodeSelector": None}}})
    wait_for(lambda: "nodeSelector" not in pod())
    metadata = _deployment(server, namespace)["metadata"]
    assert metadata["labels"]["team"] == "rates"
    assert metadata["annotations"]["note"] == "mine"


def test_account_removed_takes_its_children_along(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace, accounts=[{"name": "a"}, {"name": "b"}])
    wait_for(lambda: server.get("Deployment", namespace, "spot-b-0"))
    server.merge("FeedSource", namespace, "spot", {"spec": {"accounts": [{"name": "a"}]}})
    wait_for(lambda: not [key for key in server.children(namespace) if key[1] == "spot-b-0"])
    assert server.get("Deployment", namespace, "spot-a-0")


def test_instrument_added_rolls_no_pod(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    generation = _deployment(server, namespace)["metadata"]["generation"]
    wanted = {"spec": {"instruments": ["BTCUSDT", "ETHUSDT"]}}
    server.merge("Subscription", namespace, "majors", wanted)
    wait_for(lambda: "ETHUSDT" in _config(server, namespace))
    assert _deployment(server, namespace)["metadata"]["generation"] == generation


def test_feed_source_paused_stops_its_feeders(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    _make(server, namespace)
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    server.merge("FeedSource", namespace, "spot", {"spec": {"state": "Paused"}})
    wait_for(lambda: _deployment(server, namespace)["spec"]["replicas"] == 0)

    def paused() -> tuple[str, str]:
        found = condition(server.get("FeedSource", namespace, "spot"), "Paused")
        return found["status"], found["reason"]

    # The status is written after the children.
    wait_for(lambda: paused() == ("True", "PausedBySpec"))


def test_hundred_reconciles_without_change_write_nothing(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    # The writes are counted for all namespaces together.
    for left in server.list("FeedSource"):
        server.delete("FeedSource", left["metadata"]["namespace"], left["metadata"]["name"])
    _make(server, namespace)
    wait_for(lambda: server.get("Deployment", namespace, "spot-a-0"))
    wait_for(lambda: _settled(server, namespace))
    _wait_idle(operator)
    before = server.versions(namespace)
    feed = server.get("FeedSource", namespace, "spot") or {}
    transitions = [entry["lastTransitionTime"] for entry in feed["status"]["conditions"]]
    writes = _written(operator)
    start = operator.total("feedplane_operator_reconciles_total")
    poke = 0
    while operator.total("feedplane_operator_reconciles_total") < start + 100:
        poke += 1
        change = {"metadata": {"annotations": {"poke": str(poke)}}}
        server.merge("FeedSource", namespace, "spot", change)
    assert server.versions(namespace) == before
    later = (server.get("FeedSource", namespace, "spot") or {})["status"]
    assert later == feed["status"]
    assert _written(operator) == writes
    after = (server.get("FeedSource", namespace, "spot") or {})["status"]["conditions"]
    assert [entry["lastTransitionTime"] for entry in after] == transitions


def _written(operator: OperatorProcess) -> list[str]:
    lines = operator.get("/metrics").splitlines()
    return [line for line in lines if line.startswith("feedplane_operator_writes_total{")]


def _wait_idle(operator: OperatorProcess, seconds: float = 3.0) -> None:
    written, since = -1.0, time.monotonic()

    def idle() -> bool:
        nonlocal written, since
        if (now := operator.total("feedplane_operator_writes_total")) != written:
            written, since = now, time.monotonic()
        return time.monotonic() - since >= seconds

    wait_for(idle, 60)


def _settled(server: Server, namespace: str) -> bool:
    seen = server.versions(namespace)
    feed = condition(server.get("Subscription", namespace, "majors"), "Covered")
    return feed.get("reason") == "Starting" and seen == server.versions(namespace)


def test_name_of_child_taken_by_somebody_is_left_alone(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    mine = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "spot-a-0", "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": 8000, "targetPort": 9999}]},
    }
    server.create(mine)
    server.create(feed_source("spot", namespace))

    def reason() -> str:
        feed = server.get("FeedSource", namespace, "spot")
        return str(condition(feed, "Accepted").get("reason"))

    wait_for(lambda: reason() == "NameConflict")
    kept = server.get("Service", namespace, "spot-a-0") or {}
    assert kept["spec"]["ports"][0]["targetPort"] == 9999
    assert "ownerReferences" not in kept["metadata"]
