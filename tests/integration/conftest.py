"""Real servers for the integration tests, started only when a test asks for one."""

from collections.abc import Iterator

import pytest

from feedplane_cluster.control_plane import ControlPlane, control_plane_programs
from feedplane_cluster.database import TimescaleServer, prepare_timescale
from feedplane_cluster.errors import ClusterError


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what a new machine lacks before any test's time limit runs."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            if "control_plane" in wanted:
                control_plane_programs()
            if "timescale" in wanted:
                prepare_timescale()
        except ClusterError as error:
            pytest.exit(f"No servers for the integration tests: {error}", returncode=1)


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
