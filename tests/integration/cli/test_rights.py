"""The example's Roles on a real API server: they suffice, and each of their rules is needed."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from support_cli_cluster import (
    Person,
    place_config,
    place_feed,
    run_feeder,
    run_operator,
)
from support_kubelet import FakeNode
from support_operator import Server
from support_resources import BACKFILL, feeder_status

from feedplane_cli.errors import ExitStatus
from feedplane_cli.reference import EXAMPLE
from feedplane_cli.rights import RIGHTS, Right, Role, rules_of
from feedplane_cluster.control_plane import ControlPlane

ROOT = Path(__file__).parents[3]
API = "/apis/rbac.authorization.k8s.io/v1"
COMMANDS = {
    "status": ("status",),
    "status NAME": ("status", "spot"),
    "switchover": ("switchover", "spot", "--to", "main", "--no-wait"),
    "maintenance": ("maintenance", "spot", "backup", "--on", "--no-wait"),
    "pause": ("pause", "spot"),
    "resume": ("resume", "spot"),
    "pause backfill/NAME": ("pause", "backfill/october"),
    "resume backfill/NAME": ("resume", "backfill/october"),
    "logs": ("logs", "spot"),
    "version": ("version", "--operator-namespace", "{release}"),
    "report": ("report", "-o", "{file}", "--operator-namespace", "{release}"),
    "report NAME": ("report", "spot", "-o", "{file}", "--operator-namespace", "{release}"),
    "report quality NAME": ("report", "quality", "majors"),
    "check subscriptions": ("check", "subscriptions"),
    "check subscriptions NAME": ("check", "subscriptions", "majors"),
}
NO_DATABASE = "postgresql://127.0.0.1:1/none"
"""What a report on a tape reads after the cluster; how it ends there is no matter of rights."""
REPORTS_ONLY = ("report", "version")
"""Commands that go on without what they may not see, and say so."""


class Stage:
    """A feed that runs, and a person whose rights change from test to test."""

    def __init__(self, plane: ControlPlane, server: Server, namespace: str, folder: Path) -> None:
        self.server = server
        self.namespace = namespace
        self.release = f"{namespace}-release"
        self.file = folder / "bundle.tar.gz"
        self.person = Person(plane.service_account_kubeconfig(namespace, "jane"), namespace)

    def grant(self, rights: tuple[Right, ...]) -> None:
        """Give the person exactly these rights, as the example's Roles."""
        subject = {"kind": "ServiceAccount", "name": "jane", "namespace": self.namespace}
        for role in Role:
            space = self.release if role is Role.RELEASE else self.namespace
            group = "rbac.authorization.k8s.io"
            metadata = {"name": role.value, "namespace": space}
            common = {"apiVersion": f"{group}/v1", "metadata": metadata}
            rules = rules_of(role, rights)
            path = f"{API}/namespaces/{space}"
            self.server.call("POST", f"{path}/roles", {**common, "kind": "Role", "rules": rules})
            binding = {
                **common,
                "kind": "RoleBinding",
                "roleRef": {"apiGroup": group, "kind": "Role", "name": role.value},
                "subjects": [subject],
            }
            self.server.call("POST", f"{path}/rolebindings", binding)

    def run(self, command: str) -> Any:
        """Run a command as the person."""
        words = [word.format(file=self.file, release=self.release) for word in COMMANDS[command]]
        return self.person.run(*words)

    def missing(self) -> list[str]:
        """Return what the bundle says it lacks."""
        with tarfile.open(self.file) as archive:
            name = next(name for name in archive.getnames() if name.endswith("manifest.json"))
            content = archive.extractfile(name)
            assert content is not None
            return [f"{one['what']}: {one['why']}" for one in json.load(content)["missing"]]


@pytest.fixture
def stage(
    cli_plane: ControlPlane,
    server: Server,
    node: FakeNode,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    monkeypatch.setenv("FEEDPLANE_DSN", NO_DATABASE)
    stage = Stage(cli_plane, server, namespace, tmp_path)
    place_feed(server, namespace)
    server.create({**BACKFILL, "metadata": {"name": "october", "namespace": namespace}})
    run_feeder(server, node, namespace, "main")
    place_config(server, namespace, "main", "BTCUSDT")
    run_operator(server, node, stage.release)
    node.answers["/status"] = feeder_status().model_dump_json(by_alias=True)
    node.answers["/metrics"] = "feedplane_events_total 12\n"
    return stage


def test_example_roles_suffice_for_every_command(stage: Stage) -> None:
    granted = {
        one["metadata"]["name"]: one["rules"]
        for one in yaml.safe_load_all((ROOT / EXAMPLE).read_text())
        if one["kind"] == "Role"
    }
    assert granted == {role.value: rules_of(role) for role in Role}
    stage.grant(RIGHTS)
    for command in COMMANDS:
        result = stage.run(command)
        well = "The database cannot be used" in result.output or result.exit_code == 0
        assert well, f"{command}: {result.output}"
        assert "may not" not in result.output
    assert stage.missing() == []


def test_viewer_may_look_and_change_nothing(stage: Stage) -> None:
    stage.grant(tuple(right for right in RIGHTS if right.role is Role.VIEWER))
    for command in ("status", "status NAME", "logs"):
        assert stage.run(command).exit_code == ExitStatus.HEALTHY
    for command in ("switchover", "maintenance", "pause", "resume", "pause backfill/NAME"):
        result = stage.run(command)
        assert result.exit_code == ExitStatus.FORBIDDEN
        assert "You may not patch" in result.output


@pytest.mark.parametrize(
    "right", RIGHTS, ids=lambda right: f"{right.role.name}: {right.verb} {right.resource}"
)
def test_each_right_is_missed_when_it_is_gone(stage: Stage, right: Right) -> None:
    stage.grant(tuple(one for one in RIGHTS if one is not right))
    for command in right.commands:
        result = stage.run(command)
        assert f"You may not {right.verb} {right.resource}" in result.output, command
        if command.partition(" ")[0] in REPORTS_ONLY:
            continue
        assert result.exit_code == ExitStatus.FORBIDDEN, command
