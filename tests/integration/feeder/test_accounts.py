"""What the venue does to an account, and what the feeder says and does about it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from feedplane_api.worker import AccountIdentity, ChannelState, Limits, SessionConfig, Wanted
from feedplane_feeder.credentials import POLL_SECONDS
from feedplane_feeder.records import GapCause
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.simulator import Simulator

MAIN = {"account": AccountIdentity(name="main")}
WANTED = [Wanted(symbol=symbol, channels=("trade", "quote")) for symbol in ("BTCUSDT", "ETHUSDT")]
STALE = SessionConfig(stale_after_seconds=2)


def says(rig: Any, reason: str) -> Any:
    return lambda: rig.live.status().health.reason == reason


async def streaming(rig: Any) -> None:
    await rig.until(rig.all_live)
    await rig.until(says(rig, "Healthy"))


async def test_refused_login_is_said_at_once(run: Any) -> None:
    async with run("binance-spot", wanted=WANTED, settings=MAIN, rate=500, symbols=2) as rig:
        await streaming(rig)
        await rig.inject(kind=FaultKind.REFUSE, status=401, client="main")
        await rig.inject(kind=FaultKind.DROP, client="main")
        assert await rig.until(says(rig, "CredentialsRefused")) < 2
        health = rig.live.status().health
        assert (health.healthy, health.definitive) == (False, True)


async def test_ban_is_said_at_once_and_waited_for_to_the_second(run: Any) -> None:
    async with run("binance-spot", wanted=WANTED, settings=MAIN, rate=500, symbols=2) as rig:
        await streaming(rig)
        await rig.inject(kind=FaultKind.BAN, seconds=4, client="main")
        assert await rig.until(says(rig, "AccountBanned")) < 2
        assert rig.live.status().banned_until_time is not None
        await rig.until(says(rig, "Healthy"))
        assert rig.live.status().banned_until_time is None
        assert rig.violations() == []


async def test_mute_account_is_said_when_its_time_is_over(run: Any) -> None:
    async with run(
        "binance-usdm", wanted=WANTED, settings=MAIN, session=STALE, rate=500, symbols=2
    ) as rig:
        await streaming(rig)
        await asyncio.sleep(2)
        for _ in range(2):
            await rig.inject(kind=FaultKind.MUTE, client="main")
            waited = await rig.until(says(rig, "StreamStale"))
            assert waited <= STALE.stale_after_seconds + 2.0
            await asyncio.sleep(2)
            assert not rig.live.status().health.healthy
            rig.simulator.clear()
            await rig.until(says(rig, "Healthy"))


async def test_black_hole_is_said_when_its_time_is_over(run: Any) -> None:
    async with run(
        "binance-spot", wanted=WANTED, settings=MAIN, session=STALE, rate=500, symbols=2
    ) as rig:
        await streaming(rig)
        await rig.inject(kind=FaultKind.BLACKHOLE, client="main", seconds=6)
        assert await rig.until(says(rig, "StreamStale")) <= STALE.stale_after_seconds + 2.0
        await rig.until(says(rig, "Healthy"), 20)


async def test_account_with_one_session_never_logs_in_twice(run: Any) -> None:
    settings = {**MAIN, "limits": Limits(sessions_per_account=1)}
    async with run(
        "binance-spot",
        wanted=WANTED,
        settings=settings,
        rate=500,
        symbols=2,
        sessions_per_account=1,
    ) as rig:
        await streaming(rig)
        seen = {connection["id"] for connection in rig.simulator.connections()}
        for count in range(1, 4):
            await rig.inject(kind=FaultKind.ROTATE, notice_seconds=5)
            await rig.until(lambda: any(c["id"] not in seen for c in rig.simulator.connections()))
            seen.update(connection["id"] for connection in rig.simulator.connections())
            await rig.until(rig.all_live)
            assert (rig.live.status().rotations, len(seen)) == (count, count + 1)
        causes = {gap.cause for gap in rig.writer.gaps}
        assert causes == {GapCause.DISCONNECT}
        assert rig.violations() == []


async def test_channels_that_need_a_second_session_are_refused_by_name(run: Any) -> None:
    settings = {**MAIN, "limits": Limits(sessions_per_account=1)}
    async with run(
        "binance-usdm",
        wanted=[*WANTED, Wanted(symbol="BNBUSDT", channels=("trade",))],
        settings=settings,
        rate=500,
        symbols=3,
        sessions_per_account=1,
    ) as rig:
        await rig.until(lambda: rig.live.status().coverage.live == 3)
        await rig.until(says(rig, "Healthy"))
        problems = {(p.symbol, p.channel, p.state, p.reason) for p in rig.problems()}
        assert problems == {
            (symbol, "quote", ChannelState.REFUSED, "NoSessionLeft")
            for symbol in ("BTCUSDT", "ETHUSDT")
        }
        assert rig.violations() == []


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    (tmp_path / "api_key").write_text("first\n")
    return tmp_path


async def test_new_login_takes_over_without_a_hole(run: Any, credentials: Path) -> None:
    settings = {**MAIN, "credentials_path": str(credentials)}
    async with run(
        "binance-spot",
        wanted=WANTED,
        settings=settings,
        rate=500,
        symbols=2,
        valid_keys=("first", "second"),
    ) as rig:
        await streaming(rig)
        [before] = rig.simulator.connections()
        (credentials / "api_key").write_text("second\n")
        await rig.until(lambda: rig.live.status().rotations == 1, POLL_SECONDS + 8)
        rig.simulator.terms.valid_keys = frozenset({"second"})
        await rig.until(lambda: len(rig.simulator.connections()) == 1)
        assert rig.simulator.connections()[0]["id"] != before["id"]
        assert rig.live.status().health.reason == "Healthy"
        await asyncio.sleep(1)
        assert (rig.writer.gaps, rig.violations()) == ([], [])


async def test_right_login_ends_the_wait_after_a_wrong_one(run: Any, credentials: Path) -> None:
    settings = {**MAIN, "credentials_path": str(credentials)}

    async def change(simulator: Simulator) -> None:
        simulator.terms.valid_keys = frozenset({"second"})

    async with run(
        "binance-spot", wanted=WANTED, settings=settings, before=change, rate=500, symbols=2
    ) as rig:
        await rig.until(says(rig, "CredentialsRefused"))
        (credentials / "api_key").write_text("second\n")
        await rig.until(says(rig, "Healthy"), POLL_SECONDS + 6)
