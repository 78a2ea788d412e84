"""The postgres sink against real servers: digits, keys, ledger, watermarks, versions."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace
from support_sinks import (
    INSTRUMENT,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_snapshot,
    make_trade,
)

from feedplane_feeder.core.ports import Batch, PublisherSession, Watermark, Written
from feedplane_feeder.errors import SinkRefusedError
from feedplane_feeder.records import Gap, Metric, Quarantined, Record
from feedplane_feeder.sinks import postgres_schema
from feedplane_feeder.sinks.postgres import PostgresSink

COLUMN = re.compile(r"^\| `(\w+)` \| (\w+) \|(.*)\|$", re.MULTILINE)
DAY, MONTH = timedelta(days=1), timedelta(days=30)
PARTITIONED = {
    **dict.fromkeys(("trades", "book_deltas", "snapshots"), DAY),
    **dict.fromkeys(("bars", "metrics"), MONTH),
}
plain_number = st.from_regex(r"(0|[1-9][0-9]{0,20})(\.[0-9]{1,18})?", fullmatch=True)


def trades(start: int, count: int) -> list[Record]:
    return [make_trade(number) for number in range(start, start + count)]


async def count(ask: asyncpg.Connection, table: str) -> int:
    return int(await ask.fetchval(f"select count(*) from feedplane.{table}"))  # noqa: S608


async def test_postgres_tables_are_hypertables_where_they_can_be(
    database: Any, sink: PostgresSink
) -> None:
    found = {}
    if database.timescale:
        rows = await database.ask.fetch(
            "select hypertable_name, time_interval from timescaledb_information.dimensions"
        )
        found = dict(rows)
    assert found == (PARTITIONED if database.timescale else {})


async def test_postgres_eight_feeders_create_the_schema_at_once(database: Any) -> None:
    sinks = [database.make_sink() for _ in range(8)]
    await asyncio.gather(*(sink.open() for sink in sinks))
    results = await asyncio.gather(*(sink.write(Batch(records=trades(0, 100))) for sink in sinks))
    assert sum(result.new for result in results) == 100
    assert sum(result.duplicate for result in results) == 700
    assert await count(database.ask, "trades") == 100
    assert await count(database.ask, "schema_version") == 1
    for sink in sinks:
        await sink.close()


@given(st.lists(st.tuples(plain_number, plain_number), min_size=1, max_size=30))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_postgres_gives_back_every_digit(
    digits_session: "tuple[asyncio.Runner, PostgresSink, asyncpg.Connection]",
    pairs: list[tuple[str, str]],
) -> None:
    runner, sink, ask = digits_session

    async def round_trip() -> list[tuple[str, str]]:
        await ask.execute("truncate feedplane.trades")
        records: list[Record] = [
            make_trade(number, price=price, size=size) for number, (price, size) in enumerate(pairs)
        ]
        await sink.write(Batch(records=records))
        rows = await ask.fetch(
            "select price::text, size::text from feedplane.trades order by trade_id"
        )
        return [(row[0], row[1]) for row in rows]

    assert runner.run(round_trip()) == pairs


@pytest.fixture
def digits_session(timescale: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sink on a loop of its own, because each example of a property is a plain call."""
    from feedplane_api.worker import PostgresSinkConfig

    dsn = timescale.create_database(timescale=True)
    monkeypatch.setenv("FEEDPLANE_DIGITS_DSN", dsn)
    config = PostgresSinkConfig(dsn_env="FEEDPLANE_DIGITS_DSN")
    with asyncio.Runner() as runner:
        sink = PostgresSink(config, venue="v", feed_source="default/spot", account="first")
        runner.run(sink.open())
        ask = runner.run(asyncpg.connect(dsn))
        yield runner, sink, ask
        runner.run(ask.close())
        runner.run(sink.close())
    timescale.drop_database(dsn.rpartition("/")[2])


async def test_postgres_one_duplicate_loses_no_neighbour(database: Any, sink: PostgresSink) -> None:
    await sink.write(Batch(records=trades(5_000, 1)))
    assert await sink.write(Batch(records=trades(0, 10_000))) == Written(new=9_999, duplicate=1)
    assert await count(database.ask, "trades") == 10_000


async def test_postgres_copies_within_one_batch_count_once(
    database: Any, sink: PostgresSink
) -> None:
    batch = Batch(records=[*trades(0, 10), *trades(0, 10), make_quote(1), make_quote(1)])
    assert await sink.write(batch) == Written(new=11, duplicate=11)
    assert await count(database.ask, "quotes") == 1


