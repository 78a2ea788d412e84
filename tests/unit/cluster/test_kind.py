import json

import pytest

from feedplane_cluster.kind import GUARD_SCRIPT, missing_images, qualified_name, render_kind_config


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("python:3.11", "docker.io/library/python:3.11"),
        ("feedplane/feeder:dev", "docker.io/feedplane/feeder:dev"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/feeder:dev", "localhost/feeder:dev"),
        ("127.0.0.1:5000/feeder:dev", "127.0.0.1:5000/feeder:dev"),
    ],
    ids=["official", "folder", "registry", "localhost", "port"],
)
def test_tag_is_spelled_as_containerd_does(tag: str, name: str) -> None:
    assert qualified_name(tag) == name


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ([], ["a/b:1"]),
        (["docker.io/a/b:1", "sha256:aa"], []),
        (["docker.io/a/b:1", "sha256:bb"], ["a/b:1"]),
        (["sha256:aa"], ["a/b:1"]),
    ],
    ids=["absent", "present", "same name other content", "content without name"],
)
def test_image_is_missing_unless_name_and_content_match(
    held: list[str], missing: list[str]
) -> None:
    assert missing_images([("a/b:1", "sha256:aa")], held) == missing


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_config_has_one_control_plane(nodes: int) -> None:
    roles = [node["role"] for node in json.loads(render_kind_config(nodes))["nodes"]]
    assert roles == ["control-plane"] + ["worker"] * (nodes - 1)


def test_control_plane_beside_workers_runs_pods() -> None:
    first = json.loads(render_kind_config(2))["nodes"][0]
    assert "taints: []" in "".join(first["kubeadmConfigPatches"])
    alone = json.loads(render_kind_config(1))["nodes"][0]
    assert alone["kubeadmConfigPatches"] == []  # kind fails where there is no taint to remove


def test_guard_watches_the_addresses_that_services_get() -> None:
    document = json.loads(render_kind_config(1))
    assert document["networking"]["serviceSubnet"] in GUARD_SCRIPT
