"""A-share klines brought in by a backfill worker, as rows of the database."""

from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest

from feedplane_api.backfill_worker import BackfillConfig, BackfillReport
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.backfill_process import run_backfill
from feedplane_feeder.settings import Settings
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.eastmoney import build_klines
from feedplane_simulator.simulator import Simulator

DSN = "FEEDPLANE_STATEFUL_DSN"
SCHEMA = "shares"
BARS = """
select ts_open, open::text, high::text, low::text, close::text, volume::text
from shares.bars where instrument_id = '600519.EASTMONEY' and interval = $1 order by ts_open
"""
TUESDAY, THURSDAY = date(2024, 12, 17), date(2024, 12, 19)


async def backfill(address: str, channel: str, folder: Path) -> BackfillReport:
    config = BackfillConfig.model_validate(
        {
            "venue": "eastmoney",
            "endpoints": {"rest": address},
            "wanted": [{"symbol": "600519", "channels": [channel]}],
            "start": datetime(2024, 12, 17, tzinfo=UTC),
            "end": datetime(2024, 12, 20, tzinfo=UTC),
            "sources": ["Rest"],
            "sink": {"dsnEnv": DSN, "schema": SCHEMA},
            "httpPort": 0,
            "limits": {"backfillSharePercent": 100},
        }
    )
    settings = Settings(
        pod_name="local",
        termination_log=folder / "termination",
        kubernetes_host="",
        kubernetes_port="443",
        service_account=folder,
        completion_index=0,
    )
    return await run_backfill(config, settings)


async def test_klines_become_bars_and_stay_the_same(
    timescale: TimescaleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dsn = timescale.create_database()
    monkeypatch.setenv(DSN, dsn)
    config = SimulatorConfig(markets=(), venues={"eastmoney": 0}, rate=0, symbols=4)
    async with Simulator(config) as simulator:
        address = f"http://127.0.0.1:{simulator.ports['eastmoney']}"
        for channel in ("bar-1d", "bar-5m", "bar-5m"):
            await backfill(address, channel, tmp_path)
    ask = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        days = [tuple(row) for row in await ask.fetch(BARS, "1d")]
        minutes = await ask.fetch(BARS, "5m")
    finally:
        await ask.close()
    assert [row[0].date() for row in days] == [TUESDAY, date(2024, 12, 18), THURSDAY]
    label, first, last, high, low, lots, *_ = build_klines("600519", TUESDAY, "101")[0].split(",")
    assert label == TUESDAY.isoformat()
    assert days[0][1:] == (first, high, low, last, lots)
    assert len(minutes) == 3 * 48
    assert minutes[0]["ts_open"] == datetime(2024, 12, 17, 1, 30, tzinfo=UTC)
