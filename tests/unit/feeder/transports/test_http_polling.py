"""A polled venue around its hours, with a real session and supervisor, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry
from support_stage import FakeElection, Highest, LoopClock

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_api.worker import (
    ChannelState,
    FailoverPolicy,
    FileSinkConfig,
    SessionConfig,
    SessionState,
    WorkerConfig,
)
from feedplane_feeder.adapters.fushu import FUSHU
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.coverage import Coverage
from feedplane_feeder.core.polling import HttpTerms
from feedplane_feeder.core.ports import Channel, StreamListener
from feedplane_feeder.core.standing import Standing
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.judge import Judge, Scene
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.supervisor import Supervisor, Surroundings
from feedplane_feeder.transports.http_answers import AnswerJudge
from feedplane_feeder.transports.http_polling import PollingConnection

pytestmark = pytest.mark.looptime

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
CHANNELS = (Channel("00005", "snapshot"), Channel("00700", "snapshot"))
LINE = TradingHours(
    openings=(
        "2026-11-20T05:00Z/2026-11-20T08:00Z",
        "2026-11-23T01:30Z/2026-11-23T04:00Z",
        "2026-11-23T05:00Z/2026-11-23T08:00Z",
        "2026-11-24T01:30Z/2026-11-24T04:00Z",
    )
)
HOURS = MarketHours(
    since=MONDAY - timedelta(days=7), until=MONDAY + timedelta(days=7), lines=(LINE,)
)
ALL = (MONDAY, MONDAY + timedelta(days=9))


class DatedClock(LoopClock):
    """The event loop's time, at a date of the test's own."""

    def __init__(self, begins: datetime) -> None:
        self._begins_ns = int(begins.timestamp()) * SECOND_NS

    def now_ns(self) -> int:
        return self._begins_ns + int(asyncio.get_running_loop().time() * SECOND_NS)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ns() / SECOND_NS, UTC)


class FakeAnswer:
    """One answer of the venue."""

    headers: Mapping[str, str] = {}

    def __init__(self, body: bytes | None, status: int = 200) -> None:
        self.status = status
        self._body = body

    async def __aenter__(self) -> "FakeAnswer":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def read(self) -> bytes:
        if self._body is None:
            await asyncio.sleep(10)
            raise TimeoutError
        return self._body


class FakeHttp:
    """The venue: it writes down when it is asked, and knows some instruments."""

    def __init__(self, clock: DatedClock) -> None:
        self.asked: list[datetime] = []
        self.silent = False
        self.status = 200
        self._clock = clock

    def get(self, url: str, **_: object) -> FakeAnswer:
        now = self._clock.now()
        self.asked.append(now)
        if self.silent:
            return FakeAnswer(None)
        if self.status != 200:
            return FakeAnswer(b"", self.status)
        names = parse_qs(urlsplit(url).query)["symbols"][0].split(",")
        price = 400 + len(self.asked) % 7
        rows = [
            {"symbol": name, "price": price, "volume": 9, "timestamp": now.isoformat()}
            for name in names
            if not name.startswith("99999")
        ]
        return FakeAnswer(json.dumps({"data": rows}).encode())

    async def close(self) -> None:
        return None


class FakeTransport:
    """Opens real polling connections on the fake venue."""

    def __init__(self, clock: DatedClock) -> None:
        self.http = FakeHttp(clock)
        self.opened = 0
        self._clock = clock

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> PollingConnection:
        self.opened += 1
        judge = AnswerJudge(HttpTerms(), self._clock)
        http: object = self.http
        connection = PollingConnection(http, headers, listener, judge, self._clock)  # type: ignore[arg-type]  # only the part that is used
        await connection.fetch(url)
        return connection


class Polled:
    """A polled connection with its supervisor and judge, looked at again and again."""

    def __init__(
        self, begins: datetime, hours: MarketHours | None, channels: tuple[Channel, ...]
    ) -> None:
        self.clock = DatedClock(begins)
        self.transport = FakeTransport(self.clock)
        self.coverage = Coverage()
        self.coverage.want(channels, 0)
        self.registry = CollectorRegistry()
        self.meters = Meters(Metrics(self.registry), "fake")
        self.election = FakeElection()
        log = get_log("test")
        limits = FUSHU.capabilities.limits
        self.session = SessionConfig(hours=hours, rotate_after_seconds=999_999)
        shared = Surroundings(
            adapter=FUSHU,
            transport=self.transport,
            publisher=Publisher(Tape("fushu"), (), self.meters, log),
            coverage=self.coverage,
            connects=WindowBudget(20, 300 * SECOND_NS),
            clock=self.clock,
            rng=Highest(),
            headers={},
            log=log,
        )
        (plan,) = FUSHU.connections(channels, (), FUSHU.endpoints, limits)
        self.supervisor = Supervisor(plan, limits, self.session, shared)
        self.judge = Judge(
            self._config(self.session),
            Scene(
                coverage=self.coverage,
                supervisors={plan.key: self.supervisor},
                standing=Standing(),
                meters=self.meters,
                election=self.election,
                clock=self.clock,
                loop_lag_seconds=lambda: 0.0,
                log=log,
            ),
        )

    def take_over(self, hours: MarketHours | None) -> None:
        self.judge.adopt(self._config(self.session.model_copy(update={"hours": hours})))

    async def look_on(self, until: datetime, every: float = 1.0) -> None:
        while self.clock.now() < until:
            await asyncio.sleep(every)
            now_ns = self.clock.now_ns()
            self.supervisor.sweep(now_ns)
            self.coverage.sweep(now_ns, self.session.stale_after_seconds * SECOND_NS)
            self.meters.flush(now_ns)
            self.judge.look()

    def asked(self, since: datetime, until: datetime) -> list[datetime]:
        return [at for at in self.transport.http.asked if since <= at < until]

    def late_polls(self) -> float:
        name = "feedplane_feeder_late_polls_total"
        return self.registry.get_sample_value(name, {"venue": "fake"}) or 0.0

    def states(self) -> list[ChannelState | None]:
        return [covered.state for _, covered in self.coverage.items()]

    def _config(self, session: SessionConfig) -> WorkerConfig:
        sinks, policy = (FileSinkConfig(path="-"),), FailoverPolicy(success_threshold=1)
        return WorkerConfig(venue="fake", sinks=sinks, session=session, policy=policy)


@asynccontextmanager
async def polled(
    begins: datetime,
    hours: MarketHours | None = HOURS,
    channels: tuple[Channel, ...] = CHANNELS,
) -> AsyncIterator[Polled]:
    stage = Polled(begins, hours, channels)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        yield stage
        stage.supervisor.stop()
        await task


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return MONDAY.replace(hour=hour, minute=minute, second=second)


async def test_lunch_break_is_left_in_peace_and_nothing_is_alarmed() -> None:
    async with polled(at(3, 58)) as stage:
        await stage.look_on(at(4, 16))
        await stage.look_on(at(4, 54), every=10)
        assert stage.judge.report.reason == "MarketClosed"
        assert stage.judge.session is SessionState.STREAMING
        assert stage.states() == [None, None]
        await stage.look_on(at(5, 2))
        # The state after the close is taken, then nothing is asked but for the moments before
        # the open; and then again at the phase it had.
        assert len(stage.asked(at(3, 59), at(4, 15))) == 16 * 20
        assert stage.asked(at(4, 15, 3), at(4, 55)) == []
        assert len(stage.asked(at(4, 55), at(5, 2))) == 7 * 20
        phases = {(moment - MONDAY).total_seconds() % 3 for moment in stage.asked(*ALL)[1:]}
        assert max(phases) - min(phases) < 0.01
        told = [reason for _, reason in stage.election.verdicts()]
        assert told == ["Healthy", "MarketClosed", "Healthy"]
        assert (stage.transport.opened, stage.meters.reconnects) == (1, 0)
        assert stage.late_polls() == 0


async def test_night_is_left_in_peace_until_shortly_before_the_open() -> None:
    next_open = at(1, 30) + timedelta(days=1)
    wakes = next_open - timedelta(minutes=5)
    async with polled(at(8, 13)) as stage:
        await stage.look_on(at(8, 16))
        await stage.look_on(wakes - timedelta(minutes=1), every=60)
        await stage.look_on(next_open + timedelta(minutes=1))
        assert stage.asked(at(8, 15, 3), wakes) == []
        assert len(stage.asked(wakes, next_open)) == 100
        assert stage.judge.report.reason == "Healthy"
        assert (stage.transport.opened, stage.meters.reconnects) == (1, 0)


async def test_venue_that_falls_silent_after_a_rest_is_noticed_as_always() -> None:
    async with polled(at(4, 10)) as stage:
        await stage.look_on(at(4, 16))
        await stage.look_on(at(4, 54), every=10)
        await stage.look_on(at(5, 1))
        stage.transport.http.silent = True
        await stage.look_on(at(5, 2))
        fell = {reason: at for at, reason in stage.election.verdicts()}["StreamStale"]
        assert fell - 51 * 60 <= 20


async def test_feeder_started_at_night_asks_for_the_state_and_rests() -> None:
    unknown = Channel("99999", "snapshot")
    async with polled(MONDAY, channels=(*CHANNELS, unknown)) as stage:
        await stage.look_on(at(0, 1))
        await stage.look_on(at(0, 30), every=10)
        # One request opens the connection; two tell the state, and who is unknown for good.
        assert len(stage.asked(*ALL)) == 3
        assert max(stage.asked(*ALL)) < at(0, 0, 10)
        assert stage.states() == [None, None, ChannelState.REFUSED]
        assert stage.judge.report.reason == "MarketClosed"
        assert stage.supervisor.state(stage.clock.now_ns()) is SessionState.STREAMING


async def test_venue_that_is_away_at_night_is_tried_now_and_then() -> None:
    async with polled(at(0, 20)) as stage:
        stage.transport.http.status = 503
        await stage.look_on(at(1, 24), every=2)
        assert stage.judge.report.reason == "MarketClosed"
        assert 3 <= len(stage.asked(at(0, 20), at(0, 21))) <= 4
        assert len(stage.asked(at(0, 21), at(1, 24))) == 12
        await stage.look_on(at(1, 26))
        assert len(stage.asked(at(1, 25), at(1, 26))) >= 12
        stage.transport.http.status = 200
        await stage.look_on(at(1, 31))
        assert stage.judge.report.reason == "Healthy"


async def test_market_without_hours_is_polled_all_the_time() -> None:
    async with polled(at(4, 20), None) as stage:
        await stage.look_on(at(4, 26))
        assert len(stage.asked(at(4, 21), at(4, 26))) == 5 * 20
        assert stage.judge.report.reason == "Healthy"


async def test_hours_that_change_end_a_rest_at_once() -> None:
    async with polled(at(4, 20)) as stage:
        await stage.look_on(at(4, 30))
        asked = len(stage.asked(*ALL))
        stage.take_over(None)
        await stage.look_on(at(4, 30, 5))
        assert len(stage.asked(*ALL)) > asked
        assert stage.late_polls() == 0
