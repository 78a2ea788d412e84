"""What the postgres sink does when one line follows another, or two write at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace
from support_sinks import (
    INSTRUMENT,
    MINUTE_NS,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_trade,
)

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.ports import Batch, PublisherSession, Written
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.records import Gap, Record
from feedplane_feeder.sinks.postgres import PostgresSink

SECOND = 1_000_000_000
MakeLine = Callable[[str], PostgresSink]


@pytest.fixture
async def make_line(database: Any) -> AsyncIterator[MakeLine]:
    """Return a maker of sinks of the accounts of one feed source."""
    made = []

    def make(account: str) -> PostgresSink:
        line = PostgresSink(
            PostgresSinkConfig(dsn_env="FEEDPLANE_TEST_DSN"),
            venue="binance-spot",
            feed_source="default/spot",
            account=account,
        )
        made.append(line)
        return line

    yield make
    for line in made:
        await line.close()


def session(epoch: int, started_at: int = START_NS) -> Batch:
    published = PublisherSession(epoch=epoch, reason="Vacant", started_at=started_at)
    return Batch(publishers=(published,), epoch=epoch)


def trades(first: int, last: int) -> list[Record]:
    return [make_trade(number) for number in range(first, last + 1)]


def trade_gap(first: int, last: int) -> Gap:
    return Gap(INSTRUMENT, "trade", "sequence", START_NS, from_id=first, to_id=last)


async def rows(ask: asyncpg.Connection, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await ask.fetch(statement)]


async def test_books_of_a_thawed_publisher_are_refused(database: Any, make_line: MakeLine) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    await first.write(session(1))
    assert await first.write(Batch(records=[make_delta(1, 2)], epoch=1)) == Written(new=1)
    await second.write(session(2, START_NS + 9 * SECOND))
    late = Batch(records=[make_delta(3, 4), make_trade(1)], epoch=1)
    assert await first.write(late) == Written(new=1, fenced=1)
    assert await second.write(Batch(records=[make_delta(3, 5)], epoch=2)) == Written(new=1)
    found = await rows(
        database.ask, "select first_id, last_id from feedplane.book_deltas order by 1"
    )
    assert found == [(1, 2), (3, 5)]


async def test_epochs_of_a_lease_made_anew_fence_nobody(make_line: MakeLine) -> None:
    line = make_line("first")
    await line.open()
    await line.write(session(7, START_NS))
    await line.write(session(1, START_NS + 60 * SECOND))
    assert await line.write(Batch(records=[make_delta(1, 2)], epoch=1)) == Written(new=1)
    assert await line.write(Batch(records=[make_delta(3, 4)])) == Written(new=1)


async def test_promotion_ends_the_transaction_of_a_frozen_publisher(
    database: Any, make_line: MakeLine
) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    await first.write(session(1))
    frozen = first._open_connection()
    await frozen.execute("begin")
    assert not await first._fence.refuses(frozen, 1)
    await asyncio.sleep(1.1)
    async with asyncio.timeout(1.5):
        await second.write(session(2, START_NS + 9 * SECOND))
    with pytest.raises(SinkUnavailableError):
        await first.write(Batch(records=[make_delta(1, 2)], epoch=1))
    await first.open()
    late = await first.write(Batch(records=[make_delta(1, 2)], epoch=1))
    assert late == Written(fenced=1)


async def test_promotion_waits_for_deltas_that_are_being_committed(make_line: MakeLine) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    await first.write(session(1))
    connection = first._open_connection()
    await connection.execute("begin")
    await first._fence.refuses(connection, 1)
    promotion = asyncio.create_task(second.write(session(2, START_NS + 9 * SECOND)))
    await asyncio.sleep(0.3)
    assert not promotion.done()
    await connection.execute("commit")
    async with asyncio.timeout(1):
        await promotion


async def test_gap_of_one_line_is_clipped_to_what_no_line_has(
    database: Any, make_line: MakeLine
) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    await first.write(Batch(records=[*trades(1, 4), *trades(7, 20)], contested=True))
    batch = Batch(
        records=[make_trade(21)],
        gaps=[trade_gap(3, 8), trade_gap(12, 15), trade_gap(22, 23)],
        contested=True,
    )
    written = await second.write(batch)
    assert written.covered == (trade_gap(12, 15),)
    found = await rows(database.ask, "select from_id, to_id from feedplane.gaps order by 1")
    assert found == [(5, 6), (22, 23)]


async def test_ids_are_found_where_times_do_not_quite_follow_them(make_line: MakeLine) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    out_of_order = {5: 1, 6: 12}
    records: list[Record] = [
        replace(make_trade(number), ts_event=START_NS + out_of_order.get(number, number) * SECOND)
        for number in range(1, 10)
    ]
    await first.write(Batch(records=records, contested=True))
    gap = replace(trade_gap(5, 6), detected_at=START_NS + 60 * SECOND)
    written = await second.write(Batch(gaps=[gap], contested=True))
    assert written.covered == (gap,)


async def test_open_gap_is_filled_with_what_came_after_all(
    database: Any, make_line: MakeLine
) -> None:
    line = make_line("first")
    await line.open()
    gaps = [trade_gap(1, 3), trade_gap(5, 9), trade_gap(20, 21)]
    await line.write(Batch(gaps=gaps))
    await line.write(Batch(records=[*trades(1, 3), *trades(6, 7)]))
    found = await line.open_gaps(START_NS)
    assert found == gaps
    assert await line.open_gaps(START_NS + 1_000) == []
    assert await line.fill(found, "replay") == 4
    assert await rows(
        database.ask,
        "select from_id, to_id, filled_by, filled_at is null, cause from feedplane.gaps order by 1",
    ) == [
        (1, 3, "replay", False, "sequence"),
        (5, 5, None, True, "sequence"),
        (6, 7, "replay", False, "sequence"),
        (8, 9, None, True, "sequence"),
        (20, 21, None, True, "sequence"),
    ]
    assert await line.fill(found, "replay") == 0


async def test_open_gaps_in_time_are_filled_by_key_or_on_trust(
    database: Any, make_line: MakeLine
) -> None:
    line = make_line("first")
    await line.open()
    bars = Gap(
        INSTRUMENT, "bar-1m", "stale", START_NS, from_ts=START_NS, to_ts=START_NS + MINUTE_NS
    )
    quotes = Gap(INSTRUMENT, "quote", "stale", START_NS, from_ts=START_NS, to_ts=START_NS + 5_000)
    book = Gap(INSTRUMENT, "book", "sequence", START_NS, from_id=1, to_id=2)
    await line.write(
        Batch(records=[make_bar(0, final=True), make_bar(1)], gaps=[bars, quotes, book])
    )
    assert await line.fill([bars, quotes, book], "line") == 1
    await line.write(Batch(records=[make_bar(1, version=9, final=True), make_quote(1)]))
    assert await line.fill([bars, book], "line") == 1
    assert await rows(
        database.ask, "select channel from feedplane.gaps where filled_at is null"
    ) == [("book",)]


async def test_colliding_lines_rarely_try_the_direct_way(
    make_line: MakeLine,
) -> None:
    first, second = make_line("first"), make_line("second")
    await first.open()
    await second.open()
    for start in range(0, 4_000, 100):
        leader, other = (first, second) if start % 300 else (second, first)
        batch = Batch(records=trades(start, start + 99), contested=True)
        assert (await leader.write(batch)).new == 100
        assert (await other.write(batch)).duplicate == 100
    assert first.failed_copies + second.failed_copies <= 10
