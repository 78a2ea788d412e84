"""Whole lives of a connection, with a scripted transport and virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from feedplane_api.worker import ChannelState, SessionConfig, SessionState
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.coverage import Coverage, Reason
from feedplane_feeder.core.ports import (
    Channel,
    ConnectionPlan,
    Control,
    ControlKind,
    Due,
    Outgoing,
    Received,
    Refusal,
    StreamListener,
    VenueLimits,
)
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.errors import VenueThrottledError, VenueUnavailableError
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.supervisor import OVERLAP_SECONDS, Supervisor, Surroundings

pytestmark = pytest.mark.looptime

A = Channel("A", "trade")
B = Channel("B", "trade")
LIMITS = VenueLimits(
    control_messages_per_second=5,
    streams_per_connection=10,
    connects_per_five_minutes=300,
    request_weight_per_minute=100,
    connection_life_seconds=86_400,
    ping_timeout_seconds=60,
)
CARRIED = OVERLAP_SECONDS + 0.3
CONFIG = SessionConfig(stale_after_seconds=5, rotate_after_seconds=100_000)


class LoopClock:
    """The event loop's time, which looptime bends."""

    def now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * SECOND_NS) + SECOND_NS

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Highest:
    """Always the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


class FakeSession:
    """A protocol of words: `ack`, `A`, `B`, `rotate`, `refuse A`."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = set(channels)
        self.counts = dict.fromkeys(channels, 0)
        self.resubscribed: list[Channel] = []
        self._asked = False

    def opened(self, now_ns: int) -> None:
        self._asked = True

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        received = Received()
        for word in frames[0].decode().split(","):
            if word == "ack":
                received.acknowledged.extend(sorted(self.channels))
            elif word == "rotate":
                received.controls.append(Control(kind=ControlKind.ROTATE, reason="Announced"))
            elif word.startswith("refuse "):
                channel = Channel(word[7:], "trade")
                received.refusals.append(
                    Refusal(channel=channel, reason="VenueRefused", message="no")
                )
            else:
                self.counts[Channel(word, "trade")] += 1
        return received

    def due(self, now_ns: int) -> Due:
        asked, self._asked = self._asked, False
        return Due(outgoing=[Outgoing("subscribe")] if asked else [])

    def want(self, channels: Sequence[Channel]) -> None:
        self.channels = set(channels)
        self.counts = {channel: self.counts.get(channel, 0) for channel in channels}

    def resubscribe(self, channel: Channel) -> None:
        self.resubscribed.append(channel)

    def unsubscribe_all(self) -> None:
        self.channels = set()

    def frame_counts(self) -> Mapping[Channel, int]:
        return self.counts


class FakeSocket:
    """A connection the test speaks through."""

    def __init__(self, listener: StreamListener, clock: LoopClock) -> None:
        self.sent: list[str] = []
        self.last_read_ns = clock.now_ns()
        self._listener = listener
        self._clock = clock
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        return not self._end.done()

    def say(self, words: str) -> None:
        self.last_read_ns = self._clock.now_ns()
        self._listener.frames_received([words.encode()], self.last_read_ns)

    def end(self, reason: str = "lost") -> None:
        if self.is_open:
            self._end.set_result(reason)

    async def run(self) -> str:
        return await self._end

    def send(self, text: str) -> None:
        self.sent.append(text)

    def pause_reading(self) -> None:
        raise AssertionError("no sink is behind here")

    def resume_reading(self) -> None:
        raise AssertionError("no sink is behind here")

    async def close(self) -> None:
        self.end("closed by us")


class FakeTransport:
    """Opens sockets, or raises what is scripted next."""

    def __init__(self, clock: LoopClock) -> None:
        self.sockets: list[FakeSocket] = []
        self.opened_at: list[float] = []
        self.errors: list[Exception] = []
        self._clock = clock

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> FakeSocket:
        self.opened_at.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        self.sockets.append(FakeSocket(listener, self._clock))
        return self.sockets[-1]


