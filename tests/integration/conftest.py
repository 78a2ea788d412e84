"""Real servers for the integration tests, started only when a test asks for one."""

from collections.abc import Iterator

import pytest
from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.database import TimescaleServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first start on a new machine, which builds these servers, its time."""
    for item in items:
        if "/tests/integration/" in str(item.path) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """An API server with the default controllers and RBAC; no nodes."""
    with ControlPlane(controllers=True) as running:
        yield running


@pytest.fixture(scope="session")
def timescale() -> Iterator[TimescaleServer]:
    """A TimescaleDB server; `create_database()` gives each test its own database."""
    with TimescaleServer() as running:
        yield running
