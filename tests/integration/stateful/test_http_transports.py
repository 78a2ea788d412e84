"""Polling and pushed events over real sockets, against a server that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.polling import (
    HttpTerms,
    Poll,
    PollPlan,
    render_plan,
    split_answer,
)
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.http_polling import PollingTransport
from feedplane_feeder.transports.server_sent_events import EventTransport

TERMS = HttpTerms(headers={"Referer": "here"}, timeout_seconds=5, resets_to_ban=2, ban_seconds=90)
STEP_NS = 50_000_000
PATIENCE_SECONDS = 10.0


@dataclass
class Venue:
    """A server whose answers a test sets."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    most: int = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers = dict(request.headers)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer(request) if self.answer else web.Response(text=request.path)
        finally:
            self.under_way -= 1

    def status(self, status: int, **headers: str) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers=headers)

        self.answer = answer


@dataclass
class Listener:
    """Keeps the frames."""

    frames: list[bytes] = field(default_factory=list)

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        self.frames.extend(frames)

    @property
    def bodies(self) -> list[bytes]:
        return [split_answer(frame)[1] for frame in self.frames]

    @property
    def late(self) -> int:
        return sum(split_answer(frame)[0].late for frame in self.frames)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    venue = Venue()
    app = web.Application()
    app.router.add_get("/{path:.*}", venue.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    venue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield venue
    await runner.cleanup()


def plan(venue: Venue, *keys: str) -> str:
    polls = tuple(Poll(key, f"{venue.url}/{key}") for key in keys)
    return render_plan(PollPlan(period_ns=2 * STEP_NS, spacing_ns=STEP_NS, polls=polls))


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():  # noqa: ASYNC110 - other tasks' state, no event to wait on
            await asyncio.sleep(0.01)


async def test_each_poll_is_repeated_and_its_answer_named(venue: Venue) -> None:
    listener = Listener()
    connection = await PollingTransport(TERMS, SystemClock()).connect(
        venue.url, {"X-Key": "k"}, listener
    )
    connection.send(plan(venue, "a", "b"))
    running = asyncio.create_task(connection.run())
    await until(lambda: len(listener.frames) >= 6)
    await connection.close()
    assert await running == "closed by us"
    assert {split_answer(f)[0].poll: split_answer(f)[1] for f in listener.frames} == {
        "a": b"/a",
        "b": b"/b",
    }
    assert (venue.headers["X-Key"], venue.headers["Referer"]) == ("k", "here")


async def test_slow_answers_never_overlap_and_count_as_late(venue: Venue) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.25)
        return web.Response(text=request.path)

    listener = Listener()
    connection = await PollingTransport(TERMS, SystemClock()).connect(venue.url, {}, listener)
    venue.answer = slow
    connection.send(plan(venue, "a"))
    running = asyncio.create_task(connection.run())
    await until(lambda: len(listener.frames) >= 3)
    await connection.close()
    await running
    assert venue.most == 1
    assert listener.late >= 2


async def test_reading_on_pause_asks_nothing(venue: Venue) -> None:
    listener = Listener()
    connection = await PollingTransport(TERMS, SystemClock()).connect(venue.url, {}, listener)
    connection.send(plan(venue, "a"))
    running = asyncio.create_task(connection.run())
    await until(lambda: bool(listener.frames))
    connection.pause_reading()
    await asyncio.sleep(0.1)
    before = len(venue.asked)
    await asyncio.sleep(0.4)
    assert len(venue.asked) == before
    connection.resume_reading()
    await until(lambda: len(venue.asked) > before)
    await connection.close()
    await running


async def test_rest_asks_nothing_until_its_end(venue: Venue) -> None:
    listener, clock = Listener(), SystemClock()
    connection = await PollingTransport(TERMS, clock).connect(venue.url, {}, listener)
    connection.send(plan(venue, "a"))
    running = asyncio.create_task(connection.run())
    await until(lambda: len(listener.frames) >= 2)
    ends_ns = clock.now_ns() + 800_000_000
    connection.rest(ends_ns)
    assert clock.now_ns() - connection.last_read_ns < STEP_NS
    await asyncio.sleep(0.2)
    before = len(venue.asked)
    await asyncio.sleep(0.3)
    assert len(venue.asked) == before
    await until(lambda: len(venue.asked) > before)
    assert clock.now_ns() >= ends_ns
    await connection.close()
    await running


