"""The operator on a real cluster: leadership, drift, deletion."""

import json
import time

import pytest
from release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DEPLOYMENT = "binance-spot-main-0"
OPERATOR = "app.kubernetes.io/component=operator"


def operator_lease(release: Release) -> dict[str, object]:
    """Return the spec of the operator's election Lease."""
    leases = release.items("leases")
    found = next(
        lease
        for lease in leases
        if lease["metadata"]["name"].endswith("operator")
        or lease["metadata"]["name"].endswith("leader")
    )
    spec: dict[str, object] = found["spec"]
    return spec


def test_two_replicas_run_and_one_leads(release: Release) -> None:
    pods = release.items("pods", OPERATOR)
    assert len(pods) == 2
    holder = str(operator_lease(release)["holderIdentity"])
    assert any(pod["metadata"]["name"] in holder for pod in pods)


def test_killed_leader_is_followed_within_twenty_seconds(release: Release, feeds: None) -> None:
    release.wait_condition("feedsource", "binance-spot", "Ready")
    holder = str(operator_lease(release)["holderIdentity"])
    leader = next(
        pod["metadata"]["name"]
        for pod in release.items("pods", OPERATOR)
        if pod["metadata"]["name"] in holder
    )
    release.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    began = time.monotonic()
    release.kubectl("delete", "deployment", DEPLOYMENT, "--wait=false")
    release.wait(
        lambda: (
            any(
                item["metadata"]["name"] == DEPLOYMENT
                and "deletionTimestamp" not in item["metadata"]
                for item in release.items("deployments")
            )
            and str(operator_lease(release)["holderIdentity"]) != holder
        ),
        20,
        "the other replica to act",
        every=0.2,
    )
    assert time.monotonic() - began < 20
    release.wait_condition("feedsource", "binance-spot", "Ready", seconds=60)


@pytest.mark.parametrize(
    "kind",
    ["configmap", "service", "role", "rolebinding", "serviceaccount", "networkpolicy"],
    ids=str,
)
def test_deleted_child_returns_within_ten_seconds(release: Release, feeds: None, kind: str) -> None:
    children = [
        child["metadata"] for child in release.items(kind, "feedplane.dev/feed-source=binance-spot")
    ]
    assert children, f"no {kind} among the children"
    child = children[0]
    release.kubectl("delete", kind, child["name"])
    release.wait(
        lambda: any(
            item["metadata"]["name"] == child["name"] and item["metadata"]["uid"] != child["uid"]
            for item in release.items(kind)
        ),
        10,
        f"{kind} {child['name']} again",
        every=0.2,
    )


def test_hand_edit_is_healed_and_foreign_label_kept(release: Release, feeds: None) -> None:
    release.kubectl("label", "deployment", DEPLOYMENT, "team=quants", "--overwrite")
    release.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=3")
    release.wait(
        lambda: release.get("deployment", DEPLOYMENT)["spec"]["replicas"] == 1,
        10,
        "one replica again",
        every=0.2,
    )
    assert release.get("deployment", DEPLOYMENT)["metadata"]["labels"]["team"] == "quants"
    release.wait_condition("feedsource", "binance-spot", "Ready", seconds=60)


def test_refused_spec_names_field_and_last_good_runs_on(release: Release, feeds: None) -> None:
    before = release.get("deployment", DEPLOYMENT)["metadata"]["generation"]
    broken = {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "FeedSource",
        "metadata": {"name": "no-such-venue"},
        "spec": {
            "venue": "no-such-venue",
            "accounts": [{"name": "main"}],
            "sinks": [
                {"name": "database", "postgres": {"dsnSecretRef": {"name": "feedplane-database"}}}
            ],
        },
    }
    release.apply(broken)
    release.wait(
        lambda: "UnknownVenue" in json.dumps(release.get("feedsource", "no-such-venue")),
        90,
        lambda: "UnknownVenue\n" + release.describe("feedsource", "no-such-venue"),
    )
    release.kubectl("delete", "feedsource", "no-such-venue")
    assert release.get("deployment", DEPLOYMENT)["metadata"]["generation"] == before
    # A test before took an account's ServiceAccount away, and the other one may be taking over.
    release.wait_condition("feedsource", "binance-spot", "Ready", seconds=60)


def test_deletion_with_operator_gone_does_not_hang(release: Release) -> None:
    release.apply(
        {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "FeedSource",
            "metadata": {"name": "doomed"},
            "spec": {
                "venue": "binance-spot",
                "accounts": [{"name": "main"}],
                "endpoints": {
                    "stream": "ws://feedplane-simulator:9001",
                    "rest": "http://feedplane-simulator:9001",
                },
                "sinks": [
                    {
                        "name": "database",
                        "postgres": {"dsnSecretRef": {"name": "feedplane-database"}},
                    }
                ],
            },
        }
    )
    selector = "feedplane.dev/feed-source=doomed"
    release.wait(lambda: release.items("deployments", selector), 20, "children")
    release.kubectl("scale", "deployment", "-l", OPERATOR, "--replicas=0")
    try:
        release.wait(lambda: not release.items("pods", OPERATOR), 60, "no operator")
        release.kubectl("delete", "feedsource", "doomed", "--timeout=15s")
        release.wait(lambda: not release.items("deployments", selector), 30, "no children")
    finally:
        release.kubectl("scale", "deployment", "-l", OPERATOR, "--replicas=2")
        release.kubectl(
            "rollout", "status", "deployment", "-l", OPERATOR, "--timeout=90s", timeout=120
        )


def test_feeder_port_is_closed_where_policies_are_enforced(release: Release, feeds: None) -> None:
    release.wait_condition("feedsource", "binance-spot", "Ready")
    pod = release.items("pods", "feedplane.dev/feed-source=binance-spot")[0]
    probe = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], 8000), 3).close(); print('open')\n"
        "except OSError: print('closed')"
    )
    answer = release.kubectl(
        *("exec", f"deployment/{release.name}-simulator", "--", "python3", "-c", probe),
        pod["status"]["podIP"],
    ).strip()
    # Stock kind's network enforces policies; the one assembled without a registry does not.
    plugins = json.loads(release.kubectl("get", "daemonsets", "-n", "kube-system", "-o", "json"))
    enforced = any(item["metadata"]["name"] == "kindnet" for item in plugins["items"])
    assert answer == ("closed" if enforced else "open")


def test_address_that_is_no_service_is_refused_to_pods(release: Release) -> None:
    # Else a packet that kube-proxy has not mapped yet meets whatever answers outside.
    probe = (
        "import socket\n"
        "try: socket.create_connection(('10.96.250.250', 80), 3).close(); print('open')\n"
        "except OSError as error: print(type(error).__name__)"
    )
    answer = release.kubectl(
        *("exec", f"deployment/{release.name}-simulator", "--", "python3", "-c", probe)
    )
    assert answer.strip() == "ConnectionRefusedError"
