"""A venue with a past, a database, and a worker between them that may be killed."""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from feedplane_api.backfill_worker import BackfillConfig, BackfillReport
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.backfill_process import run_backfill
from feedplane_feeder.settings import Settings
from feedplane_simulator.annals import Annals
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.past import DAY_MS
from feedplane_simulator.simulator import Simulator

DSN = "FEEDPLANE_BACKFILL_DSN"
BARS = """
select (extract(epoch from ts_open) * 1000)::bigint as at, interval, open::text, high::text,
    low::text, close::text, volume::text, quote_volume::text, trade_count,
    taker_buy_volume::text, taker_buy_quote_volume::text, final, ts_event
from {schema}.bars where instrument_id = $1 order by interval, ts_open
"""
TRADES = """
select trade_id, (extract(epoch from ts_event) * 1000)::bigint as at, price::text, size::text,
    first_id, last_id, aggressor_side
from {schema}.trades where instrument_id = $1 order by trade_id
"""
_numbers = itertools.count(1)


@dataclass
class Trial:
    """One backfill against one venue and one database of its own."""

    venue: Simulator
    ask: asyncpg.Connection
    folder: Path
    today_ms: int
    schema: str
    fields: dict[str, Any] = field(default_factory=dict)

    def config(self, **fields: Any) -> BackfillConfig:
        """Return a configuration over the two days before today."""
        market = fields.pop("market", "spot")
        address = getattr(self.venue, f"{market}_url").replace("ws:", "http:")
        document: dict[str, Any] = {
            "venue": f"binance-{market}",
            "endpoints": {"rest": address, "archive": address},
            "wanted": [{"symbol": "BTCUSDT", "channels": ["bar-1m"]}],
            "start": (self.today_ms - 2 * DAY_MS) / 1000,
            "end": self.today_ms / 1000,
            "sink": {"dsnEnv": DSN, "schema": self.schema},
            "httpPort": 0,
            "limits": {"backfillSharePercent": 100},
            **fields,
        }
        return BackfillConfig.model_validate(document)

    async def run(self, index: int = 0, **fields: Any) -> BackfillReport:
        """Run one worker in this process to its end."""
        settings = Settings(
            pod_name="local",
            termination_log=self.folder / "termination",
            kubernetes_host="",
            kubernetes_port="443",
            service_account=self.folder,
            completion_index=index,
        )
        (self.folder / "termination").touch()
        return await run_backfill(self.config(**fields), settings)

    async def fault(self, damage: str, path: str = "*", **fields: Any) -> None:
        """Damage files of the archive."""
        await self.venue.inject(
            Fault(kind=FaultKind.ARCHIVE, streams=path, damage=damage, **fields)  # type: ignore[arg-type]
        )

    def truth(self, market: Market = Market.SPOT) -> Annals:
        """Return what the venue says happened."""
        annals = self.venue.markets[market].source.annals
        assert annals is not None
        return annals

    async def bars(self, instrument: str = "BTCUSDT.BINANCE-SPOT") -> list[tuple[Any, ...]]:
        """Return every bar but for when it was received, oldest first."""
        rows = await self.ask.fetch(BARS.format(schema=self.schema), instrument)
        return [tuple(row) for row in rows]

    async def trades(self, instrument: str = "BTCUSDT.BINANCE-SPOT") -> list[tuple[Any, ...]]:
        """Return every trade but for when it was received, in order of its number."""
        rows = await self.ask.fetch(TRADES.format(schema=self.schema), instrument)
        return [tuple(row) for row in rows]

    async def chunks(self) -> list[asyncpg.Record]:
        """Return what is remembered of chunks."""
        return list(
            await self.ask.fetch(
                f"select * from {self.schema}.backfill_chunks order by backfill, chunk"  # noqa: S608
            )
        )

    def termination(self) -> dict[str, Any]:
        """Return the termination message."""
        document: dict[str, Any] = json.loads((self.folder / "termination").read_text())
        return document


@pytest.fixture
async def make_venue() -> AsyncIterator[Callable[..., Any]]:
    """Return a maker of running venues."""
    running: list[Simulator] = []

    async def make(**fields: Any) -> Simulator:
        settings: dict[str, Any] = {
            "rate": 0.0,
            "symbols": 3,
            "channels": ("aggTrade", "kline"),
            "history_days": 6,
            "history_trades_a_minute": 2,
            "archive_delay_seconds": 0.0,
            **fields,
        }
        venue = Simulator(SimulatorConfig(**settings))
        await venue.start()
        running.append(venue)
        return venue

    yield make
    for venue in running:
        await venue.stop()


@pytest.fixture(scope="session")
def dsn(timescale: TimescaleServer) -> str:
    """One database for all; each test has a schema of its own in it."""
    return timescale.create_database()


@pytest.fixture
async def make_trial(
    make_venue: Callable[..., Any],
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Any]]:
    """Return a maker of trials."""
    monkeypatch.setenv(DSN, dsn)
    ask = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})

    async def make(**fields: Any) -> Trial:
        venue = await make_venue(**fields)
        now_ms = venue.markets[Market.SPOT].now_ms()
        schema = f"trial_{next(_numbers)}"
        return Trial(venue, ask, tmp_path, now_ms // DAY_MS * DAY_MS, schema)

    yield make
    ask.terminate()


@pytest.fixture
async def trial(make_trial: Callable[..., Any]) -> Trial:
    """A backfill of the two days before today against a quiet venue."""
    made: Trial = await make_trial()
    return made
