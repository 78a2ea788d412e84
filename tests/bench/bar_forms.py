"""Bars by the row and by the column: what decision record 14 rests on. Writes no figure.

`python -m tests.bench.bar_forms` reads and packs the same lines both ways, and gives what came of
them to the store of a backfill by turns.
"""

import asyncio
import os
import time
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Final

import asyncpg
import typer
from tests.bench.copy import DSN_VARIABLE
from tests.bench.rig import DATABASE_SETTINGS, postgres_cpu_seconds

from feedplane_api.worker import PostgresSinkConfig
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.adapters.binance_rows import lay_out_bars, parse_bar_lines
from feedplane_feeder.core.columns import read_bars
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.sinks.postgres_columns import encode_bars
from feedplane_feeder.sinks.postgres_history import PostgresHistory
from feedplane_feeder.sinks.postgres_text import render_rows

CHANNEL: Final = "bar-1m"
MINUTE_US: Final = 60_000_000
FIRST_US: Final = 1_782_864_000_000_000
LINES: Final = 30 * 1_440
LINES_A_BLOCK: Final = 950
"""About the 128 KiB of a block."""
LAYOUT: Final = lay_out_bars("1m")
Make = Callable[[str, bytes], Rendered]


def make_blocks(seed: int) -> list[bytes]:
    """Return a month of one-minute bars as lines of an archive."""
    rng, lines = Random(seed), []  # noqa: S311 - a seeded market
    for minute in range(LINES):
        opened = FIRST_US + minute * MINUTE_US
        low, first, last, high = sorted(rng.randrange(400_000, 450_000) / 1e5 for _ in range(4))
        volume, base = (rng.randrange(10**7) / 100 for _ in range(2))
        lines.append(
            f"{opened},{first:.8f},{high:.8f},{low:.8f},{last:.8f},{volume:.8f},"
            f"{opened + MINUTE_US - 1},{volume * last:.8f},{rng.randrange(500)},{base:.8f},"
            f"{base * last:.8f},0\n"
        )
    return [
        "".join(lines[start : start + LINES_A_BLOCK]).encode()
        for start in range(0, LINES, LINES_A_BLOCK)
    ]


def by_row(instrument_id: str, block: bytes) -> Rendered:
    """Read and pack a block line by line."""
    return render_rows(CHANNEL, instrument_id, parse_bar_lines(block, MINUTE_US).rows, FIRST_US)


def by_column(instrument_id: str, block: bytes) -> Rendered:
    """Read and pack a block at once."""
    bars = read_bars(block, LAYOUT)
    if bars is None:
        raise RuntimeError("Expected plain lines")
    return encode_bars(CHANNEL, instrument_id, bars, FIRST_US)


WAYS: Final[dict[str, Make]] = {"by_row": by_row, "by_column": by_column}


def store_of(way: str) -> PostgresHistory:
    """Return the store of a backfill, with a schema for each way."""
    config = PostgresSinkConfig(dsn_env=DSN_VARIABLE, schema_name=way)
    return PostgresHistory(config, venue="bench", feed_source="b/b", backfill=way, lanes=1)


async def compare(
    server: TimescaleServer, rounds: int, months: int
) -> dict[str, list[tuple[float, float]]]:
    """Return microseconds a row of each way and round: of this process, of the server."""
    stores = {way: store_of(way) for way in WAYS}
    for store in stores.values():
        await store.open()
    cost: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        blocks = make_blocks(number)
        for way, make in WAYS.items():
            own = spent = 0.0
            for month in range(months):
                name = f"S{number:02}{month:02}USDT.BINANCE-SPOT"
                began = time.process_time()
                made = [make(name, block) for block in blocks]
                own += time.process_time() - began
                before = postgres_cpu_seconds(server)
                await stores[way].write(CHANNEL, made, fresh=True)
                spent += postgres_cpu_seconds(server) - before
            cost[way].append((own / LINES / months * 1e6, spent / LINES / months * 1e6))
    for store in stores.values():
        await store.close()
    return cost


async def sum_bars() -> set[object]:
    """Return the sums of what each way wrote; the same bars have one."""
    ask = await asyncpg.connect(os.environ[DSN_VARIABLE])
    sums = [
        await ask.fetchval(f"select sum(open + high + low + close + volume) from {way}.bars")  # noqa: S608
        for way in WAYS
    ]
    await ask.close()
    return set(sums)


def main(rounds: int = 5, months: int = 6) -> None:
    """Print the medians and every round."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        os.environ[DSN_VARIABLE] = server.create_database(timescale=True)
        cost = asyncio.run(compare(server, rounds, months))
        if len(asyncio.run(sum_bars())) != 1:
            raise RuntimeError("Expected the same bars of both ways")
    for way, spent in cost.items():
        for what, values in zip(
            ("reading and packing", "server"), zip(*spent, strict=True), strict=True
        ):
            told = ", ".join(f"{value:.1f}" for value in values)
            print(f"{way}, {what}: {median(values):.1f} us a row ({told})")


if __name__ == "__main__":
    typer.run(main)
