import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from feedplane_feeder.cluster import ClusterAddress, ClusterApi, Document
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError

LINES = (
    b'{"type": "ADDED", "object": {"data": {}}}\n'
    b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}\n'
)
EXPIRED = b'{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n'
ANSWERS = {
    "/ended": (200, LINES),
    "/expired": (200, LINES + EXPIRED),
    "/torn": (200, LINES + b'{"type": "ADD'),
    "/gone": (410, b"too old"),
    "/broken": (500, b"etcd is away"),
    "/portal": (200, b"<html>please log in</html>"),
    "/list": (200, b"[1, 2]"),
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ClusterApi]:
    """A client of a server that gives canned answers."""

    async def answer(request: web.Request) -> web.Response:
        status, body = ANSWERS[request.path]
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    token = tmp_path / "token"
    token.write_text("anything")
    port = runner.addresses[0][1]
    address = ClusterAddress(server=f"http://127.0.0.1:{port}", token_path=token, ca_path=token)
    client = ClusterApi(address)
    yield client
    await client.close()
    await runner.cleanup()


async def collect(api: ClusterApi, path: str, into: list[Document]) -> None:
    async with contextlib.aclosing(api.watch(path, {})) as events:
        async for event in events:
            into.append(event)  # noqa: PERF401 - kept also when the watch fails


async def test_watch_ended_by_the_server_just_ends(api: ClusterApi) -> None:
    events: list[Document] = []
    await collect(api, "/ended", events)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]


async def test_watch_told_its_version_expired_passes_on_410(api: ClusterApi) -> None:
    events: list[Document] = []
    with pytest.raises(ClusterRefusedError) as refused:
        await collect(api, "/expired", events)
    assert (refused.value.status, len(events)) == (410, 2)


async def test_watch_torn_in_a_line_keeps_what_came_before(api: ClusterApi) -> None:
    events: list[Document] = []
    with pytest.raises(ClusterUnavailableError):
        await collect(api, "/torn", events)
    assert len(events) == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/gone", ClusterRefusedError),
        ("/broken", ClusterUnavailableError),
        ("/portal", ClusterUnavailableError),
        ("/list", ClusterUnavailableError),
    ],
)
async def test_answer_that_is_no_object_becomes_our_error(
    api: ClusterApi, path: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await api.get(path)