async def test_postgres_quotes_without_venue_time_collide(
    database: Any, sink: PostgresSink
) -> None:
    await sink.write(Batch(records=[make_quote(7)]))
    second_line = replace(make_quote(7, ts_event=START_NS + 999_000_000), ts_recv=START_NS)
    assert await sink.write(Batch(records=[second_line])) == Written(duplicate=1)
    assert await count(database.ask, "quotes") == 1


async def test_postgres_rows_are_what_the_venue_printed(database: Any, sink: PostgresSink) -> None:
    metric = Metric(INSTRUMENT, "funding", START_NS + 1_000, START_NS + 2_000, "-0.00010000")
    delta = replace(
        make_delta(4, 9, previous=3), bids=Raw(b'[["0.35130000","6195.00000000"],["0.1","0"]]')
    )
    trade = make_trade(1, first_id=5)
    records: list[Record] = [trade, make_quote(2), make_bar(0, final=True), delta, metric]
    assert await sink.write(Batch(records=records)) == Written(new=5)

    row = await database.ask.fetchrow(
        "select *, price::text as price_text, size::text as size_text from feedplane.trades"
    )
    assert (row["price_text"], row["size_text"]) == (trade.price, trade.size)
    assert (row["trade_id"], row["first_id"], row["last_id"]) == (1, 5, 5)
    assert row["aggressor_side"] == "B"
    assert int(row["ts_event"].timestamp() * 1_000_000) * 1_000 == trade.ts_event
    quote = await database.ask.fetchrow(
        "select bid_price::text, ask_size::text from feedplane.quotes"
    )
    assert tuple(quote) == ("0.35210000", "3199.00000000")
    bar = await database.ask.fetchrow(
        "select interval, low::text, quote_volume::text, final from feedplane.bars"
    )
    assert tuple(bar) == ("1m", "0.50", "3957.89900", True)
    book = await database.ask.fetchrow("select * from feedplane.book_deltas")
    assert json.loads(book["bids"]) == [["0.35130000", "6195.00000000"], ["0.1", "0"]]
    assert (book["first_id"], book["last_id"], book["previous_last_id"]) == (4, 9, 3)
    assert await database.ask.fetchval("select value::text from feedplane.metrics") == "-0.00010000"


async def test_postgres_bars_keep_the_newest_until_final(database: Any, sink: PostgresSink) -> None:
    async def held() -> tuple[str, bool]:
        row = await database.ask.fetchrow("select close::text, final from feedplane.bars")
        return row["close"], row["final"]

    first = Batch(records=[make_bar(0, version=5, close="1"), make_bar(0, version=6, close="2")])
    assert await sink.write(first) == Written(new=1, updated=1)
    assert await held() == ("2", False)
    older = Batch(records=[make_bar(0, version=5, close="1")])
    assert await sink.write(older) == Written(duplicate=1)
    final = Batch(records=[make_bar(0, version=9, final=True, close="3")])
    assert await sink.write(final) == Written(updated=1)
    late = Batch(records=[make_bar(0, version=11, close="4"), make_bar(0, version=9, final=True)])
    assert await sink.write(late) == Written(updated=1, duplicate=1)
    assert await held() == ("3", True)


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
@pytest.mark.parametrize("first", ["emptier", "fuller"])
async def test_postgres_keeps_the_fuller_bar_of_one_moment(
    database: Any, sink: PostgresSink, together: bool, first: str
) -> None:
    bars = [replace(make_bar(0), trade_count=count, close=str(count)) for count in (7, 8)]
    if first == "fuller":
        bars.reverse()
    for records in [bars] if together else [[bar] for bar in bars]:
        await sink.write(Batch(records=records))
    assert await database.ask.fetchval("select close::text from feedplane.bars") == "8"