async def test_failures_in_a_row_end_the_session(venue: Venue) -> None:
    connection = await PollingTransport(TERMS, SystemClock()).connect(venue.url, {}, Listener())
    venue.status(500)
    connection.send(plan(venue, "a"))
    assert "HTTP 500" in await connection.run()
    assert len(venue.asked) == 1 + TERMS.failures_max


async def test_throttled_session_waits_as_told(venue: Venue) -> None:
    transport = PollingTransport(TERMS, SystemClock())
    connection = await transport.connect(venue.url, {}, Listener())
    venue.status(429, **{"Retry-After": "40"})
    connection.send(plan(venue, "a"))
    assert "HTTP 429" in await connection.run()
    asked = len(venue.asked)
    with pytest.raises(VenueBannedError) as raised:
        await transport.connect(venue.url, {}, Listener())
    assert 30 < raised.value.retry_after_seconds <= 40
    assert len(venue.asked) == asked


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, CredentialsRefusedError),
        (403, VenueBannedError),
        (418, VenueBannedError),
        (429, VenueThrottledError),
        (502, VenueUnavailableError),
        (302, VenueUnavailableError),
    ],
)
async def test_refusals_show_when_a_connection_is_opened(
    venue: Venue, status: int, error: type[Exception]
) -> None:
    venue.status(status)
    for transport in (PollingTransport(TERMS, SystemClock()), EventTransport(TERMS, SystemClock())):
        with pytest.raises(error):
            await transport.connect(venue.url, {}, Listener())


async def test_address_that_is_cut_off_again_and_again_is_banned(venue: Venue) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    venue.answer = cut
    transport = EventTransport(TERMS, SystemClock())
    with pytest.raises(VenueUnavailableError):
        await transport.connect(venue.url, {}, Listener())
    with pytest.raises(VenueBannedError) as raised:
        await transport.connect(venue.url, {}, Listener())
    assert 80 < raised.value.retry_after_seconds <= 90


async def test_pushed_events_arrive_and_another_address_takes_over(venue: Venue) -> None:
    async def push(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for number in range(1_000):
            await answer.write(f"data: {request.path} {number}\n\n".encode())
            await asyncio.sleep(0.02)
        return answer

    venue.answer = push
    listener = Listener()
    connection = await EventTransport(TERMS, SystemClock()).connect(
        f"{venue.url}/one", {}, listener
    )
    running = asyncio.create_task(connection.run())
    await until(lambda: len(listener.frames) >= 3)
    connection.send(f"{venue.url}/two")
    await until(lambda: b"/two 2" in listener.frames)
    assert listener.frames[:2] == [b"/one 0", b"/one 1"]
    after = listener.frames[listener.frames.index(b"/two 0") :]
    assert all(frame.startswith(b"/two") for frame in after)
    await connection.close()
    assert await running == "closed by us"


async def test_stream_that_the_venue_ends_is_told(venue: Venue) -> None:
    async def push(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"data: last\n\n")

    venue.answer = push
    listener = Listener()
    connection = await EventTransport(TERMS, SystemClock()).connect(venue.url, {}, listener)
    assert await connection.run() == "ended by the venue"
    assert listener.frames == [b"last"]


async def test_address_that_refuses_the_change_ends_the_session(venue: Venue) -> None:
    async def push(request: web.Request) -> web.StreamResponse:
        if request.path == "/two":
            return web.Response(status=503)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await asyncio.sleep(5)
        return answer

    venue.answer = push
    connection = await EventTransport(TERMS, SystemClock()).connect(
        f"{venue.url}/one", {}, Listener()
    )
    connection.send(f"{venue.url}/two")
    assert "HTTP 503" in await connection.run()
