"""When the verdict falls, to the half second: with a real supervisor and virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from support_stage import CONFIG, A, B, JudgedStage, judged

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_api.worker import (
    FailoverPolicy,
    FileSinkConfig,
    SessionConfig,
    WorkerConfig,
)
from feedplane_feeder.core.budget import SECOND_NS
from feedplane_feeder.core.coverage import NEW_NS
from feedplane_feeder.core.standing import Side
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueUnavailableError,
)

pytestmark = pytest.mark.looptime

STALE_SECONDS = CONFIG.stale_after_seconds


async def until_told(stage: JudgedStage, reason: str, seconds: float = 100.0) -> float:
    since = asyncio.get_running_loop().time()
    await stage.until(lambda: stage.judge.report.reason == reason, seconds)
    return asyncio.get_running_loop().time() - since


async def test_account_that_streams_is_healthy_after_three_checks() -> None:
    async with judged() as stage:
        assert [reason for _, reason in stage.election.verdicts()] == ["Starting", "Healthy"]
        assert stage.election.verdicts()[1][0] <= 2.1


async def test_channels_wanted_a_moment_ago_are_no_fault_yet() -> None:
    async with judged() as stage:
        stage.words = "A,B"
        stage.want_quotes()
        loop = asyncio.get_running_loop()
        wanted_at = loop.time()
        failing = await until_told(stage, "CoverageLow")
        # One of three that nobody ever confirms: its time, and the checks that it takes.
        assert NEW_NS / SECOND_NS <= failing <= NEW_NS / SECOND_NS + 1.5
        assert [at for at, _ in stage.election.verdicts()][2] >= wanted_at + NEW_NS / SECOND_NS


async def test_mute_socket_is_told_when_its_time_is_over() -> None:
    async with judged() as stage:
        for _ in range(3):
            stage.words = ""
            waited = await until_told(stage, "StreamStale")
            assert STALE_SECONDS - 0.2 <= waited <= STALE_SECONDS + 0.6
            await asyncio.sleep(20)
            assert stage.judge.report.reason in {"StreamStale", "CoverageLow"}
            assert not stage.judge.report.healthy
            stage.words = "ack,A,B"
            assert await until_told(stage, "Healthy") <= 6
            await asyncio.sleep(10)


async def test_mute_socket_stays_stale_while_it_is_replaced() -> None:
    async with judged() as stage:
        stage.words = "ack"
        await until_told(stage, "StreamStale")
        await asyncio.sleep(60)
        reasons = [reason for _, reason in stage.election.verdicts()]
        assert set(reasons[2:]) <= {"StreamStale", "CoverageLow"}


async def test_refused_login_is_told_within_the_backoff_of_the_loss() -> None:
    async with judged() as stage:
        stage.transport.errors = [CredentialsRefusedError("ws://fake", "HTTP 401")]
        stage.socket.end("closed by the venue: 1006")
        assert await until_told(stage, "CredentialsRefused") <= 0.6
        assert stage.judge.report.definitive
        assert "HTTP 401" in stage.judge.report.message


async def test_ban_is_told_at_once_and_over_with_its_end() -> None:
    async with judged() as stage:
        stage.transport.errors = [VenueBannedError("ws://fake", "HTTP 418", 40)]
        stage.socket.end("closed by the venue: 1006")
        assert await until_told(stage, "AccountBanned") <= 0.6
        assert stage.judge.report.definitive
        assert 40 <= await until_told(stage, "Healthy") <= 43


async def test_ban_of_the_rest_side_does_not_end_a_stream() -> None:
    async with judged() as stage:
        stage.standing.banned(Side.REST, stage.clock.now_ns() + 60_000_000_000)
        await asyncio.sleep(10)
        assert stage.judge.report.reason == "Healthy"


async def test_short_loss_moves_nobody_and_a_longer_one_does() -> None:
    async with judged() as stage:
        stage.socket.end()
        await asyncio.sleep(5)
        assert stage.judge.report.reason == "Healthy"
        stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503")] * 9
        stage.socket.end()
        assert await until_told(stage, "SessionLost") <= 1.1
        assert "HTTP 503" in stage.judge.report.message


async def test_account_that_comes_back_streams_within_five_seconds() -> None:
    async with judged() as stage:
        stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503")] * 99
        stage.socket.end()
        await asyncio.sleep(60)
        opened = len(stage.transport.sockets)
        stage.transport.errors = []
        assert await stage.until(lambda: len(stage.transport.sockets) > opened) <= 4.1


async def test_frozen_process_knows_it_by_its_own_clock() -> None:
    async with judged() as stage:
        stage.loop_lag_seconds = 30.0
        assert await until_told(stage, "EventLoopLagging") <= 1.1


async def test_warm_standby_is_healthy_without_a_subscription() -> None:
    async with judged() as stage:
        stage.judge.rest(resting=True)
        assert await until_told(stage, "WarmReady") <= 0.6
        stage.standing.unreachable(Side.REST, "HTTP 503")
        assert await until_told(stage, "VenueUnreachable") <= 1.1
        stage.standing.accepted(Side.REST)
        await until_told(stage, "WarmReady")
        stage.supervisor.stop()
        await asyncio.sleep(1)
        for channel in (A, B):
            stage.coverage.disconnected(channel, stage.clock.now_ns())
        stage.judge.rest(resting=False)
        assert await until_told(stage, "Starting") <= 0.6
        assert await until_told(stage, "SessionLost") <= 16.1


async def test_thresholds_are_taken_over_live() -> None:
    async with judged() as stage:
        policy = FailoverPolicy(failure_threshold=20)
        stage.judge.adopt(stage.worker.model_copy(update={"policy": policy}))
        stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503")] * 99
        stage.socket.end()
        assert 9 <= await until_told(stage, "SessionLost") <= 10.6


# Closed at the minute after next, and open again some minutes later.
def closing(stage: JudgedStage, *, minutes: int = 5) -> SessionConfig:
    now = datetime.fromtimestamp(stage.clock.now_ns() // 1_000_000_000, UTC).replace(second=0)
    shut, opens = now + timedelta(minutes=2), now + timedelta(minutes=2 + minutes)
    text = [f"{each:%Y-%m-%dT%H:%MZ}" for each in (now, shut, opens, opens + timedelta(hours=9))]
    line = TradingHours(openings=(f"{text[0]}/{text[1]}", f"{text[2]}/{text[3]}"))
    hours = MarketHours(since=now, until=now + timedelta(days=7), lines=(line,))
    return CONFIG.model_copy(update={"hours": hours})


async def test_closed_market_is_no_failure_and_its_open_begins_anew() -> None:
    async with judged() as stage:
        worker = WorkerConfig(venue="fake", sinks=(FileSinkConfig(path="-"),))
        stage.judge.adopt(worker.model_copy(update={"session": closing(stage)}))
        assert await until_told(stage, "MarketClosed", 150) <= 122
        stage.words = "ack"  # nothing comes any more, and nothing is expected
        before = len(stage.transport.sockets)
        await asyncio.sleep(200)
        assert stage.judge.report.reason == "MarketClosed"
        assert stage.judge.report.healthy
        assert stage.reasons() == ["", ""]
        assert len(stage.transport.sockets) == before
        # After the open the same silence counts, from the open on.
        waited = await until_told(stage, "StreamStale", 150)
        assert 90 <= waited <= 101 + STALE_SECONDS + 1
        stage.words = "ack,A,B"
        assert await until_told(stage, "Healthy") <= 6


async def test_venue_that_is_shut_outside_the_hours_may_start_again() -> None:
    async with judged() as stage:
        worker = WorkerConfig(venue="fake", sinks=(FileSinkConfig(path="-"),))
        stage.judge.adopt(worker.model_copy(update={"session": closing(stage)}))
        await until_told(stage, "MarketClosed", 150)
        stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503")] * 10_000
        stage.socket.end("closed by the venue: 1001")
        await asyncio.sleep(200)
        assert stage.judge.report.reason == "MarketClosed"
        assert await until_told(stage, "Starting", 150) <= 101
        assert await until_told(stage, "SessionLost") <= 20
