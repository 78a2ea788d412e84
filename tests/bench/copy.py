"""Rows per second of one connection into the keyed trades table: hypertable and plain beside it.

`python -m tests.bench.copy` writes new rows, then batches of which half is known already, and
compares ways to encode and send a row. Rows are counted in the table afterwards.
"""

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from random import Random
from typing import Any

import asyncpg
import psycopg
import typer
from tests.bench.results import write_result
from tests.bench.rig import DATABASE_SETTINGS, postgres_cpu_seconds

from feedplane_api.worker import PostgresSinkConfig
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.records import Trade
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_encode import COPY_HEAD, COPY_TAIL, RowEncoder, microseconds
from feedplane_feeder.sinks.postgres_schema import TRADES

COMMAND = "make bench"
DSN_VARIABLE = "FEEDPLANE_BENCH_DSN"
INSTRUMENTS = 20
FIRST_NS = 1_760_000_000_000_000_000
BATCH_ROWS = 10_000
CHUNK_ROWS = 1_000
COLUMNS = [name for name, _ in TRADES.columns]
BARE_TABLE = ", ".join(f'"{name}" {kind}' for name, kind in TRADES.columns)


def make_trades(start: int, count: int, *, instruments: int = INSTRUMENTS) -> list[Trade]:
    """Return trades of a rising market: prices and sizes repeat about as they do on a venue."""
    rng = Random(start)  # noqa: S311 - a seeded market
    rows = []
    for number in range(start, start + count):
        ts_event = FIRST_NS + number * 10_000
        rows.append(
            Trade(
                instrument_id=f"S{number % instruments:03d}USDT.BINANCE-SPOT",
                ts_event=ts_event,
                ts_recv=ts_event + 3_000_000,
                trade_id=number // instruments,
                price=f"{60_000 + rng.randrange(2_000) / 100:.8f}",
                size=f"{int(rng.expovariate(1 / 900)) / 100_000:.8f}",
                aggressor_side="B" if rng.random() < 0.5 else "S",
                first_id=2 * number,
                last_id=2 * number + 1,
            )
        )
    return rows


