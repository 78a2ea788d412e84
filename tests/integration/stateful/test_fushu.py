"""Hong Kong by polling, end to end: simulator, feeder, rows in files."""

from typing import Any

import pytest

from feedplane_api.worker import ChannelState, Wanted
from feedplane_feeder.core.health import HealthReason
from feedplane_simulator.faults import FaultKind

VENUES = {
    "fushu": ("quote", "snapshot"),
    "fushu-sina": ("snapshot",),
    "fushu-tencent": ("snapshot",),
}
TWO = ("00700", "09988")


def wanted(venue: str, symbols: tuple[str, ...] = TWO) -> list[Wanted]:
    return [Wanted(symbol=symbol, channels=VENUES[venue]) for symbol in symbols]


def was_shown(row: dict[str, Any], shown: list[dict[str, Any]]) -> bool:
    return any(all(str(row[key]) == str(value) for key, value in one.items()) for one in shown)


@pytest.mark.parametrize("venue", VENUES)
async def test_what_the_service_shows_arrives_as_rows(run: Any, venue: str) -> None:
    async with run(venue, wanted(venue)) as rig:
        await rig.until(rig.all_live)
        await rig.until(lambda: len(rig.rows("snapshot")) >= 4)
        assert rig.status().ready
        assert rig.simulator.violations.list_all() == []
        for channel in VENUES[venue]:
            rows = rig.rows(channel)
            for row in rows:
                symbol = row["instrument_id"].partition(".")[0]
                assert was_shown(row, rig.emitted(channel, symbol)), row


async def test_symbol_the_service_does_not_know_is_refused(run: Any) -> None:
    async with run("fushu", wanted("fushu", ("00700", "99999"))) as rig:
        await rig.until(
            lambda: any(
                problem.symbol == "99999" and problem.state is ChannelState.REFUSED
                for problem in rig.status().problems
            )
        )
        assert rig.status().coverage.live == 2


async def test_quiet_market_stays_live_without_rows(run: Any) -> None:
    async with run("fushu-tencent", wanted("fushu-tencent"), rate=0) as rig:
        await rig.until(rig.all_live)
        await rig.until(lambda: rig.metric("feedplane_feeder_unchanged_total") >= 4)
        assert len(rig.rows("snapshot")) == 2
        assert rig.status().health.healthy


async def test_refused_key_is_told_as_refused_credentials(run: Any) -> None:
    async with run("fushu", wanted("fushu"), valid_keys=("another",)) as rig:
        await rig.until(lambda: rig.status().health.reason == HealthReason.CREDENTIALS_REFUSED)


async def test_banned_address_is_told_and_not_asked_again(run: Any) -> None:
    async with run("fushu-sina", wanted("fushu-sina")) as rig:
        await rig.until(rig.all_live)
        await rig.inject(kind=FaultKind.BAN, seconds=3600, status=429)
        await rig.until(lambda: rig.status().health.reason == HealthReason.ACCOUNT_BANNED)
        assert rig.status().banned_until_time is not None
        assert rig.simulator.violations.list_all() == []
