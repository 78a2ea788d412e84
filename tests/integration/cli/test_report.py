"""The support bundle on a real API server: what is in it, and what never is."""

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from support_cli_cluster import Person, place_feed, run_feeder, run_operator
from support_kubelet import FakeNode
from support_operator import Server
from support_resources import BACKFILL, feeder_status

from feedplane_api.names import LABEL_FEED_SOURCE, LABEL_MANAGED_BY
from feedplane_api.worker import SinkReport
from feedplane_cli.errors import ExitStatus

CANARY = "canary-4711-zq"
SLACK = f"https://hooks.example.com/services/T0AB/{CANARY}ABCDEF1234567890"
NOTES = {
    "note": f"the password is {CANARY}",
    "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": {"x": CANARY}}),
}
LABELS = {LABEL_FEED_SOURCE: "spot", LABEL_MANAGED_BY: "feedplane"}


def unpack(path: Path) -> dict[str, str]:
    """Return the files of a bundle by their path below its folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            found = {name: archive.read(name).decode() for name in archive.namelist()}
    else:
        with tarfile.open(path) as archive:
            found = {}
            for member in archive.getmembers():
                content = archive.extractfile(member)
                assert content is not None
                found[member.name] = content.read().decode()
    return {name.partition("/")[2]: text for name, text in found.items()}


def child(kind: str, api_version: str, namespace: str, **content: Any) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": f"spot-{kind.lower()}",
            "namespace": namespace,
            "labels": LABELS,
            "annotations": NOTES,
        },
        **content,
    }


def plant_children(server: Server, namespace: str) -> None:
    """Create one child of each kind, with a canary wherever somebody could put one."""
    secrets = {"apiVersion": "v1", "kind": "Secret", "stringData": {"dsn": CANARY}}
    path = f"/api/v1/namespaces/{namespace}/secrets"
    server.call("POST", path, {**secrets, "metadata": {"name": "db", "labels": LABELS}})
    worker = {"venue": "x", "endpoints": {"stream": f"wss://u:{CANARY}@venue.example/ws"}}
    config = {"worker.yaml": yaml.safe_dump(worker), "extra": f"token: {CANARY}"}
    server.create(child("ConfigMap", "v1", namespace, data=config))
    server.create(
        child("Service", "v1", namespace, spec={"ports": [{"port": 80}], "selector": {"a": "b"}})
    )
    container = {
        "name": "feeder",
        "image": "feedplane/feeder:0.1.0",
        "args": ["run", "--api-key", CANARY, f"--token={CANARY}"],
        "env": [
            {"name": "HTTPS_PROXY", "value": f"http://user:{CANARY}@proxy.example:3128"},
            {"name": "VENUE_SECRET", "value": CANARY},
        ],
    }
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    server.create(child("Deployment", "apps/v1", namespace, spec=spec))
    selector = {"selector": {"matchLabels": {"a": "b"}}, "maxUnavailable": 1}
    server.create(child("PodDisruptionBudget", "policy/v1", namespace, spec=selector))
    closed = {"podSelector": {}, "policyTypes": ["Ingress"]}
    server.create(child("NetworkPolicy", "networking.k8s.io/v1", namespace, spec=closed))
    server.create(
        {
            **child("Event", "events.k8s.io/v1", namespace),
            "regarding": {"kind": "FeedSource", "name": "spot", "namespace": namespace},
            "reason": "StreamingLost",
            "note": f"login failed with password={CANARY}",
            "type": "Warning",
            "action": "Watch",
            "eventTime": "2026-11-21T12:00:00.000000Z",
            "reportingController": "feedplane-operator",
            "reportingInstance": "operator-0",
        }
    )


def plant_feed(server: Server, namespace: str) -> None:
    """Create the resources themselves, with a canary in notes, addresses and messages."""
    place_feed(
        server,
        namespace,
        endpoints={"rest": f"https://venue.example/api?token={CANARY}", "archive": SLACK},
    )
    backfill = {**BACKFILL, "metadata": {"name": "october", "namespace": namespace}}
    server.create(backfill)
    for kind, name in (
        ("FeedSource", "spot"),
        ("Subscription", "majors"),
        ("Backfill", "october"),
        ("Lease", "spot-publisher-0"),
    ):
        server.merge(kind, namespace, name, {"metadata": {"annotations": NOTES}})
    said = {
        "type": "Ready",
        "status": "False",
        "reason": "SinkUnavailable",
        "message": f"cannot connect to postgresql://tape:{CANARY}@db:5432/tape",
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }
    server.merge("FeedSource", namespace, "spot", {"status": {"conditions": [said]}}, "/status")


def plant_pods(server: Server, node: FakeNode, namespace: str) -> str:
    """Run a feeder and an operator that say more than they should; the operator's namespace."""
    env = [{"name": "DSN", "value": f"postgresql://u:{CANARY}@db/tape"}]
    feeder = run_feeder(server, node, namespace, "main", env=env, annotations=NOTES)
    sink = SinkReport(name="db", kind="postgres", last_error=f"dsn=postgres://u:{CANARY}@db/x")
    node.answers["/status"] = feeder_status(sinks=(sink,)).model_dump_json(by_alias=True)
    node.answers["/metrics"] = (
        f'feedplane_x{{url="wss://u:{CANARY}@v.example"}} 1\nfeedplane_events_total 12\n'
    )
    line = {"msg": "session.lost", "error": f"Authorization: Bearer {CANARY}", "api_key": CANARY}
    node.logs[feeder] = json.dumps(line) + f"\nplain --password {CANARY}\n"
    node.logs[f"{feeder}/previous"] = f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.sig\n"
    release = f"{namespace}-release"
    operator = run_operator(server, node, release, env=env)
    node.logs[operator] = f'{{"msg": "child.refused", "error": "secret: {CANARY}"}}\n'
    return release


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_bundle_holds_everything_but_credentials(
    server: Server, node: FakeNode, admin: Person, tmp_path: Path, form: str
) -> None:
    plant_children(server, admin.namespace)
    plant_feed(server, admin.namespace)
    release = plant_pods(server, node, admin.namespace)
    path = tmp_path / f"spot.{form}"
    result = admin.run("report", "spot", "-o", str(path), "--operator-namespace", release)
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    files = unpack(path)
    assert json.loads(files["manifest.json"])["missing"] == []
    assert [name for name, text in files.items() if CANARY in text] == []
    assert CANARY not in result.output
    feeder = f"{admin.namespace}/feeders/spot-main-0-{admin.namespace}"
    kinds = ["configmaps", "deployments", "events", "networkpolicies", "poddisruptionbudgets"]
    assert {f"{admin.namespace}/feedsources/spot.yaml", "status.txt", "versions.json"} <= set(files)
    assert {f"{feeder}/{name}" for name in ("status.json", "metrics.txt", "log.txt")} <= set(files)
    assert f"{feeder}/previous-log.txt" in files
    for kind in [*kinds, "services", "leases", "subscriptions", "backfills", "pods"]:
        assert [name for name in files if name.startswith(f"{admin.namespace}/{kind}/")], kind
    # What is left still says what is needed: names of Secrets, events of logs, figures.
    stored = yaml.safe_load(files[f"{admin.namespace}/feedsources/spot.yaml"])
    assert stored["spec"]["sinks"][0]["postgres"]["dsnSecretRef"]["name"] == "db"
    assert "postgresql://***@db:5432/tape" in files["status.txt"]
    assert "session.lost" in files[f"{feeder}/log.txt"]
    assert "feedplane_events_total 12" in files[f"{feeder}/metrics.txt"]
    assert json.loads(files[f"{feeder}/status.json"])["session"] == "Streaming"
    assert json.loads(files["versions.json"])["operatorImages"] == {"feedplane/operator:0.1.0": 1}
    listed = {entry["path"] for entry in json.loads(files["manifest.json"])["files"]}
    assert listed == set(files) - {"manifest.json"}


