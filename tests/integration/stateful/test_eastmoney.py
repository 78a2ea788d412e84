"""A-shares end to end: pushed lists, the WebSocket dialect, bans, and klines by REST."""

from datetime import date
from typing import Any

from feedplane_api.worker import SessionState, Wanted
from feedplane_feeder.allowance import LocalAllowance
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.health import HealthReason
from feedplane_feeder.registry import HISTORIES, find_adapter
from feedplane_feeder.rest import RestClient
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.eastmoney import build_klines
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.simulator import Simulator

VENUE = "eastmoney"
TWO = ("600519", "000001")
SIMULATED_DAY = date(2024, 12, 18)
DAY_NS = 86_400 * 10**9
WEDNESDAY_NS = 1_734_480_000 * 10**9


def wanted(*symbols: str) -> list[Wanted]:
    return [Wanted(symbol=symbol, channels=("snapshot",)) for symbol in symbols or TWO]


async def test_pushed_quotes_arrive_as_rows(run: Any) -> None:
    async with run(VENUE, wanted()) as rig:
        await rig.until(rig.all_live)
        await rig.until(lambda: len(rig.rows("snapshot")) >= 20)
        shown = rig.emitted("snapshot", "600519")
        for row in rig.rows("snapshot"):
            if row["instrument_id"] == "600519.EASTMONEY":
                assert any(
                    (row["volume"], row["last_price"], row["turnover"])
                    == (one["volume"], one["last_price"], one["turnover"])
                    for one in shown
                )
        assert rig.simulator.violations.list_all() == []


async def test_socket_dialect_streams_the_same_prices(run: Any) -> None:
    async with run(VENUE, wanted(), scheme="ws") as rig:
        await rig.until(rig.all_live)
        await rig.until(lambda: len(rig.rows("snapshot")) >= 10)
        shown = {one["last_price"] for one in rig.emitted("snapshot", "600519")}
        rows = [r for r in rig.rows("snapshot") if r["instrument_id"].startswith("600519")]
        assert {row["last_price"] for row in rows} <= shown


async def test_instruments_change_while_the_stream_runs(run: Any) -> None:
    async with run(VENUE, wanted("600519")) as rig:
        await rig.until(rig.all_live)
        rig.live.reconfigure(rig.config.model_copy(update={"wanted": tuple(wanted())}))
        await rig.until(lambda: rig.status().coverage.live == 2)
        assert rig.status().reconnects == 0


async def test_address_cut_off_without_an_answer_counts_as_banned(run: Any) -> None:
    async with run(VENUE, wanted()) as rig:
        await rig.until(rig.all_live)
        await rig.inject(kind=FaultKind.BAN, seconds=3600)
        await rig.until(lambda: rig.status().health.reason == HealthReason.ACCOUNT_BANNED)
        assert rig.status().banned_until_time is not None
        assert rig.status().session is not SessionState.STREAMING


async def test_klines_come_over_the_rest_client() -> None:
    adapter, history = find_adapter(VENUE), HISTORIES[VENUE]
    config = SimulatorConfig(markets=(), venues={VENUE: 0}, rate=0, symbols=4)
    async with Simulator(config) as simulator:
        base = f"http://127.0.0.1:{simulator.ports[VENUE]}"
        clock = SystemClock()
        budget = LocalAllowance(60, clock)
        (page,) = history.pages("600519", "bar-1m", WEDNESDAY_NS, WEDNESDAY_NS + DAY_NS)
        async with RestClient(base, {}, budget, adapter.capabilities, clock) as rest:
            parsed = history.parse_page(page, await rest.fetch(page.path, page.weight))
    assert parsed.refused == []
    assert len(parsed.rows) == 240
    first = parsed.rows[0]
    opens_us = (WEDNESDAY_NS + 90 * 60 * 10**9) // 1_000
    (label, *_) = build_klines("600519", SIMULATED_DAY, "1")[0].split(",")
    assert (first[0], label) == (opens_us, "2024-12-18 09:31")