class FakeAdapter:
    """Only what a supervisor asks for."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []

    def instrument_id(self, symbol: str) -> str:
        return f"{symbol}.FAKE"

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> FakeSession:
        self.sessions.append(FakeSession(plan.channels))
        return self.sessions[-1]


class Stage:
    """A supervisor with everything around it."""

    def __init__(self, config: SessionConfig) -> None:
        self.clock = LoopClock()
        self.transport = FakeTransport(self.clock)
        self.adapter = FakeAdapter()
        self.coverage = Coverage()
        self.coverage.want([A, B], 0)
        self.registry = CollectorRegistry()
        log = get_log("test")
        self.meters = Meters(Metrics(self.registry), "fake")
        self.plan = ConnectionPlan(key="stream-0", url="ws://fake", channels=(A, B))
        shared = Surroundings(
            adapter=self.adapter,  # type: ignore[arg-type]  # only the part that is used
            transport=self.transport,
            publisher=Publisher(Tape("fake"), (), self.meters, log),
            coverage=self.coverage,
            connects=WindowBudget(20, 300 * SECOND_NS),
            clock=self.clock,
            rng=Highest(),
            headers={},
            log=log,
        )
        self.supervisor = Supervisor(self.plan, LIMITS, config, shared)

    @property
    def socket(self) -> FakeSocket:
        return self.transport.sockets[-1]

    def state(self) -> SessionState:
        return self.supervisor.state(self.clock.now_ns())

    def reasons(self) -> list[str]:
        return [covered.reason for _, covered in self.coverage.items()]

    async def until(self, happened: Callable[[], bool], seconds: float = 100.0) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.05 if seconds <= 100 else 0.5)
        return loop.time() - started

    async def sweep(self, seconds: float, words: str = "") -> None:
        for _ in range(int(seconds * 2)):
            await asyncio.sleep(0.5)
            if words:
                self.socket.say(words)
            self.supervisor.sweep(self.clock.now_ns())


@asynccontextmanager
async def running(config: SessionConfig = CONFIG) -> AsyncIterator[Stage]:
    stage = Stage(config)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        yield stage
        stage.supervisor.stop()
        await task


async def test_connection_goes_through_its_states_to_streaming() -> None:
    async with running() as stage:
        assert stage.state() is SessionState.DISCONNECTED
        await stage.until(lambda: bool(stage.transport.sockets))
        await asyncio.sleep(0.1)
        assert stage.state() is SessionState.SUBSCRIBING
        assert stage.reasons() == [Reason.AWAITING_ACKNOWLEDGEMENT] * 2
        assert stage.socket.sent == ["subscribe"]
        stage.socket.say("ack")
        assert stage.state() is SessionState.STREAMING
        assert stage.reasons() == [Reason.AWAITING_FIRST_FRAME] * 2
        await stage.sweep(1, "A,B")
        assert stage.reasons() == ["", ""]
    assert not stage.socket.is_open


async def test_lost_connection_is_opened_again() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await stage.sweep(10, "A,B")
        stage.socket.end("closed by the venue: 1006")
        await stage.until(lambda: stage.reasons() == [Reason.AWAITING_CONNECTION] * 2, 0.1)
        waited = await stage.until(lambda: len(stage.transport.sockets) == 2)
        assert waited <= 0.6
        assert stage.supervisor.last_error == "closed by the venue: 1006"
        assert stage.meters.reconnects == 1


async def test_refused_connections_are_tried_at_growing_intervals() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503") for _ in range(8)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await stage.until(lambda: bool(stage.transport.sockets), 1_000)
        stage.supervisor.stop()
        await task
    at = stage.transport.opened_at
    waits = [round(later - sooner, 2) for sooner, later in zip(at, at[1:], strict=False)]  # noqa: RUF007
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_throttled_connection_waits_as_told() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueThrottledError("ws://fake", "HTTP 429", 40)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        waited = await stage.until(lambda: bool(stage.transport.sockets))
        stage.supervisor.stop()
        await task
    assert 40 <= waited <= 41


async def test_connects_stay_within_the_venues_window() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueUnavailableError("ws://fake", "no") for _ in range(60)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(1_500)
        stage.supervisor.stop()
        await task
    at = stage.transport.opened_at
    assert len(at) > 30
    assert all(sum(t <= other < t + 300 for other in at) <= 20 for t in at)


async def test_rotation_at_its_age_opens_the_new_one_first() -> None:
    async with running(CONFIG.model_copy(update={"rotate_after_seconds": 60})) as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await stage.sweep(50, "A,B")
        old = stage.socket
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        assert old.is_open
        await asyncio.sleep(10)
        assert old.is_open  # not before each channel was confirmed on the new one
        assert len(stage.supervisor.connections()) == 2
        stage.socket.say("ack,A,B")
        assert OVERLAP_SECONDS <= await stage.until(lambda: not old.is_open) < CARRIED
        assert (stage.meters.rotations, stage.meters.reconnects) == (1, 0)
        assert stage.reasons() == ["", ""]


async def test_announced_end_is_answered_by_rotation() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, CARRIED)
        assert stage.meters.rotations == 1


async def test_successor_that_dies_leaves_the_old_one_in_place() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.end("lost")
        await stage.until(lambda: len(stage.transport.sockets) == 3)
        assert old.is_open
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, CARRIED)
        assert stage.meters.rotations == 1


async def test_old_connection_that_dies_during_rotation_interrupts_nothing() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        stage.supervisor.sweep(stage.clock.now_ns())
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack")
        await asyncio.sleep(0.2)
        old.end("closed by the venue: 1001")
        await asyncio.sleep(1)
        assert stage.reasons() == ["", ""]
        assert stage.meters.reconnects == 0


async def test_mute_connection_is_replaced_within_the_bound() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(10, "A,B")
        old = stage.socket
        silent_since = asyncio.get_running_loop().time()
        while len(stage.transport.sockets) == 1:
            await stage.sweep(0.5)
        assert stage.state() is SessionState.STALE
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, 1)
        assert asyncio.get_running_loop().time() - silent_since <= 5 + 2
        assert stage.meters.reconnects == 1


async def test_mute_market_is_not_reconnected_in_a_storm() -> None:
    async with running() as stage:
        for _ in range(1_200):
            await asyncio.sleep(0.5)
            stage.socket.last_read_ns = stage.clock.now_ns()  # pings
            if not stage.adapter.sessions[-1].resubscribed:
                stage.socket.say("ack")
                stage.adapter.sessions[-1].resubscribe(A)
            stage.supervisor.sweep(stage.clock.now_ns())
        assert 4 <= len(stage.transport.sockets) <= 10


async def test_dead_socket_is_replaced_after_the_venues_ping_time() -> None:
    async with running(CONFIG.model_copy(update={"stale_after_seconds": 9_999})) as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(59)
        assert len(stage.transport.sockets) == 1
        await stage.sweep(3)
        assert len(stage.transport.sockets) == 2


async def test_added_channel_goes_onto_the_open_connection() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        new = Channel("C", "trade")
        stage.coverage.want([A, new], 0)
        plan = replace(stage.plan, channels=(A, new))
        stage.supervisor.change(plan, LIMITS, CONFIG)
        assert stage.adapter.sessions[0].channels == {A, new}
        assert dict(stage.coverage.items())[new].reason == Reason.AWAITING_ACKNOWLEDGEMENT
        stage.socket.say("ack")
        assert dict(stage.coverage.items())[new].reason == Reason.AWAITING_FIRST_FRAME
        await asyncio.sleep(1)
        assert len(stage.transport.sockets) == 1


async def test_mute_channel_is_subscribed_again_alone() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        stage.supervisor.resubscribe(B)
        assert stage.adapter.sessions[0].resubscribed == [B]


async def test_refused_channel_is_named_and_not_waited_for() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("refuse B")
        assert stage.coverage.state(B) is ChannelState.REFUSED
        old = stage.socket
        old.say("A,rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack,A")
        await stage.until(lambda: not old.is_open, CARRIED)


async def test_stop_while_waiting_to_reconnect_ends_at_once() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueThrottledError("ws://fake", "HTTP 429", 4_000)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(5)
        stage.supervisor.stop()
        await task
        assert asyncio.get_running_loop().time() < 6
