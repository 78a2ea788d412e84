"""The end-to-end tests' cluster: pytest-kind's, over the same programs and image as the demo's.

Options are pytest-kind's: `--cluster-name`, `--keep-cluster`. FEEDPLANE_NODES sets how many nodes
it has (1), FEEDPLANE_CONTEXT uses a cluster of your own.
"""

import os
import re
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_kind import KindCluster
from release import ROOT, Release

from feedplane_cluster.cache import default_cache
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import ClusterError
from feedplane_cluster.kind import KindCluster as OwnKindCluster
from feedplane_cluster.local_cluster import LocalCluster, up
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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Bring the cluster up before the first test, where no test's time limit counts it."""
    config = session.config
    wanted = any(item.get_closest_marker(mark) for item in session.items for mark in MARKS)
    if not wanted or config.option.collectonly:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            own = own_cluster(config)
            config.stash[existed] = own.exists()
            config.stash[prepared] = up(
                name=own.name,
                nodes=int(os.environ.get("FEEDPLANE_NODES", "1")),
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
    settings: dict[str, str] = {
        "demo.enabled": "true",
        "demo.simulator.rate": "300",
        "demo.database.storage.kind": "PersistentVolumeClaim",
    }
    for part, image in cluster.images.items():
        repository, _, tag = image.rpartition(":")
        settings |= {f"images.{part}.repository": repository, f"images.{part}.tag": tag}
    installed.install(settings)
    return installed


@pytest.fixture(scope="session")
def feeds(release: Release) -> None:
    """The demo's FeedSources and Subscriptions, applied as a person does."""
    for manifest in sorted((ROOT / "examples/demo").glob("*.yaml")):
        release.kubectl("apply", "-f", str(manifest))