async def measure_table(server: TimescaleServer, *, timescale: bool, rows: int) -> dict[str, Any]:
    """Write new rows, then half-known ones, and return rates and CPU."""
    dsn = server.create_database(timescale=timescale)
    os.environ[DSN_VARIABLE] = dsn
    sink = PostgresSink(
        PostgresSinkConfig(dsn_env=DSN_VARIABLE), venue="bench", feed_source="b/b", account="a"
    )
    await sink.open()
    new = [make_trades(start, BATCH_ROWS) for start in range(0, rows, BATCH_ROWS)]
    result = {"timescale": timescale, "new": await measure_writes(server, sink, new)}
    half = []
    for index in range(rows // BATCH_ROWS // 2):
        known = make_trades(index * BATCH_ROWS, BATCH_ROWS // 2)
        fresh = make_trades(rows + index * BATCH_ROWS // 2, BATCH_ROWS // 2)
        half.append([row for pair in zip(known, fresh, strict=True) for row in pair])
    result["half_known"] = await measure_writes(server, sink, half)
    await sink.close()
    ask = await asyncpg.connect(dsn)
    expected = rows + len(half) * BATCH_ROWS // 2
    row = await ask.fetchrow(
        "select count(*), count(distinct (instrument_id, trade_id)) from feedplane.trades"
    )
    await ask.close()
    if row is None or not row[0] == row[1] == expected:
        raise RuntimeError(f"Expected {expected} rows once, was {row}")
    server.drop_database(dsn.rpartition("/")[2])
    return result


async def measure_writes(
    server: TimescaleServer, sink: PostgresSink, batches: Sequence[list[Trade]]
) -> dict[str, float]:
    """Write batches and return rows per second and CPU seconds per million rows."""
    gc.collect()
    gc.freeze()
    count = sum(map(len, batches))
    base, own, began = postgres_cpu_seconds(server), time.process_time(), time.perf_counter()
    for batch in batches:
        await sink.write(Batch(records=batch))
    took = time.perf_counter() - began
    return {
        "rows_per_second": count / took,
        "feeder_cpu_seconds_per_million": (time.process_time() - own) / count * 1e6,
        "postgres_cpu_seconds_per_million": (postgres_cpu_seconds(server) - base) / count * 1e6,
    }


async def measure_ways(server: TimescaleServer, rows: int) -> dict[str, dict[str, float]]:
    """Compare ways to send rows into a table without a key, so that the client's part shows."""
    dsn = server.create_database(timescale=False)
    connection = await asyncpg.connect(dsn)
    other = psycopg.connect(dsn)
    batches = [make_trades(start, BATCH_ROWS) for start in range(0, rows, BATCH_ROWS)]
    with ThreadPoolExecutor(1) as thread:

        async def in_thread(write: Callable[[Any, list[Trade]], None], batch: list[Trade]) -> None:
            await asyncio.get_running_loop().run_in_executor(thread, write, other, batch)

        encoder = RowEncoder()
        ways: dict[str, Callable[[list[Trade]], Awaitable[None]]] = {
            "struct, asyncpg": lambda batch: send_struct(connection, encoder, batch),
            "struct, psycopg in a thread": lambda batch: in_thread(
                lambda to, rows: send_struct_psycopg(to, encoder, rows), batch
            ),
            "psycopg rows in a thread": lambda batch: in_thread(send_psycopg_rows, batch),
            "asyncpg records": lambda batch: send_records(connection, batch),
            "text, asyncpg": lambda batch: send_text(connection, batch),
        }
        measured = {}
        for name, write in ways.items():
            await connection.execute(f"drop table if exists bare; create table bare ({BARE_TABLE})")
            gc.collect()
            own, began = time.process_time(), time.perf_counter()
            for batch in batches:
                await write(batch)
            took = time.perf_counter() - began
            measured[name] = {
                "rows_per_second": rows / took,
                "feeder_cpu_seconds_per_million": (time.process_time() - own) / rows * 1e6,
            }
    other.close()
    await connection.close()
    server.drop_database(dsn.rpartition("/")[2])
    return measured


def encode_chunks(encoder: RowEncoder, batch: list[Trade]) -> Iterator[bytes]:
    """Yield a binary COPY stream in pieces."""
    yield COPY_HEAD
    for start in range(0, len(batch), CHUNK_ROWS):
        yield encoder.trades(batch[start : start + CHUNK_ROWS])
    yield COPY_TAIL


async def send_struct(
    connection: asyncpg.Connection,
    encoder: RowEncoder,
    batch: list[Trade],
    table: str = "bare",
    schema: str | None = None,
) -> None:
    """What the sink does."""

    async def chunks() -> Any:
        for chunk in encode_chunks(encoder, batch):
            yield chunk

    await connection.copy_to_table(
        table, schema_name=schema, source=chunks(), format="binary", columns=COLUMNS
    )


def send_struct_psycopg(
    connection: psycopg.Connection[Any], encoder: RowEncoder, batch: list[Trade]
) -> None:
    """The same bytes through the other driver."""
    with connection.cursor().copy("copy bare from stdin (format binary)") as copy:
        for chunk in encode_chunks(encoder, batch):
            copy.write(chunk)
    connection.commit()


def send_psycopg_rows(connection: psycopg.Connection[Any], batch: list[Trade]) -> None:
    """psycopg's own encoder in C; times as integers, numbers as Decimal."""
    with connection.cursor().copy("copy bare from stdin (format binary)") as copy:
        copy.set_types(["text", *["int8"] * 5, "text", "numeric", "numeric"])
        for trade in batch:
            copy.write_row(
                (
                    trade.instrument_id,
                    microseconds(trade.ts_event),
                    microseconds(trade.ts_recv),
                    trade.trade_id,
                    trade.first_id,
                    trade.last_id,
                    trade.aggressor_side,
                    Decimal(trade.price),
                    Decimal(trade.size),
                )
            )
    connection.commit()


async def send_records(connection: asyncpg.Connection, batch: list[Trade]) -> None:
    """asyncpg's own encoder."""
    await connection.copy_records_to_table(
        "bare",
        columns=COLUMNS,
        records=[
            (
                trade.instrument_id,
                datetime.fromtimestamp(trade.ts_event / 1e9, UTC),
                datetime.fromtimestamp(trade.ts_recv / 1e9, UTC),
                trade.trade_id,
                trade.first_id,
                trade.last_id,
                trade.aggressor_side,
                Decimal(trade.price),
                Decimal(trade.size),
            )
            for trade in batch
        ],
    )


async def send_text(connection: asyncpg.Connection, batch: list[Trade]) -> None:
    """COPY in its text format: the server parses the numbers."""
    lines = "".join(
        f"{trade.instrument_id}\t{datetime.fromtimestamp(trade.ts_event / 1e9, UTC)}\t"
        f"{datetime.fromtimestamp(trade.ts_recv / 1e9, UTC)}\t{trade.trade_id}\t{trade.first_id}\t"
        f"{trade.last_id}\t{trade.aggressor_side}\t{trade.price}\t{trade.size}\n"
        for trade in batch
    ).encode()
    await connection.copy_to_table("bare", source=BytesIO(lines), format="text", columns=COLUMNS)


def main(rows: int = 1_000_000, rounds: int = 3, way_rows: int = 200_000) -> None:
    """Measure in rounds, kinds of table alternating, and write the medians."""
    with TimescaleServer(DATABASE_SETTINGS) as server:
        runs = [
            asyncio.run(measure_table(server, timescale=timescale, rows=rows))
            for _ in range(rounds)
            for timescale in (True, False)
        ]
        ways = asyncio.run(measure_ways(server, way_rows))
    for figure, part, goal in (
        ("copy-rows-per-second", "new", 150_000),
        ("copy-half-known-rows-per-second", "half_known", 80_000),
    ):
        hypertable = [run[part] for run in runs if run["timescale"]]
        rates = [round(run["rows_per_second"]) for run in hypertable]
        plain = [run[part] for run in runs if not run["timescale"]]
        write_result(
            figure,
            value=round(statistics.median(rates)),
            unit="rows/s",
            goal=goal,
            higher_is_better=True,
            runs=rates,
            command=COMMAND,
            details={
                "table": "trades, keyed hypertable",
                "batch_rows": BATCH_ROWS,
                "rows": rows,
                "hypertable": hypertable,
                "plain": plain,
                **({"ways_without_key": ways} if part == "new" else {}),
            },
        )


if __name__ == "__main__":
    typer.run(main)
