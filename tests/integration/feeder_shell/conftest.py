"""A feeder's place in a real cluster, and a line to it that can be cut."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support_feeder_cluster import Line, Place, make_place

from feedplane_cluster.control_plane import ControlPlane
from feedplane_feeder.cluster import ClusterAddress

COUNT = itertools.count()


@pytest.fixture
def place(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Place]:
    """A namespace of its own for each test."""
    made = make_place(control_plane, f"feeder-shell-{next(COUNT)}", tmp_path)
    yield made
    control_plane.request("DELETE", f"/api/v1/namespaces/{made.namespace}")


@pytest.fixture
async def line(place: Place) -> AsyncIterator[Line]:
    """A line between a feeder and the API server; `address` of the place goes through it."""
    carried = Line(int(place.address.server.rpartition(":")[2]))
    server = await asyncio.start_server(carried.serve, "127.0.0.1", 0)
    carried.port = server.sockets[0].getsockname()[1]
    place.address = ClusterAddress(
        server=f"https://127.0.0.1:{carried.port}",
        token_path=place.address.token_path,
        ca_path=place.address.ca_path,
    )
    yield carried
    carried.break_off()
    server.close()
    await server.wait_closed()
