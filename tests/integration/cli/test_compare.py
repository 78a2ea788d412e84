"""A tape against tables as another service wrote them, on a real database."""

import asyncio
import json
from collections.abc import Callable, Iterator

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from feedplane_api.worker import PostgresSinkConfig
from feedplane_cli.__main__ import app
from feedplane_cli.errors import ExitStatus
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.sinks.postgres import PostgresSink

RANGE = ("--from", "2026-11-18", "--to", "2026-11-20")
BARS = """
insert into feedplane.bars (instrument_id, ts_open, ts_event, ts_recv, trade_count, final, interval,
    open, high, low, close, volume, quote_volume, taker_buy_volume, taker_buy_quote_volume)
select 'BTCUSDT.BINANCE-SPOT', at, at, at, 1, true, '1m', 1.50 + minute, 2, 1.0, 2, 3.000, 4, 1, 1
from (
    select minute, timestamptz '2026-11-18 00:00Z' + minute * interval '1 minute' as at
    from generate_series(0, 1999) as minute
) as minutes
"""
SAME = """
create schema legacy;
create table legacy.bars as
select instrument_id, ts_open, interval, open::float8, high, low, close, volume from feedplane.bars
"""
KLINES = """
create table klines as
select split_part(instrument_id, '.', 1) as symbol,
    (extract(epoch from ts_open) * 1000)::bigint as open_time, trim_scale(open) as open,
    high, low, close, volume
from feedplane.bars
"""


@pytest.fixture
def execute(
    timescale: TimescaleServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Run SQL on a database with a tape of two thousand bars over two days."""
    dsn = timescale.create_database()
    monkeypatch.setenv("FEEDPLANE_DSN", dsn)

    async def make() -> None:
        config = PostgresSinkConfig(dsn_env="FEEDPLANE_DSN")
        sink = PostgresSink(config, venue="binance-spot", feed_source="a/b", account="main")
        await sink.open()
        await sink.close()

    async def work(statement: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(make())
    asyncio.run(work(BARS))
    yield lambda statement: asyncio.run(work(statement))
    timescale.drop_database(dsn.rpartition("/")[2])


def compare(*arguments: str) -> Result:
    line = ["compare", *arguments, "-c", "bar-1m", *RANGE]
    return CliRunner().invoke(app, line, catch_exceptions=False)


def test_equal_tables_agree_whatever_their_numbers_look_like(
    execute: Callable[[str], None],
) -> None:
    execute(SAME)
    result = compare("legacy.bars")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert "2 days, 2,000 rows against 2,000" in result.output
    assert "Everything agrees." in result.output


def test_table_of_symbols_and_milliseconds_is_laid_beside(execute: Callable[[str], None]) -> None:
    execute(KLINES)
    names = ("--column", "ts_open=open_time", "--column", "instrument_id=symbol")
    result = compare("klines", *names, "--suffix", "BINANCE-SPOT")
    assert result.exit_code == ExitStatus.HEALTHY, result.output


def test_rows_that_differ_are_counted_and_judged_by_the_tolerance(
    execute: Callable[[str], None],
) -> None:
    execute(SAME)
    execute("delete from legacy.bars where ts_open = '2026-11-18 00:07Z'")
    execute("update legacy.bars set close = 9 where ts_open = '2026-11-18 00:09Z'")
    execute("insert into legacy.bars select * from legacy.bars where ts_open = '2026-11-19 00:00Z'")
    result = compare("legacy.bars", "-o", "json")
    assert result.exit_code == ExitStatus.NOT_READY
    document = json.loads(result.output)
    assert document["sums"] == {
        "days": 2,
        "daysDifferent": 2,
        "rows": 2000,
        "referenceRows": 2000,
        "onlyTape": 1,
        "onlyReference": 1,
        "different": 1,
    }
    assert compare("legacy.bars", "--tolerance", "0.5").exit_code == ExitStatus.HEALTHY
    result = compare("legacy.bars", "--tolerance", "0.15")
    assert "2026-11-19" in result.output
    assert "1 days differ by more than 0.15 %" in result.output


def test_reference_may_be_in_another_database(
    execute: Callable[[str], None], timescale: TimescaleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = timescale.create_database(timescale=False)
    monkeypatch.setenv("OLD_DSN", other)

    async def fill() -> None:
        connection = await asyncpg.connect(other)
        await connection.execute(
            "create table bars (instrument_id text, ts_open timestamp, close numeric);"
            "insert into bars values ('BTCUSDT.BINANCE-SPOT', '2026-11-18 00:00', 2)"
        )
        await connection.close()

    asyncio.run(fill())
    execute("delete from feedplane.bars where ts_open > '2026-11-18 00:00Z'")
    result = compare("bars", "--reference-dsn-env", "OLD_DSN")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert "by close: 1 days, 1 rows against 1" in result.output
    timescale.drop_database(other.rpartition("/")[2])


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("nowhere.bars",), "There is no table nowhere.bars", ExitStatus.REFUSED),
        (("legacy.bars", "--column", "ts_open=at"), "has no column ts_open", ExitStatus.REFUSED),
        (("legacy.bars", "-i", "X.Y"), "Neither side has a row", ExitStatus.REFUSED),
        (("legacy.bars", "--tolerance", "much"), "Expected a percentage", ExitStatus.USAGE),
        (("legacy.bars", "--suffix", "a b"), "Expected a venue", ExitStatus.USAGE),
    ],
)
def test_question_that_makes_no_sense_is_refused(
    execute: Callable[[str], None], arguments: tuple[str, ...], words: str, code: ExitStatus
) -> None:
    execute(SAME)
    result = compare(*arguments)
    assert words in result.output
    assert result.exit_code == code
