"""A database that is frozen, killed or slow, under load: nothing lost, nothing doubled."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from support_sinks import make_trade

from feedplane_api.worker import BufferConfig
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks import postgres
from feedplane_feeder.writer import Pace, SinkWriter

RECORDS_PER_SECOND = 2_000
BATCH_RECORDS = 50
OUTAGE_SECONDS = 5.0
MEMORY_GROWTH_MIB = 48

KILLED_WRITER = """
import asyncio, os, sys
from feedplane_api.worker import BufferConfig, PostgresSinkConfig
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.writer import Pace, SinkWriter
from prometheus_client import CollectorRegistry
from support_sinks import make_trade

async def main():
    sink = PostgresSink(PostgresSinkConfig(dsn_env="FEEDPLANE_TEST_DSN"), venue="binance-spot",
        feed_source="default/spot", account="first")
    writer = SinkWriter(sink, BufferConfig(queue_records=200, spill_path=sys.argv[1]),
        clock=SystemClock(), metrics=Metrics(CollectorRegistry()), venue="binance-spot",
        pace=Pace(rows=100, milliseconds=20))
    asyncio.create_task(writer.run())
    offered = 0
    while True:
        writer.offer(Batch(records=[make_trade(offered + i) for i in range(10)]))
        offered += 10
        print(offered, writer.report().records_written, writer.report().spilled_bytes, flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main())
"""


def make_writer(database: Any, folder: Path | None) -> SinkWriter:
    return SinkWriter(
        database.make_sink(),
        BufferConfig(queue_records=1_000, spill_path=str(folder) if folder else None),
        clock=SystemClock(),
        metrics=Metrics(CollectorRegistry()),
        venue="binance-spot",
        pace=Pace(rows=500, milliseconds=50),
    )


@asynccontextmanager
async def running(writer: SinkWriter) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def offer_until(writer: SinkWriter, stop: asyncio.Event) -> int:
    """Offer trades with ever higher ids at a steady rate, as a session would."""
    offered = 0
    while not stop.is_set():
        records = [make_trade(offered + number) for number in range(BATCH_RECORDS)]
        writer.offer(Batch(records=records))
        offered += BATCH_RECORDS
        if writer.full:
            await writer.room()
        await asyncio.sleep(BATCH_RECORDS / RECORDS_PER_SECOND)
    return offered


async def held_ids(dsn: str) -> tuple[int, int, int]:
    ask = await asyncpg.connect(dsn)
    row = await ask.fetchrow(
        "select count(*), count(distinct trade_id), coalesce(max(trade_id), -1)"
        " from feedplane.trades"
    )
    await ask.close()
    assert row is not None
    return row[0], row[1], row[2]


@pytest.mark.parametrize("way", ["frozen", "killed", "disconnected"])
async def test_outage_under_load_loses_and_doubles_nothing(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # A frozen server is noticed by the statement's own limit; the real one is longer.
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 2)
    server = database.server
    writer = make_writer(database, tmp_path)
    stop = asyncio.Event()
    async with running(writer):
        offering = asyncio.create_task(offer_until(writer, stop))
        await asyncio.sleep(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if way == "frozen":
            await asyncio.to_thread(server.pause)
            await asyncio.sleep(OUTAGE_SECONDS)
            await asyncio.to_thread(server.unpause)
        elif way == "killed":
            await asyncio.to_thread(server.stop, kill=True)
            await asyncio.sleep(OUTAGE_SECONDS)
            assert writer.report().spilled_bytes > 0
            await asyncio.to_thread(server.start)
        else:
            for _ in range(5):
                await asyncio.sleep(0.3)
                await database.ask.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name like 'feedplane-feeder %'"
                    " and datname = current_database()"
                )
        assert writer.report().queued_records <= 2_000
        await asyncio.sleep(1)
        stop.set()
        offered = await offering
        assert await writer.drain(30)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert await held_ids(database.dsn) == (offered, offered, offered - 1)
    report = writer.report()
    assert report.lost_records == 0
    assert report.spilled_bytes == 0
    assert grown < MEMORY_GROWTH_MIB * 1024


async def test_killed_writer_leaves_rows_or_names(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill -9 while it spills: every id is in the table or in the ledger, and none twice."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", KILLED_WRITER, str(tmp_path)),
        stdout=subprocess.PIPE,
        env={"FEEDPLANE_TEST_DSN": database.dsn, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    offered = 0
    locked = False
    async for line in process.stdout:
        offered, written, spilled = map(int, line.split())
        if written > 500 and not locked:
            # The table is there and cannot be written: slow, then spilling.
            locked = True
            await database.ask.execute("begin; lock table feedplane.trades in exclusive mode")
        if spilled > 100_000:
            break
    process.kill()
    await process.wait()
    await database.ask.execute("rollback")
    assert offered > 1_000

    writer = make_writer(database, tmp_path)
    async with running(writer):
        writer.offer(Batch(records=[make_trade(offered + 500)]))
        assert await writer.drain(30)
    rows = await database.ask.fetch("select trade_id from feedplane.trades order by trade_id")
    ids = [row[0] for row in rows]
    assert len(ids) == len(set(ids))
    gaps = await database.ask.fetch("select from_id, to_id from feedplane.gaps")
    named = [number for row in gaps for number in range(row[0], row[1] + 1)]
    assert sorted([*ids, *named]) == list(range(offered + 501))
    assert len(named) >= 500


async def test_slow_database_never_loses(database: Any, tmp_path: Path) -> None:
    writer = make_writer(database, tmp_path)
    stop = asyncio.Event()
    async with running(writer):
        offering = asyncio.create_task(offer_until(writer, stop))
        await asyncio.sleep(0.5)
        lock = database.ask.transaction()
        await lock.start()
        await database.ask.execute("lock table feedplane.trades in exclusive mode")
        await asyncio.sleep(4)
        assert writer.report().connected
        assert writer.report().spilled_bytes > 0
        await lock.rollback()
        stop.set()
        offered = await offering
        assert await writer.drain(30)
    assert await held_ids(database.dsn) == (offered, offered, offered - 1)