async def test_postgres_ledger_rows_are_idempotent(database: Any, sink: PostgresSink) -> None:
    gap = Gap(INSTRUMENT, "trade", "restart", START_NS, 5, 6)
    batch = Batch(
        gaps=[gap, replace(gap, cause="sequence"), replace(gap, to_id=7)],
        quarantined=[
            Quarantined(START_NS, "binance-spot", "quote", INSTRUMENT, "CrossedQuote", "raw\x00"),
            Quarantined(START_NS, "binance-spot", "quote", INSTRUMENT, "CrossedQuote", "other"),
        ],
        publishers=[PublisherSession(epoch=3, reason="preferred", started_at=START_NS)],
    )
    for _ in range(2):
        assert await sink.write(batch) == Written(quarantined=2)
    end = PublisherSession(
        epoch=3, reason="stopped", started_at=START_NS, ended_at=START_NS + 10**9
    )
    await sink.write(Batch(publishers=[end]))
    gaps = await database.ask.fetch("select * from feedplane.gaps order by to_id")
    assert [(row["from_id"], row["to_id"], row["cause"]) for row in gaps] == [
        (5, 6, "restart"),
        (5, 7, "restart"),
    ]
    assert (gaps[0]["feed_source"], gaps[0]["account"]) == ("default/spot", "first")
    assert await count(database.ask, "quarantine") == 2
    session = await database.ask.fetchrow("select * from feedplane.feed_sessions")
    assert (session["epoch"], session["shard"]) == (3, 0)
    assert (session["ended_at"] - session["started_at"]).total_seconds() == 1


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(make_trade(77, price="1e5"), id="exponent"),
        pytest.param(replace(make_trade(77), trade_id=2**64), id="id too large"),
        pytest.param(
            replace(make_delta(1, 2), bids=Raw(b'[["\\u0000","1"]]')), id="text jsonb refuses"
        ),
        pytest.param(replace(make_delta(1, 2), bids=Raw(b"[[")), id="broken json"),
        pytest.param(replace(make_trade(77), instrument_id=None), id="null key"),
    ],
)
async def test_postgres_unwritable_record_is_quarantined_alone(
    database: Any, sink: PostgresSink, poison: Record
) -> None:
    batch = Batch(records=[*trades(0, 50), poison, *trades(50, 50), make_delta(8, 9)])
    assert await sink.write(batch) == Written(new=101, quarantined=1)
    assert await count(database.ask, "trades") == 100
    assert await count(database.ask, "book_deltas") == 1
    assert await database.ask.fetchval("select reason from feedplane.quarantine") == (
        "UnwritableValue"
    )


async def test_postgres_null_in_a_key_is_refused(database: Any, sink: PostgresSink) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await database.ask.execute(
            "insert into feedplane.trades (instrument_id, trade_id, ts_event, ts_recv,"
            " aggressor_side, price, size) values ('A.B', null, now(), now(), 'B', 1, 1)"
        )


async def test_postgres_knows_the_last_of_every_channel(database: Any, sink: PostgresSink) -> None:
    other = "ETHUSDT.BINANCE-SPOT"
    await sink.write(
        Batch(
            records=[
                *trades(0, 50),
                make_trade(9, instrument_id=other),
                make_quote(5),
                make_quote(4),
                make_bar(0, final=True),
                make_bar(1, version=3),
                replace(make_bar(7, final=True), instrument_id=other),
                make_delta(1, 9, snapshot=True),
                make_delta(10, 12),
                Metric(INSTRUMENT, "funding", START_NS, START_NS, "1"),
            ]
        )
    )
    keys = [(INSTRUMENT, name) for name in ("trade", "quote", "bar-1m", "bar-5m", "book", "metric")]
    bar, final = make_bar(1, version=3), make_bar(7, final=True)
    assert await sink.last([*keys, (other, "trade"), (other, "bar-1m"), ("X.Y", "trade")]) == {
        (INSTRUMENT, "trade"): mark(49, make_trade(49)),
        (INSTRUMENT, "quote"): mark(5, make_quote(5)),
        (INSTRUMENT, "bar-1m"): Watermark(
            sequence=None, ts_event=make_bar(0).ts_open, ts_recv=bar.ts_recv
        ),
        (INSTRUMENT, "book"): mark(12, make_delta(10, 12)),
        (INSTRUMENT, "metric"): Watermark(sequence=None, ts_event=START_NS, ts_recv=START_NS),
        (other, "trade"): mark(9, make_trade(9)),
        (other, "bar-1m"): Watermark(sequence=None, ts_event=final.ts_open, ts_recv=final.ts_recv),
    }


def mark(sequence: int, record: Record) -> Watermark:
    return Watermark(sequence=sequence, ts_event=record.ts_event, ts_recv=record.ts_recv)


