"""The command run by a person against a real API server, and what stands there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support_cli import feed, lease, subscription
from support_kubelet import FakeNode, run_pod
from support_operator import Server, wait_for
from support_resources import utc
from typer.testing import CliRunner, Result

from feedplane_api.names import (
    LABEL_ACCOUNT,
    LABEL_COMPONENT,
    LABEL_FEED_SOURCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_SHARD,
    MANAGED_BY,
    WORKER_CONFIG_KEY,
)
from feedplane_api.worker import (
    AccountIdentity,
    FeedSourceIdentity,
    FileSinkConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_cli.__main__ import app

JsonDict = dict[str, Any]


class Person:
    """Somebody with a kubeconfig, who types commands."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def run(self, *arguments: str) -> Result:
        """Type one command."""
        place = ["-n", self.namespace, "--kubeconfig", str(self.kubeconfig)]
        return CliRunner().invoke(app, [*arguments, *place], catch_exceptions=False)


def place_feed(server: Server, namespace: str, **spec: Any) -> None:
    """Put a FeedSource with two accounts, its Subscription and its Lease there, all well."""
    for document, kind in (
        (feed("spot", namespace, **spec), "FeedSource"),
        (subscription(), "Subscription"),
    ):
        document["metadata"]["namespace"] = namespace
        said = document.pop("status")
        server.create(document)
        name = document["metadata"]["name"]
        server.merge(kind, namespace, name, {"status": said}, "/status")
    held = lease()
    held["metadata"]["namespace"] = namespace
    held["spec"]["renewTime"] = utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    server.create(held)


def run_feeder(server: Server, node: FakeNode, namespace: str, account: str, **changes: Any) -> str:
    """Run a feeder of the FeedSource `spot`; the name of its Pod."""
    name = f"spot-{account}-0-{namespace}"
    labels = {
        LABEL_COMPONENT: "feeder",
        LABEL_FEED_SOURCE: "spot",
        LABEL_ACCOUNT: account,
        LABEL_SHARD: "0",
        LABEL_MANAGED_BY: MANAGED_BY,
    }
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": changes.pop("annotations", {}),
    }
    run_pod(server, node, {"metadata": metadata, "container": changes}, restarts=1)
    return name


def place_config(
    server: Server,
    namespace: str,
    account: str,
    *symbols: str,
    channels: tuple[str, ...] = ("trade",),
) -> None:
    """Put the configuration of an account's feeder of the FeedSource `spot` there."""
    config = WorkerConfig(
        feed_source=FeedSourceIdentity(namespace=namespace, name="spot"),
        venue="binance-spot",
        account=AccountIdentity(name=account),
        wanted=tuple(Wanted(symbol=symbol, channels=channels) for symbol in symbols),
        sinks=(FileSinkConfig(path="-"),),
    )
    labels = {LABEL_FEED_SOURCE: "spot", LABEL_MANAGED_BY: MANAGED_BY}
    server.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"spot-{account}-0", "namespace": namespace, "labels": labels},
            "data": {WORKER_CONFIG_KEY: render_worker_config(config)},
        }
    )


def run_operator(server: Server, node: FakeNode, namespace: str, **container: Any) -> str:
    """Run an operator and its Lease in a namespace; the name of its Pod."""
    server.make_namespace(namespace)
    labels = {LABEL_NAME: "feedplane", LABEL_COMPONENT: "operator"}
    name = f"operator-{namespace}"
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    image = {"image": "feedplane/operator:0.1.0", **container}
    run_pod(server, node, {"metadata": metadata, "container": image})
    server.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "feedplane-operator", "namespace": namespace},
            "spec": {"holderIdentity": name},
        }
    )
    return name


def spec_of(server: Server, namespace: str, name: str = "spot") -> JsonDict:
    """Return the spec of a FeedSource."""
    stored = server.get("FeedSource", namespace, name)
    assert stored is not None
    spec: JsonDict = stored["spec"]
    return spec


def obey(
    server: Server,
    namespace: str,
    asked: Callable[[Mapping[str, Any]], str | None],
    *,
    milliseconds: int = 800,
) -> None:
    """Play feeders and operator: when the spec asks for an account, move Lease and status to it."""
    account = wait_for(lambda: asked(spec_of(server, namespace)), 20)
    moved = {"holderIdentity": f"{account}/spot-{account}-0-xyz", "leaseTransitions": 4}
    server.merge("Lease", namespace, "spot-publisher-0", {"spec": moved})
    said = {
        "activeAccount": account,
        "failover": {
            "epoch": 4,
            "active": account,
            "reason": "SwitchoverRequested",
            "lastDurationMilliseconds": milliseconds,
        },
    }
    server.merge("FeedSource", namespace, "spot", {"status": said}, "/status")
