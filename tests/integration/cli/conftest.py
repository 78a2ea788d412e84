"""One API server with our kinds, and a person who may do everything."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support_cli_cluster import Person
from support_kubelet import FakeNode, run_node
from support_operator import Server, define_kinds

from feedplane_cluster.control_plane import ControlPlane

_NUMBERS = itertools.count(1)
_HERE = Path(__file__).parent
_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test the time that servers need to start on a busy machine."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(_SECONDS))


@pytest.fixture(scope="session")
def cli_plane() -> Iterator[ControlPlane]:
    """An API server of our own, where nobody else acts on what a command writes."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="session")
def server(cli_plane: ControlPlane) -> Iterator[Server]:
    with closing(Server(cli_plane.kubeconfig)) as server:
        define_kinds(server)
        yield server


@pytest.fixture(scope="session")
def node(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    with run_node(server, tmp_path_factory.mktemp("kubelet")) as node:
        yield node


@pytest.fixture
def namespace(server: Server) -> str:
    name = f"trading-{next(_NUMBERS)}"
    server.make_namespace(name)
    return name


@pytest.fixture
def admin(cli_plane: ControlPlane, namespace: str) -> Person:
    return Person(cli_plane.kubeconfig, namespace)