async def test_postgres_two_writers_of_the_same_rows_never_double(database: Any) -> None:
    sinks = [database.make_sink(), database.make_sink()]
    for sink in sinks:
        await sink.open()

    async def publish(sink: PostgresSink) -> Written:
        total = Written()
        for start in range(0, 5_000, 250):
            total += await sink.write(Batch(records=trades(start, 400), replayed=start % 500 == 0))
        return total

    first, second = await asyncio.gather(*map(publish, sinks))
    assert first.new + second.new == await count(database.ask, "trades") == 5_150
    assert first.duplicate + second.duplicate == 2 * 20 * 400 - 5_150
    for sink in sinks:
        await sink.close()


async def test_postgres_conflicts_end_direct_copy_only_for_a_while(
    database: Any, sink: PostgresSink
) -> None:
    await sink.write(Batch(records=trades(0, 10)))
    await sink.write(Batch(records=trades(5, 10)))
    assert sink.staged_tables == {"trades"}
    await sink.write(Batch(records=trades(15, 10)))
    await sink.write(Batch(records=trades(25, 10)))
    assert sink.staged_tables == set()
    assert await count(database.ask, "trades") == 35


async def test_postgres_with_version_that_loses_rows_is_refused(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.timescale:
        monkeypatch.setattr(postgres_schema, "OLDEST_POSTGRES", 990_000)
    monkeypatch.setattr(postgres_schema, "OLDEST_TIMESCALE", (9, 0, 0))
    with pytest.raises(SinkRefusedError) as raised:
        await database.make_sink().open()
    assert ("TimescaleDB 2." if database.timescale else "PostgreSQL 17") in str(raised.value)
    assert await database.ask.fetchval("select to_regnamespace('feedplane')") is None


async def test_postgres_with_tables_of_the_future_is_refused(
    database: Any, sink: PostgresSink
) -> None:
    await database.ask.execute(
        "insert into feedplane.schema_version (version, compatible_from) values (9, 8)"
    )
    with pytest.raises(SinkRefusedError, match="version 8 or newer"):
        await sink.open()


async def test_postgres_needs_no_right_to_create_once_all_is_there(
    database: Any, sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "feeder_" + database.dsn.rpartition("/")[2]
    await database.ask.execute(f"create role {role} login password 'feeder'")
    await database.ask.execute(f"grant usage on schema feedplane to {role}")
    await database.ask.execute(
        f"grant select, insert, update on all tables in schema feedplane to {role}"
    )
    dsn = database.dsn.replace("//postgres:feedplane@", f"//{role}:feeder@")
    monkeypatch.setenv("FEEDPLANE_TEST_DSN", dsn)
    limited = database.make_sink()
    await limited.open()
    batch = Batch(records=[make_trade(1), make_bar(0)], replayed=True)
    assert await limited.write(batch) == Written(new=2)
    await limited.close()
    await database.ask.execute(f"drop owned by {role}")
    await database.ask.execute(f"drop role {role}")


async def test_two_accounts_snapshots_are_one_row_each(database: Any, sink: PostgresSink) -> None:
    peer = database.make_sink()
    await peer.open()
    snapshots = [make_snapshot(volume) for volume in range(1, 20)]
    assert await sink.write(Batch(records=snapshots, contested=True)) == Written(new=19)
    late = [replace(each, ts_recv=each.ts_recv + 5_000) for each in snapshots]
    assert await peer.write(Batch(records=late, contested=True)) == Written(duplicate=19)
    row = await database.ask.fetchrow("select * from feedplane.snapshots order by volume limit 1")
    assert (str(row["trading_day"]), str(row["last_price"]), row["open"]) == (
        "2025-10-09",
        "3101.5",
        None,
    )
    assert json.loads(row["bids"]) == [["3099", "7"]]
    held = await peer.last([(INSTRUMENT, "snapshot")])
    assert held[INSTRUMENT, "snapshot"].ts_event == snapshots[-1].ts_event
    await peer.close()


async def test_reference_page_lists_every_column_as_it_is(
    database: Any, sink: PostgresSink
) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/tables.md").read_text()
    told = set()
    for section in page.split("\n### ")[1:]:
        table = section.partition("\n")[0]
        for name, kind, meaning in COLUMN.findall(section):
            told.add((table, name, kind, "may be null" in meaning))
    rows = await database.ask.fetch(
        "select table_name, column_name, udt_name, is_nullable = 'YES' as nullable"
        " from information_schema.columns where table_schema = 'feedplane'"
    )
    names = {"int8": "bigint", "int4": "integer", "bool": "boolean"}
    assert told == {
        (row[0], row[1], names.get(row["udt_name"], row["udt_name"]), row["nullable"])
        for row in rows
    }
