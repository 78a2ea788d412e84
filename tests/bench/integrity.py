"""How long it takes to decide which of 8,000 instruments' days of a month a tape lacks.

`make bench ONLY=integrity`: daily bars of 30 days in a real database, one in a hundred missing.
"""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import typer
from tests.bench.results import write_result

from feedplane_api.worker import PostgresSinkConfig, Wanted, WorkerConfig
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.sinks.postgres_days import PostgresDays
from feedplane_feeder.tape_check import Look, TapeCheck, check_tape

GOAL_SECONDS = 10
DSN = "FEEDPLANE_INTEGRITY_DSN"
COLUMNS = (
    *("instrument_id", "interval", "ts_open", "ts_event", "ts_recv", "open", "high", "low"),
    *("close", "volume", "quote_volume", "trade_count", "taker_buy_volume"),
    *("taker_buy_quote_volume", "final"),
)


def main(instruments: int = 8_000, days: int = 30, *, record: bool = True) -> None:
    """Measure, print, and write the figure unless told not to."""
    with TimescaleServer() as server:
        os.environ[DSN] = dsn = server.create_database()
        seconds, found = asyncio.run(measure(dsn, instruments, days))
    print(f"{instruments} instruments x {days} days: {seconds:.2f} s, {len(found.missing)} missing")
    if record:
        write_result(
            "integrity-decided-seconds",
            value=round(seconds, 2),
            unit="s",
            goal=GOAL_SECONDS,
            higher_is_better=False,
            runs=[round(seconds, 2)],
            command="make bench ONLY=integrity",
            details={"instruments": instruments, "days": days, "missing": len(found.missing)},
        )


async def measure(dsn: str, instruments: int, days: int) -> tuple[float, TapeCheck]:
    """Return how long the count and the decision took, and what came out."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    names = [f"S{number:05d}" for number in range(instruments)]
    wanted = tuple(Wanted(symbol=name, channels=("bar-1d",)) for name in names)
    config = WorkerConfig(venue="bench", wanted=wanted, sinks=(PostgresSinkConfig(dsn_env=DSN),))
    sink = config.sinks[0]
    assert isinstance(sink, PostgresSinkConfig)
    counts = PostgresDays(sink, venue="bench", feed_source="bench", account="check")
    await counts.open()
    await _fill(dsn, names, today, days)
    now_ns = int(today.timestamp()) * 1_000_000_000 + DAY_NS // 2
    symbols = {name: f"{name}.BENCH" for name in names}
    began = time.perf_counter()
    found = await check_tape(config, symbols, counts, Look(days=days, now_ns=now_ns))
    seconds = time.perf_counter() - began
    await counts.close()
    return seconds, found


async def _fill(dsn: str, names: list[str], today: datetime, days: int) -> None:
    connection = await asyncpg.connect(dsn)
    one = (1, 1, 1, 1, 1, 1, 1, 1, 1, True)
    rows = (
        (f"{name}.BENCH", "1d", at, at + timedelta(hours=23), at, *one)
        for number in range(1, days + 1)
        for place, name in enumerate(names)
        for at in (today - timedelta(days=number),)
        if (place + number) % 100
    )
    await connection.copy_records_to_table(
        "bars", schema_name="feedplane", records=rows, columns=COLUMNS
    )
    await connection.close()


if __name__ == "__main__":
    typer.run(main)
