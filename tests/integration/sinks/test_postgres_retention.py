"""Retention on real servers: old rows go, young ones and the ledger stay."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support_sinks import (
    INSTRUMENT,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_snapshot,
    make_trade,
)

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.retention import DAY_NS
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.records import Gap, Metric, Record
from feedplane_feeder.sinks import postgres_retention
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_retention import PostgresRetention
from feedplane_feeder.sinks.postgres_schema import TABLES

DAY_MS = 86_400_000
OTHER = "ETHUSDT.BINANCE-SPOT"


class LaterClock:
    """Forty days after the first record."""

    def now_ns(self) -> int:
        """Return always the same time."""
        return START_NS + 40 * DAY_NS

    async def sleep(self, seconds: float) -> None:
        """Wait for nothing but the others' turn."""
        assert seconds >= 0
        await asyncio.sleep(0)


@pytest.fixture
async def sink(database: Any) -> AsyncIterator[PostgresSink]:
    """An open sink in whose tables no two of the days share a chunk, bars and metrics included."""
    sink = database.make_sink(chunk_interval_hours=1)
    await sink.open()
    yield sink
    await sink.close()


def make_store(**terms: int) -> PostgresRetention:
    return PostgresRetention(
        PostgresSinkConfig(dsn_env="FEEDPLANE_TEST_DSN", **terms),
        clock=LaterClock(),
        venue="binance-spot",
        feed_source="default/spot",
        account="first",
    )


def records(day: int) -> list[Record]:
    """One of each kind and a second instrument's trade, that many days after the first."""
    number, time = day * DAY_MS, START_NS + day * DAY_NS
    return [
        make_trade(number),
        make_trade(number, instrument_id=OTHER),
        make_quote(number),
        make_bar(day * 1_440, final=True),
        make_delta(number, number),
        Metric(INSTRUMENT, "funding", time, time, "0.1"),
        make_snapshot(day * 172_800),
    ]


async def fill(sink: PostgresSink) -> None:
    """Write old days and young ones, and a gap among the old."""
    for day in (0, 1, 5, 8, 20, 39):
        await sink.write(Batch(records=records(day)))
    gap = Gap(INSTRUMENT, "trade", "sequence", START_NS, from_id=3, to_id=4)
    await sink.write(Batch(gaps=[gap]))


async def days(ask: Any, table: str) -> list[int]:
    """Return the days after the first record that a table holds."""
    rows = await ask.fetch(
        f"select distinct extract(epoch from ts_event)::bigint at from feedplane.{table}"  # noqa: S608
    )
    return sorted((row["at"] - START_NS // 1_000_000_000) // 86_400 for row in rows)


@pytest.fixture
def small_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows or chunks a statement, so that there are several."""
    monkeypatch.setattr(postgres_retention, "ROWS_A_STATEMENT", 2)
    monkeypatch.setattr(postgres_retention, "CHUNKS_A_STATEMENT", 2)


async def keep(store: PostgresRetention) -> bool:
    """Open, do one turn, close."""
    await store.open()
    try:
        return await store.keep()
    finally:
        await store.close()


@pytest.mark.usefixtures("small_statements")
async def test_retention_takes_old_rows_and_nothing_else(database: Any, sink: PostgresSink) -> None:
    await fill(sink)
    store = make_store(retention_days=30)
    assert await keep(store)
    for table in TABLES:
        assert await days(database.ask, table.name) == [20, 39], table.name
    if database.timescale:
        # Quotes have no time in their key and are an ordinary table everywhere.
        assert dict(store.removed) == {"rows": 4, "chunks": 20}
    else:
        assert dict(store.removed) == {"rows": 28}
    gaps = await database.ask.fetch("select state, from_id, to_id from feedplane.gaps")
    assert [tuple(row) for row in gaps] == [("open", 3, 4)]
    assert await database.ask.fetchval("select count(*) from feedplane.schema_version") == 1

    assert await keep(store)
    assert store.removed.total() == 0


async def test_retention_keeps_what_is_as_old_as_allowed(database: Any, sink: PostgresSink) -> None:
    await fill(sink)
    store = make_store(retention_days=40)
    assert await keep(store)
    assert store.removed.total() == 0
    assert await days(database.ask, "trades") == [0, 1, 5, 8, 20, 39]


@pytest.mark.usefixtures("small_statements")
async def test_retention_leaves_the_rest_to_the_next_turn(
    database: Any, sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(sink)
    monkeypatch.setattr(postgres_retention, "MOST_STATEMENTS", 2)
    store, turns = make_store(retention_days=30), 1
    while not await keep(store):
        assert 0 < store.removed.total() <= 4
        turns += 1
    assert turns > 5
    assert await days(database.ask, "snapshots") == [20, 39]


async def test_retention_one_feeder_at_a_time_does_it(database: Any, sink: PostgresSink) -> None:
    await fill(sink)
    first, second = make_store(retention_days=30), make_store(retention_days=30)
    await first.open()
    await second.open()
    assert all(await asyncio.gather(first.keep(), second.keep()))
    assert sorted(bool(store.removed.total()) for store in (first, second)) == [False, True]
    assert await days(database.ask, "trades") == [20, 39]
    await first.close()
    await second.close()


async def test_retention_without_the_right_says_so(database: Any, sink: PostgresSink) -> None:
    await fill(sink)
    store = make_store(retention_days=30)
    await store.open()
    reader = "create role reader_of_tape; grant usage on schema feedplane to reader_of_tape;"
    await database.ask.execute(
        f"{reader} grant select on all tables in schema feedplane to reader_of_tape"
    )
    await store._open_connection().execute("set role reader_of_tape")
    try:
        with pytest.raises(SinkUnavailableError, match="SQLSTATE 42501"):
            await store.keep()
    finally:
        await store.close()
        await database.ask.execute("drop owned by reader_of_tape; drop role reader_of_tape")
    assert await days(database.ask, "trades") == [0, 1, 5, 8, 20, 39]


async def test_compression_is_left_alone_without_its_license(
    database: Any, sink: PostgresSink
) -> None:
    await fill(sink)
    license_name = await database.ask.fetchval(
        "select current_setting('timescaledb.license', true)"
    )
    assert license_name == ("apache" if database.timescale else license_name)
    store = make_store(compress_after_days=7)
    assert await keep(store)
    assert not store.can_compress
    assert store.removed.total() == 0
