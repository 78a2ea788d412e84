"""Bars by the row and by the column: what decision record 14 rests on. Writes no figure.

`python -m tests.bench.bar_forms` reads and packs the same lines both ways, and copies what came of
them into keyed hypertables by turns.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from statistics import median
from typing import Final

import asyncpg
import typer
from tests.bench.rig import DATABASE_SETTINGS, postgres_cpu_seconds

from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.adapters.binance_rows import lay_out_bars, parse_bar_lines
from feedplane_feeder.core.columns import read_bars
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.sinks.postgres_columns import encode_bars
from feedplane_feeder.sinks.postgres_encode import COPY_HEAD, COPY_TAIL
from feedplane_feeder.sinks.postgres_schema import BARS
from feedplane_feeder.sinks.postgres_text import COLUMNS, render_rows

CHANNEL: Final = "bar-1m"
MINUTE_US: Final = 60_000_000
FIRST_US: Final = 1_782_864_000_000_000
LINES: Final = 30 * 1_440
LINES_A_BLOCK: Final = 950
"""About the 128 KiB of a block."""
LAYOUT: Final = lay_out_bars("1m")
KIND: Final = ", ".join(f'"{name}" {kind} not null' for name, kind in BARS.columns).replace(
    "text", 'text collate "C"'
)

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


WAYS: Final[dict[str, Make]] = {"row": by_row, "column": by_column}


async def copy(connection: asyncpg.Connection, table: str, blocks: Sequence[Rendered]) -> None:
    """Send blocks of one form."""
    form = blocks[0].form

    async def source() -> AsyncIterator[bytes]:
        if form == "binary":
            yield COPY_HEAD
        for block in blocks:
            yield block.data
        if form == "binary":
            yield COPY_TAIL

    await connection.copy_to_table(table, source=source(), format=form, columns=COLUMNS["bar"])


async def compare(
    server: TimescaleServer, rounds: int, months: int
) -> dict[str, list[tuple[float, float]]]:
    """Return microseconds a row of each way and round: of this process, of the server."""
    connection = await asyncpg.connect(server.create_database(timescale=True))
    for way in WAYS:
        await connection.execute(
            f"create table bars_{way} ({KIND}, unique ({', '.join(BARS.key)}));"
            f" select create_hypertable('bars_{way}', by_range('ts_open', interval '30 days'),"
            " create_default_indexes => false)"
        )
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
                await copy(connection, f"bars_{way}", made)
                spent += postgres_cpu_seconds(server) - before
            cost[way].append((own / LINES / months * 1e6, spent / LINES / months * 1e6))
    sums = [
        await connection.fetchval(f"select sum(open + high + low + close + volume) from bars_{way}")  # noqa: S608
        for way in WAYS
    ]
    await connection.close()
    if len(set(sums)) != 1:
        raise RuntimeError(f"Expected the same bars, was {sums}")
    return cost


def main(rounds: int = 5, months: int = 6) -> None:
    """Print the medians and every round."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        cost = asyncio.run(compare(server, rounds, months))
    for way, spent in cost.items():
        for what, values in zip(
            ("reading and packing", "server"), zip(*spent, strict=True), strict=True
        ):
            told = ", ".join(f"{value:.1f}" for value in values)
            print(f"by the {way}, {what}: {median(values):.1f} us a row ({told})")


if __name__ == "__main__":
    typer.run(main)
