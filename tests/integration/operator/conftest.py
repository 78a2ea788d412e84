"""One API server and one operator with exactly its own rights, for all tests of this folder."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support_operator import (
    OPERATOR_NAMESPACE,
    FakeFeeders,
    OperatorProcess,
    Server,
    define_kinds,
    grant,
    make_operator_account,
    run_feeders,
)

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
def operator_plane() -> Iterator[ControlPlane]:
    """An API server of our own: an operator that watches all of it must not meet other tests."""
    with ControlPlane(controllers=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def server(operator_plane: ControlPlane) -> Iterator[Server]:
    with closing(Server(operator_plane.kubeconfig)) as server:
        define_kinds(server)
        yield server


@pytest.fixture(scope="session")
def feeders() -> Iterator[FakeFeeders]:
    with run_feeders() as running:
        yield running


@pytest.fixture(scope="session")
def operator_kubeconfig(operator_plane: ControlPlane, server: Server) -> Path:
    """A ServiceAccount's, with an operator's rights alone."""
    kubeconfig = make_operator_account(operator_plane, server, "operator")
    grant(server, OPERATOR_NAMESPACE, "operator")
    return kubeconfig


# One for each file: it would not outlive a starved API server that other tests bring about later.
@pytest.fixture(scope="module")
def operator(
    operator_kubeconfig: Path, feeders: FakeFeeders, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator that watches the whole cluster."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    running = OperatorProcess(
        operator_kubeconfig,
        log,
        "operator-0",
        FEEDPLANE_FEEDER_URL_TEMPLATE=feeders.url_template,
        FEEDPLANE_ROLLOUT_DEADLINE_SECONDS="5",
    )
    running.wait_ready()
    yield running
    assert running.stop() == 0


@pytest.fixture
def namespace(server: Server) -> str:
    name = f"feeds-{next(_NUMBERS)}"
    server.make_namespace(name)
    return name


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path