def test_bundle_says_what_could_not_be_had(
    server: Server, node: FakeNode, admin: Person, tmp_path: Path
) -> None:
    place_feed(server, admin.namespace)
    run_feeder(server, node, admin.namespace, "main")
    node.answers.clear()
    path = tmp_path / "all.tar.gz"
    result = admin.run("report", "-o", str(path), "--operator-namespace", "nowhere")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    missing = {one["what"] for one in json.loads(unpack(path)["manifest.json"])["missing"]}
    feeder = f"{admin.namespace}/feeders/spot-main-0-{admin.namespace}"
    assert missing == {"operator", f"{feeder}/status.json", f"{feeder}/metrics.txt"}
    assert "left out: operator" in result.output


def test_bundle_of_an_unknown_feed_is_not_written(admin: Person, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    result = admin.run("report", "absent", "-o", str(path))
    assert result.exit_code == ExitStatus.NOT_FOUND
    assert not path.exists()


def test_versions_of_all_parts_are_shown(server: Server, node: FakeNode, admin: Person) -> None:
    run_feeder(server, node, admin.namespace, "main")
    release = f"{admin.namespace}-release"
    run_operator(server, node, release)
    found = json.loads(admin.run("version", "--json", "--operator-namespace", release).stdout)
    assert found["operator"] == {"feedplane/operator:0.1.0": 1}
    assert found["feeders"] == {"feedplane/feeder:0.1.0": 1}
    assert found["kubernetes"].startswith("v1.")
    assert "feedplane/feeder:0.1.0 (1 Pods)" in admin.run("version").stdout
