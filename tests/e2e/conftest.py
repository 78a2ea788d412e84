"""The end-to-end tests' cluster: pytest-kind's, over the same programs and image as the demo's.

Options are pytest-kind's: `--cluster-name`, `--keep-cluster`. FEEDPLANE_NODES sets how many nodes
it has (2), FEEDPLANE_CONTEXT uses a cluster of your own.
"""

import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chaos.setup import image_settings, on_first_node
from pytest_kind import KindCluster
from release import ROOT, Release
from venues import ports

from feedplane_cluster.cache import default_cache
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import ClusterError
from feedplane_cluster.kind import KindCluster as OwnKindCluster
from feedplane_cluster.local_cluster import REGISTRY_VARIABLE, LocalCluster, push_image, up
from feedplane_cluster.toolchain import HELM, KIND, Toolchain

NAME = "feedplane-e2e"
PLUGIN_NAME = "pytest-kind"
MARKS = ("e2e", "chaos")
prepared = pytest.StashKey[LocalCluster]()
existed = pytest.StashKey[bool]()


class ProductCluster(KindCluster):  # type: ignore[misc] # the plugin has no types
    """pytest-kind's cluster, made by our own means, with the images in it.

    What it mends: an existing cluster's kubeconfig is exported, not left empty; nothing is ever
    downloaded; a forward is ready when kubectl says so and finds programs on PATH.
    """

    def __init__(self, name: str, local: LocalCluster) -> None:
        toolchain = Toolchain(default_cache())
        super().__init__(
            name,
            local.kubeconfig,
            kind_path=toolchain.program(KIND),
            kubectl_path=toolchain.kubectl(),
        )
        self.helm_path: Path = toolchain.program(HELM)
        self.images: Mapping[str, str] = local.images
        """What to install: operator, feeder, simulator, database -> repository:tag."""
        self.nodes: tuple[str, ...] = local.nodes

    @contextmanager
    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, **_: Any
    ) -> Generator[int, None, None]:
        """Forward a free local port for as long as the block runs."""
        command = [
            *(str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig_path), "port-forward"),
            *(service_or_pod_name, f":{remote_port}", *args),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            try:
                assert forward.stdout is not None
                line = forward.stdout.readline()
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                assert found, f"kubectl port-forward said {line!r}"
                yield int(found[1])
            finally:
                forward.kill()


def cluster_name(config: pytest.Config) -> str:
    """Return the cluster's name: ours, unless the person gave another than the plugin's."""
    name = str(config.getoption("cluster_name"))
    return NAME if name == PLUGIN_NAME else name


def own_cluster(config: pytest.Config) -> OwnKindCluster:
    cache = default_cache()
    return OwnKindCluster(cache, Docker(cache), Toolchain(cache), cluster_name(config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Bring the cluster up before the first test, where no test's time limit counts it."""
    if prepared not in item.config.stash and any(map(item.get_closest_marker, MARKS)):
        prepare(item.config)
    return (yield)


def prepare(config: pytest.Config) -> None:
    """Bring the cluster up, telling each step as it is taken."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            own = own_cluster(config)
            config.stash[existed] = own.exists()
            config.stash[prepared] = up(
                name=own.name,
                nodes=int(os.environ.get("FEEDPLANE_NODES", "2")),
                context=os.environ.get("FEEDPLANE_CONTEXT"),
            )
        except ClusterError as error:
            pytest.exit(f"No cluster for the end-to-end tests: {error}", returncode=1)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[ProductCluster]:
    """The cluster with the product's images in it; one that was there before is left there."""
    config = request.config
    local = config.stash[prepared]
    running = ProductCluster(cluster_name(config), local)
    if local.nodes:
        running.create()
    yield running
    if local.nodes and not config.getoption("keep_cluster") and not config.stash[existed]:
        own_cluster(config).delete()


@pytest.fixture(scope="session")
def release(cluster: ProductCluster) -> Release:
    """The shipped chart in namespace `feeds`: two operators, the simulated venue, a database."""
    installed = Release(
        Path(cluster.kubectl_path), cluster.helm_path, Path(cluster.kubeconfig_path), "feeds"
    )
    # A venue that starts anew knows nothing of the rows that an earlier run left.
    if cluster.nodes:
        installed.clear()
    assert not installed.exists(), "an earlier run's; first: kubectl delete namespace feeds"
    settings: dict[str, str] = {
        "demo.enabled": "true",
        "demo.simulator.rate": "300",
        "demo.simulator.historyDays": "3",
        # It keeps the truth of the whole run; killed for memory, it knows of no row before.
        "demo.simulator.resources.limits.memory": "3Gi",
        **{f"demo.simulator.venues.{name}": str(port) for name, port in ports().items()},
        "demo.database.storage.kind": "PersistentVolumeClaim",
    }
    # All but feeders stays beside the API server: the other node is there to be frozen.
    with on_first_node(installed, cluster.nodes):
        installed.install(settings | image_settings(cluster.images))
    return installed


@pytest.fixture(scope="session")
def images(cluster: ProductCluster) -> dict[str, str]:
    """What the chart installs: operator, feeder, simulator, database -> repository:tag."""
    return dict(cluster.images)


@pytest.fixture(scope="session")
def share_image(request: pytest.FixtureRequest, cluster: ProductCluster) -> Callable[[str], str]:
    """Give the cluster an image of the engine's; returns the name it has there."""

    def share(tag: str) -> str:
        if not cluster.nodes:
            return push_image(Docker(default_cache()), os.environ[REGISTRY_VARIABLE], tag)
        own_cluster(request.config).load([tag])
        return tag

    return share


@pytest.fixture(scope="session")
def feeds(release: Release) -> None:
    """The demo's FeedSources and Subscriptions, applied as a person does."""
    for manifest in sorted((ROOT / "examples/demo").glob("*.yaml")):
        release.kubectl("apply", "-f", str(manifest))
