"""A connection's whole life on a stage: scripted transport, words for frames, virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry

from feedplane_api.worker import (
    CandidateReport,
    ChannelState,
    ElectionReport,
    FailoverPolicy,
    FileSinkConfig,
    HealthReport,
    SessionConfig,
    SessionState,
    WorkerConfig,
)
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.coverage import Coverage
from feedplane_feeder.core.ports import (
    Channel,
    ConnectionPlan,
    Control,
    ControlKind,
    Demoted,
    Due,
    Outgoing,
    Promoted,
    Received,
    Refusal,
    StreamListener,
    VenueLimits,
)
from feedplane_feeder.core.standing import Standing
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.judge import Judge, Scene
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import Gap, Quote, Record
from feedplane_feeder.supervisor import Supervisor, Surroundings

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
CONFIG = SessionConfig(stale_after_seconds=5, rotate_after_seconds=100_000)


QUOTES = Channel("Q", "quote")


def quote(sequence: int) -> Quote:
    """Return a quote of `QUOTES` whose time is its number."""
    return Quote("Q.FAKE", sequence, sequence, sequence, "1", "1", "2", "1")


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
    """A protocol of words: `ack`, `A`, `B`, `rotate`, `refuse A`, `quote 7`."""

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
            elif word.startswith("quote "):
                received.records.append(quote(int(word[6:])))
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

    socket_type: type[FakeSocket] = FakeSocket

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
        self.sockets.append(self.socket_type(listener, self._clock))
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


class FakeSeat:
    """A seat the test gives and takes."""

    def __init__(self, *, held: bool = True) -> None:
        self._held, self._lost = asyncio.Event(), asyncio.Event()
        self.give() if held else self.take()

    @property
    def held(self) -> bool:
        return self._held.is_set()

    def give(self) -> None:
        self._held.set()
        self._lost.clear()

    def take(self) -> None:
        self._held.clear()
        self._lost.set()

    async def wait_held(self) -> None:
        await self._held.wait()

    async def wait_lost(self) -> None:
        await self._lost.wait()

    async def release(self) -> None:
        self.take()


class Stage:
    """A supervisor with everything around it."""

    def __init__(self, config: SessionConfig, limits: VenueLimits = LIMITS) -> None:
        self.seat = FakeSeat()
        self.standing = Standing()
        self.clock = LoopClock()
        self.transport = FakeTransport(self.clock)
        self.adapter = FakeAdapter()
        self.coverage = Coverage()
        self.coverage.want([A, B], 0)
        self.registry = CollectorRegistry()
        log = get_log("test")
        self.meters = Meters(Metrics(self.registry), "fake")
        self.plan = ConnectionPlan(key="stream-0", url="ws://fake", channels=(A, B))
        self.publisher = Publisher(Tape("fake"), (), self.meters, log)
        self.publisher.buffer.keep = True
        self.shared = Surroundings(
            adapter=self.adapter,  # type: ignore[arg-type]  # only the part that is used
            transport=self.transport,
            publisher=self.publisher,
            coverage=self.coverage,
            connects=WindowBudget(20, 300 * SECOND_NS),
            clock=self.clock,
            rng=Highest(),
            headers={},
            log=log,
            standing=self.standing,
            seat=self.seat,
        )
        self.supervisor = Supervisor(self.plan, limits, config, self.shared)

    @property
    def socket(self) -> FakeSocket:
        return self.transport.sockets[-1]

    def state(self) -> SessionState:
        return self.supervisor.state(self.clock.now_ns())

    def want_quotes(self) -> None:
        """Let the connection carry quotes, too."""
        plan = replace(self.plan, channels=(A, B, QUOTES))
        self.coverage.want(plan.channels, self.clock.now_ns())
        self.supervisor.change(plan, self.supervisor.limits, self.supervisor.config)

    def take_gaps(self) -> list[Gap]:
        """Return the gaps named since the last call."""
        return self.take_tape()[0]

    def take_tape(self) -> tuple[list[Gap], list[Record]]:
        """Return the gaps named and the records written since the last call."""
        batches, _ = self.publisher.buffer.take()
        gaps = [gap for batch in batches for gap in batch.gaps]
        return gaps, [record for batch in batches for record in batch.records]

    def reasons(self) -> list[str]:
        return [covered.reason for _, covered in self.coverage.items()]

    async def until(self, happened: Callable[[], bool], seconds: float = 100.0) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.05 if seconds <= 100 else 0.5)
        return loop.time() - started

    def silence(self, channel: Channel) -> None:
        """Let a channel be found mute."""
        dict(self.coverage.items())[channel].state = ChannelState.STALE
        self.supervisor.resubscribe(channel)

    async def sweep(self, seconds: float, words: str = "") -> None:
        for _ in range(int(seconds * 2)):
            await asyncio.sleep(0.5)
            if words:
                self.socket.say(words)
            self.supervisor.sweep(self.clock.now_ns())


@asynccontextmanager
async def running(
    config: SessionConfig = CONFIG, limits: VenueLimits = LIMITS
) -> AsyncIterator[Stage]:
    stage = Stage(config, limits)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        yield stage
        stage.supervisor.stop()
        await task


class FakeElection:
    """Remembers what it was told; the test says who there is."""

    def __init__(self) -> None:
        self.told: list[tuple[float, HealthReport]] = []
        self.active = True
        self.others: tuple[CandidateReport, ...] = ()
        self.yields_after_seconds: float | None = None
        self.prepare_handover: Callable[[], Awaitable[None]] = self._prepare

    async def _prepare(self) -> None:
        raise AssertionError("nobody hands over here")

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        yield Promoted(1, "Vacant")

    def judge(self, health: HealthReport) -> None:
        loop = asyncio.get_running_loop()
        if not self.told or self.told[-1][1] != health:
            self.told.append((loop.time(), health))
        if health.definitive and self.yields_after_seconds is not None:
            loop.call_later(self.yields_after_seconds, self._yield)

    def _yield(self) -> None:
        self.active = False

    def adopt(self, policy: FailoverPolicy) -> None:
        raise AssertionError("policies go to the judge here")

    async def release(self, reason: str) -> None:
        self.active = False

    def report(self) -> ElectionReport:
        return ElectionReport(active=self.active)

    def peers(self) -> tuple[CandidateReport, ...]:
        return self.others

    def verdicts(self) -> list[tuple[float, str]]:
        """Return when which reason was told first, without repeats."""
        said: list[tuple[float, str]] = []
        for at, report in self.told:
            if not said or said[-1][1] != report.reason:
                said.append((at, report.reason))
        return said


class JudgedStage(Stage):
    """A stage with a judge that looks on, as a feeder has it: two sweeps a second."""

    def __init__(self, config: SessionConfig, limits: VenueLimits = LIMITS) -> None:
        super().__init__(config, limits)
        self.election = FakeElection()
        self.loop_lag_seconds = 0.0
        self.worker = WorkerConfig(
            venue="fake",
            sinks=(FileSinkConfig(path="-"),),
            session=config,
            policy=FailoverPolicy(failure_threshold=2, success_threshold=3),
        )
        scene = Scene(
            coverage=self.coverage,
            supervisors={"stream-0": self.supervisor},
            standing=self.standing,
            meters=self.meters,
            election=self.election,
            clock=self.clock,
            loop_lag_seconds=lambda: self.loop_lag_seconds,
            log=get_log("test"),
        )
        self.judge = Judge(self.worker, scene)
        self.words = ""
        """What the venue says every tenth of a second."""

    async def look_on(self) -> None:
        loop, seconds = asyncio.get_running_loop(), self.supervisor.config.stale_after_seconds
        sweep_at = loop.time()
        while True:
            await asyncio.sleep(0.1)
            if self.words and self.transport.sockets and self.socket.is_open:
                self.socket.say(self.words)
            if loop.time() - sweep_at < 0.5:
                continue
            sweep_at = loop.time()
            now_ns = self.clock.now_ns()
            self.supervisor.sweep(now_ns)
            self.coverage.sweep(now_ns, seconds * SECOND_NS)
            self.meters.flush(now_ns)
            self.judge.look()


@asynccontextmanager
async def judged(
    config: SessionConfig = CONFIG, limits: VenueLimits = LIMITS
) -> AsyncIterator[JudgedStage]:
    """Run a stage whose connection streams already."""
    stage = JudgedStage(config, limits)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stage.look_on()), group.create_task(stage.supervisor.run())]
        stage.words = "ack,A,B"
        await asyncio.sleep(10)
        yield stage
        tasks[0].cancel()
        stage.supervisor.stop()
        await tasks[1]
