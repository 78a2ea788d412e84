import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from feedplane_api.worker import FeederStatus, Listing
from feedplane_feeder.server import Server


class Broken:
    """A pipeline that cannot say how it is."""

    def status(self) -> FeederStatus:
        raise RuntimeError("no status")

    def listing(self) -> Listing | None:
        return None


async def ask(server: Server, path: str) -> web.StreamResponse:
    request = make_mocked_request("GET", path)
    found = await server.build_app().router.resolve(request)
    return await found.handler(request)


def test_server_offers_reading_and_nothing_else() -> None:
    routes = Server(Broken(), CollectorRegistry(), 0).build_app().router.routes()
    paths = ("/healthz", "/readyz", "/status", "/instruments", "/metrics")
    assert {(route.method, route.resource.canonical) for route in routes if route.resource} == {
        (method, path) for path in paths for method in ("GET", "HEAD")
    }


@pytest.mark.parametrize(
    ("path", "expected"), [("/healthz", 200), ("/metrics", 200), ("/instruments", 503)]
)
async def test_server_of_a_broken_pipeline_answers_for_itself(path: str, expected: int) -> None:
    answer = await ask(Server(Broken(), CollectorRegistry(), 0), path)
    assert answer.status == expected


async def test_server_never_started_stops_quietly() -> None:
    server = Server(Broken(), CollectorRegistry(), 8000)
    await server.stop()
    assert server.port == 8000
