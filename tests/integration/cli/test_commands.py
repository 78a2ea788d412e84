"""The commands on a real API server; a test plays the feeders and the operator."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support_cli import lines_of, stamp
from support_cli_cluster import Person, obey, place_feed, spec_of
from support_operator import Server
from support_resources import BACKFILL

from feedplane_cli.errors import ExitStatus
from feedplane_cluster.cache import default_cache
from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.toolchain import Toolchain


def chosen(spec: Mapping[str, Any]) -> str | None:
    return spec.get("activeAccount")


def served(spec: Mapping[str, Any]) -> str | None:
    serving = [one["name"] for one in spec["accounts"] if one.get("state") == "InService"]
    return serving[0] if len(serving) == 1 else None


@contextmanager
def obeying(
    server: Server, namespace: str, asked: Callable[[Mapping[str, Any]], str | None]
) -> Iterator[None]:
    def work() -> None:
        obey(server, namespace, asked)
        server.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_status_of_a_good_feed_ends_with_zero(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    result = admin.run("status")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert lines_of(result.output, f"{admin.namespace}/spot", "Ready AllLive")
    assert lines_of(result.output, "main/spot-main-0-abc")
    assert lines_of(result.output, "majors", "True AllLive")
    assert "\x1b" not in result.output


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_status_for_programs_is_one_document(
    server: Server, admin: Person, form: str, load: Callable[[str], Any]
) -> None:
    place_feed(server, admin.namespace)
    (found,) = load(admin.run("status", "spot", "-o", form).stdout)["feedSources"]
    assert found["activeAccount"] == "main"
    assert found["leases"][0]["account"] == "main"
    assert found["subscriptions"][0]["gaps"]["filled"] == 5


def test_status_of_everything_spans_namespaces(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    found = json.loads(admin.run("status", "-A", "-o", "json").stdout)["feedSources"]
    assert admin.namespace in [one["namespace"] for one in found]


def test_status_of_an_unready_feed_ends_with_one(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    unready = {
        "type": "Ready",
        "status": "False",
        "reason": "NoAccountHealthy",
        "message": "No account is healthy.",
        "lastTransitionTime": stamp(),
    }
    server.merge(
        "FeedSource", admin.namespace, "spot", {"status": {"conditions": [unready]}}, "/status"
    )
    result = admin.run("status", "spot")
    assert result.exit_code == ExitStatus.NOT_READY
    assert lines_of(result.output, "NoAccountHealthy: No account is healthy.")
    admin.run("pause", "spot")
    assert admin.run("status", "spot").exit_code == ExitStatus.HEALTHY


def test_switchover_waits_until_it_is_done(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    with obeying(server, admin.namespace, chosen):
        result = admin.run("switchover", "spot", "--to", "backup", "--timeout", "20")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert lines_of(result.stdout, "backup is active after", "main was before", "3 -> 4", "800 ms")
    stored = server.get("FeedSource", admin.namespace, "spot") or {}
    managers = {entry["manager"] for entry in stored["metadata"]["managedFields"]}
    assert "feedplane-cli" in managers
    again = admin.run("switchover", "spot", "--to", "backup")
    assert "active already" in again.stdout
    cleared = admin.run("switchover", "spot", "--clear")
    assert cleared.exit_code == ExitStatus.HEALTHY
    assert "activeAccount" not in spec_of(server, admin.namespace)


def test_switchover_nobody_carries_out_times_out(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    result = admin.run("switchover", "spot", "--to", "backup", "--timeout", "1")
    assert result.exit_code == ExitStatus.TIMED_OUT
    assert "spot-publisher-0 is held by main/spot-main-0-abc" in result.output
    assert spec_of(server, admin.namespace)["activeAccount"] == "backup"


def test_switchover_without_waiting_only_asks(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    result = admin.run("switchover", "spot", "--to", "backup", "--no-wait")
    assert result.exit_code == ExitStatus.HEALTHY
    assert spec_of(server, admin.namespace)["activeAccount"] == "backup"


def test_switchover_to_an_unknown_account_changes_nothing(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    result = admin.run("switchover", "spot", "--to", "nobody", "--force")
    assert result.exit_code == ExitStatus.REFUSED
    assert "Its accounts are: main, backup." in result.output
    assert "activeAccount" not in spec_of(server, admin.namespace)


def test_switchover_by_force_ends_maintenance_too(server: Server, admin: Person) -> None:
    place_feed(
        server,
        admin.namespace,
        accounts=[{"name": "main"}, {"name": "backup", "state": "Maintenance"}],
    )
    assert admin.run("switchover", "spot", "--to", "backup").exit_code == ExitStatus.REFUSED
    forced = admin.run("switchover", "spot", "--to", "backup", "--force", "--no-wait")
    assert forced.exit_code == ExitStatus.HEALTHY, forced.output
    spec = spec_of(server, admin.namespace)
    assert spec["activeAccount"] == "backup"
    assert spec["accounts"][1]["state"] == "InService"


def test_maintenance_hands_over_and_comes_back(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    with obeying(server, admin.namespace, served):
        result = admin.run("maintenance", "spot", "main", "--on", "--timeout", "20")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert "backup took over" in result.stdout
    accounts = spec_of(server, admin.namespace)["accounts"]
    assert [one["state"] for one in accounts] == ["Maintenance", "InService"]
    refused = admin.run("maintenance", "spot", "backup", "--on")
    assert refused.exit_code == ExitStatus.REFUSED
    back = admin.run("maintenance", "spot", "main", "--off")
    assert back.exit_code == ExitStatus.HEALTHY
    assert spec_of(server, admin.namespace)["accounts"][0]["state"] == "InService"


def test_feed_is_paused_and_resumed(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    assert admin.run("pause", "spot").exit_code == ExitStatus.HEALTHY
    assert spec_of(server, admin.namespace)["state"] == "Paused"
    assert admin.run("resume", "fs/spot").exit_code == ExitStatus.HEALTHY
    assert spec_of(server, admin.namespace)["state"] == "Running"


def test_backfill_is_paused_by_its_kind(server: Server, admin: Person) -> None:
    document = {**BACKFILL, "metadata": {"name": "october", "namespace": admin.namespace}}
    server.create(document)
    assert admin.run("pause", "backfill/october").exit_code == ExitStatus.HEALTHY
    stored = server.get("Backfill", admin.namespace, "october") or {}
    assert stored["spec"]["state"] == "Paused"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status", "absent"), ExitStatus.NOT_FOUND, "no FeedSource absent"),
        (("pause", "absent"), ExitStatus.NOT_FOUND, "no FeedSource absent"),
        (("pause", "sub/majors"), ExitStatus.USAGE, "cannot be paused"),
        (("pause", "pod/x"), ExitStatus.USAGE, "no kind 'pod'"),
        (("switchover", "spot"), ExitStatus.USAGE, "--to ACCOUNT or --clear"),
        (("maintenance", "spot", "main"), ExitStatus.USAGE, "--on or --off"),
        (("status", "--context", "absent"), ExitStatus.UNREACHABLE, "kubeconfig cannot be used"),
    ],
)
def test_mistake_is_answered_in_words(
    admin: Person, arguments: tuple[str, ...], code: ExitStatus, words: str
) -> None:
    result = admin.run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.output


def test_person_without_rights_is_told_which(cli_plane: ControlPlane, namespace: str) -> None:
    nobody = Person(cli_plane.service_account_kubeconfig(namespace, "nobody"), namespace)
    result = nobody.run("status")
    assert result.exit_code == ExitStatus.FORBIDDEN
    assert f"list feedsources of API group feedplane.dev in namespace {namespace}" in result.output


def test_server_that_is_away_is_named(admin: Person, tmp_path: Path) -> None:
    text = admin.kubeconfig.read_text()
    document = yaml.safe_load(text)
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    away = tmp_path / "kubeconfig"
    away.write_text(yaml.safe_dump(document))
    result = Person(away, admin.namespace).run("status")
    assert result.exit_code == ExitStatus.UNREACHABLE
    assert "127.0.0.1:1" in result.output


def test_cluster_without_our_kinds_says_install() -> None:
    with ControlPlane() as bare:
        result = Person(bare.kubeconfig, "default").run("status")
    assert result.exit_code == ExitStatus.NOT_FOUND
    assert "not installed in this cluster" in result.output


def test_kubectl_finds_the_command_as_its_plugin(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    kubectl = Toolchain(default_cache()).kubectl()
    scripts = Path(sys.executable).parent
    shown = subprocess.run(
        [kubectl, "feedplane", "status", "spot", "-n", admin.namespace],
        env={"PATH": f"{scripts}:{os.environ['PATH']}", "KUBECONFIG": str(admin.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == ExitStatus.HEALTHY, shown.stderr
    assert lines_of(shown.stdout, f"{admin.namespace}/spot", "Ready AllLive")
    assert [line for line in shown.stdout.splitlines() if line != line.rstrip()] == []
