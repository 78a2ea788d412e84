"""What the order of rows costs the server: what decision record 5 rests on. Writes no figure.

`python -m tests.bench.order` writes the same rows into two schemas by turns: copied in order of
arrival and sorted by instrument, and merged from staging with half of them known, in order of
arrival and in order of the key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from statistics import median
from typing import Final

import asyncpg
import typer
from tests.bench.copy import BATCH_ROWS, COLUMNS, make_trades, send_struct
from tests.bench.rig import DATABASE_SETTINGS, postgres_cpu_seconds

from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.records import Trade
from feedplane_feeder.sinks.postgres_encode import RowEncoder
from feedplane_feeder.sinks.postgres_schema import TRADES

INSTRUMENTS: Final = 400
WAYS: Final = ("arrival", "sorted")
BATCHES_AT_ONCE: Final = 10
"""One batch is too little for the clock of a process."""

KIND: Final = ", ".join(f"{name} {kind} not null" for name, kind in TRADES.columns).replace(
    "text", 'text collate "C"'
)
KEY: Final = ", ".join(TRADES.key)
NAMES: Final = ", ".join(COLUMNS)
ENCODER: Final = RowEncoder()

Write = Callable[[asyncpg.Connection, str, list[Trade]], Awaitable[None]]


async def copy_into(connection: asyncpg.Connection, way: str, rows: list[Trade]) -> None:
    """Copy rows straight into the keyed table."""
    ordered = sorted(rows, key=attrgetter("instrument_id")) if way == "sorted" else rows
    await send_struct(connection, ENCODER, ordered, "trades", way)


async def merge_into(connection: asyncpg.Connection, way: str, rows: list[Trade]) -> None:
    """Stage rows and merge them into the keyed table."""
    await send_struct(connection, ENCODER, rows, "stage", way)
    order = f"order by {KEY}" if way == "sorted" else ""
    await connection.execute(
        f"insert into {way}.trades ({NAMES}) select {NAMES} from {way}.stage {order}"  # noqa: S608 - names are ours
        f" on conflict ({KEY}) do nothing; truncate {way}.stage"
    )


def make_batches(count: int) -> list[list[Trade]]:
    """Return batches of new trades of many instruments in order of arrival."""
    return [
        make_trades(number * BATCH_ROWS, BATCH_ROWS, instruments=INSTRUMENTS)
        for number in range(count)
    ]


def half_known(batches: Sequence[list[Trade]]) -> list[list[Trade]]:
    """Return batches of which every other row is one of these and the rest is new."""
    fresh = make_batches(2 * len(batches))[len(batches) :]
    return [
        [
            new if number % 2 else known
            for number, (known, new) in enumerate(zip(*both, strict=True))
        ]
        for both in zip(batches, fresh, strict=True)
    ]


async def measure(
    server: TimescaleServer,
    connection: asyncpg.Connection,
    batches: list[list[Trade]],
    write: Write,
) -> dict[str, list[float]]:
    """Write batches by turns and return the server's CPU seconds per million rows, by way."""
    cost: dict[str, list[float]] = {way: [] for way in WAYS}
    for first in range(0, len(batches), BATCHES_AT_ONCE):
        some = batches[first : first + BATCHES_AT_ONCE]
        for way in WAYS:
            before = postgres_cpu_seconds(server)
            for batch in some:
                await write(connection, way, batch)
            spent = postgres_cpu_seconds(server) - before
            cost[way].append(spent / sum(map(len, some)) * 1e6)
    return cost


async def compare(server: TimescaleServer, batch_count: int) -> dict[str, dict[str, list[float]]]:
    """Return the cost of each way to copy and to merge."""
    connection = await asyncpg.connect(server.create_database(timescale=True))
    for way in WAYS:
        await connection.execute(
            f"create schema {way};"
            f" create table {way}.trades ({KIND}, primary key ({KEY}));"
            f" select create_hypertable('{way}.trades', by_range('ts_event', interval '1 day'));"
            f" create unlogged table {way}.stage ({KIND})"
        )
    batches = make_batches(batch_count)
    copied = await measure(server, connection, batches, copy_into)
    merged = await measure(server, connection, half_known(batches), merge_into)
    await connection.close()
    return {"copy of new rows": copied, "merge, half known": merged}


def main(batches: int = 100) -> None:
    """Print the medians and every round."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        found = asyncio.run(compare(server, batches))
    for what, cost in found.items():
        for way, rounds in cost.items():
            told = ", ".join(f"{value:.1f}" for value in rounds)
            print(f"{what}, {way}: {median(rounds):.1f} s per million rows ({told})")


if __name__ == "__main__":
    typer.run(main)
