"""The chart against a real API server: install, upgrade, rights as granted, uninstall."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feedplane_cluster.cache import default_cache
from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.errors import CommandError
from feedplane_cluster.process import run, wait_until
from feedplane_cluster.toolchain import Toolchain

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "feedplane"
ACCOUNT = "feedplane-operator"

Call = Callable[..., str]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A server of our own: what is installed here is cluster-wide."""
    with ControlPlane(controllers=True) as running:
        yield running


@pytest.fixture(scope="module")
def kubectl(plane: ControlPlane) -> Call:
    program = Toolchain(default_cache()).kubectl()
    return lambda *arguments: run(program, "--kubeconfig", plane.kubeconfig, *arguments)


@pytest.fixture(scope="module")
def release(plane: ControlPlane, helm: Call, kubectl: Call) -> Iterator[Call]:
    """Installs or upgrades a release in a namespace of its own, all taken back at the end."""
    installed: dict[str, None] = {}

    def call(namespace: str, *settings: str) -> str:
        installed[namespace] = None
        words = [word for setting in settings for word in ("--set-json", setting)]
        return helm(
            f"upgrade --install feedplane {CHART} --namespace {namespace} --create-namespace",
            *("--kubeconfig", str(plane.kubeconfig), *words),
        )

    yield call
    for namespace in installed:
        helm(f"uninstall feedplane -n {namespace}", "--kubeconfig", str(plane.kubeconfig))
    definitions = kubectl("get", "crd", "-o", "name").split()
    assert len(definitions) == 3, "an uninstall keeps the definitions"


def may(kubeconfig: Path, verb: str, resource: str, where: str) -> bool:
    """Ask the server whether a kubeconfig's user may do something; `pods:exec` is a subresource."""
    whole, _, part = resource.partition(":")
    question = ("auth", "can-i", verb, whole, f"--subresource={part}", "--namespace", where)
    try:
        run(Toolchain(default_cache()).kubectl(), "--kubeconfig", kubeconfig, *question)
    except CommandError:
        return False
    return True


def test_install_and_upgrade_keep_the_demo_password(release: Call, kubectl: Call) -> None:
    def password() -> bytes:
        secret = kubectl("get", "secret", "feedplane-database", "-n", "stable", "-o", "json")
        return base64.b64decode(json.loads(secret)["data"]["password"])

    cluster_wide_off = ("rbac.create=false", "serviceAccount.create=false")
    account = 'serviceAccount.name="default"'
    release("stable", "demo.enabled=true", *cluster_wide_off, account)
    before = password()
    release("stable", "demo.enabled=true", *cluster_wide_off, account, "operator.replicas=3")
    assert password() == before
    assert len(before) == 24


@pytest.fixture(scope="module")
def namespaced(release: Call, kubectl: Call) -> str:
    for name in ("served", "unserved"):
        kubectl("create", "namespace", name)
    # The definitions belong to the first release that brought them.
    release("narrow", 'watch.namespaces=["served"]', "crds.enabled=false")
    return "narrow"


@pytest.mark.parametrize(
    ("verb", "resource", "where", "allowed"),
    [
        ("list", "feedsources.feedplane.dev", "served", True),
        ("patch", "feedsources.feedplane.dev:status", "served", True),
        ("create", "deployments.apps", "served", True),
        ("delete", "networkpolicies.networking.k8s.io", "served", True),
        ("create", "events.events.k8s.io", "served", True),
        ("patch", "feedsources.feedplane.dev", "served", False),
        ("get", "secrets", "served", False),
        ("list", "secrets", "served", False),
        ("create", "pods", "served", False),
        ("create", "pods:exec", "served", False),
        ("delete", "pods", "served", False),
        ("list", "feedsources.feedplane.dev", "unserved", False),
        ("create", "deployments.apps", "unserved", False),
        ("list", "nodes", "served", False),
        ("list", "customresourcedefinitions", "served", False),
        ("update", "leases.coordination.k8s.io/feedplane-operator", "narrow", True),
        ("update", "leases.coordination.k8s.io/another", "narrow", False),
    ],
)
def test_operator_may_do_what_it_needs_and_no_more(
    plane: ControlPlane, namespaced: str, verb: str, resource: str, where: str, *, allowed: bool
) -> None:
    kubeconfig = plane.service_account_kubeconfig(namespaced, ACCOUNT)
    assert may(kubeconfig, verb, resource, where) is allowed


def test_operator_may_grant_feeders_what_they_need(
    plane: ControlPlane, namespaced: str, kubectl: Call
) -> None:
    kubeconfig = plane.service_account_kubeconfig(namespaced, ACCOUNT)
    program = Toolchain(default_cache()).kubectl()
    rules = [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["a-publisher-0"],
            "verbs": ["get", "list", "watch", "update", "patch"],
        },
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["a-main-0"],
            "verbs": ["get", "list", "watch"],
        },
    ]

    def grant(name: str, granted: list[dict[str, list[str]]]) -> None:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": "served"},
            "rules": granted,
        }
        command = (program, "--kubeconfig", kubeconfig, "create", "--filename", "-")
        run(*command, stdin=json.dumps(role))

    grant("a-main-0", rules)
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    with pytest.raises(CommandError, match="attempting to grant RBAC permissions not currently"):
        grant("greedy", [secrets])
    names = kubectl("get", "roles", "-n", "served", "-o", "name")
    assert "a-main-0" in names
    assert "greedy" not in names


def test_editor_role_reaches_the_clusters_own_edit(
    plane: ControlPlane, release: Call, kubectl: Call
) -> None:
    release("wide", "crds.enabled=false")
    kubectl("create", "serviceaccount", "quant", "-n", "wide")
    binding = ("quant", "--clusterrole=edit", "--serviceaccount=wide:quant")
    kubectl("create", "rolebinding", *binding, "--namespace=wide")
    kubeconfig = plane.service_account_kubeconfig("wide", "quant")
    wait_until(
        lambda: may(kubeconfig, "create", "feedsources.feedplane.dev", "wide"),
        "the aggregated role",
        seconds=20,
    )
    assert not may(kubeconfig, "patch", "feedsources.feedplane.dev:status", "wide")
