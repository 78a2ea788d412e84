"""An API server that knows the three kinds."""

from pathlib import Path

import pytest
from support_api_server import Api

from feedplane_cluster.control_plane import ControlPlane


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Api:
    """The server with our definitions in it."""
    api = Api(control_plane)
    api.define()
    return api


@pytest.fixture(scope="session")
def examples() -> list[Path]:
    """Each manifest of ours that a person may apply."""
    return sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
