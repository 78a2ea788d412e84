"""What reaches the table across a change of the line that publishes, by the venue's own account."""

import asyncio
import signal

import pytest
from lines import CHANNELS, SYMBOLS, Feed, stall_seconds
from rig import feeder, feeder_config
from trial import DSN_ENV

from feedplane_api.worker import FailoverMode

pytestmark = [
    pytest.mark.timeout(120),
    # A line that is killed leaves its sockets as it stands.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


async def test_hot_standby_loses_nothing_of_a_killed_feeder(feed: Feed) -> None:
    config = feeder_config(feed.venue, DSN_ENV, SYMBOLS, CHANNELS, account={"name": "first"})
    with feeder(config, {DSN_ENV: feed.dsn}) as first:
        # The tape begins with the line that publishes, not with the one that only listens.
        await feed.until_held()
        async with feed.make_line("second", FailoverMode.HOT) as second:
            await second.until_live()
            await asyncio.sleep(4)
            await asyncio.to_thread(first.program.kill, signal.SIGKILL)
            await asyncio.sleep(3)
            second.promote(1)
            await second.until_written()
            await asyncio.sleep(2)
            status = second.live.status()
            await feed.halt()
            await second.end()
    verdicts = await feed.verdicts()
    assert sum(verdict.named for verdict in verdicts) == 0
    assert await feed.fetch("select * from feedplane.gaps where filled_at is null") == []
    await feed.check_books_interlock()
    assert status.buffer.replayed_records > 4_000
    assert status.election.last_failover_milliseconds is not None
    assert 2_500 < status.election.last_failover_milliseconds < 20_000
    sessions = await feed.fetch("select account, epoch, ended_at from feedplane.feed_sessions")
    assert {(row["account"], row["epoch"]) for row in sessions} == {("first", 0), ("second", 1)}


async def test_books_stay_contiguous_across_switchover_and_thaw(feed: Feed) -> None:
    async with (
        feed.make_publishing(FailoverMode.HOT) as first,
        feed.make_line("second", FailoverMode.HOT) as second,
    ):
        await second.until_live()
        await asyncio.sleep(2)
        # A clean switchover: the holder lets the books go before it gives the Lease away.
        await first.election.prepare_handover()
        second.promote(2, "SwitchoverRequested")
        await asyncio.sleep(1)
        first.demote(2)
        await second.until_written()
        await asyncio.sleep(2)
        # A holder that froze does not know of its successor and goes on, books and all.
        first.promote(3)
        await first.until_written()
        await asyncio.sleep(2)
        second.demote(3)
        await asyncio.sleep(1)
        await feed.halt()
        await first.end()
        await second.end()
    verdicts = await feed.verdicts()
    assert sum(verdict.named for verdict in verdicts) == 0
    await feed.check_books_interlock()
    fenced = {"venue": "binance-spot", "sink": "postgres"}
    name = "feedplane_feeder_fenced_records_total"
    assert (second.registry.get_sample_value(name, fenced) or 0) > 0


async def test_merged_lines_lose_nothing_when_one_is_killed(feed: Feed) -> None:
    stop = asyncio.Event()
    async with (
        feed.make_publishing(FailoverMode.MERGED) as first,
        feed.make_line("second", FailoverMode.MERGED) as second,
    ):
        await second.until_live()
        await asyncio.sleep(3)
        watching = asyncio.create_task(stall_seconds(feed, stop))
        await first.kill()
        await asyncio.sleep(4)
        second.promote(2)
        await second.until_written()
        await asyncio.sleep(2)
        stop.set()
        stalled = await watching
        await feed.halt()
        await second.end()
    verdicts = await feed.verdicts()
    assert sum(verdict.named for verdict in verdicts if verdict.channel != "quote") == 0
    # A line that waited for its promotion would have stood still for four seconds.
    assert stalled < 3.0
    await feed.check_books_interlock()


async def test_merged_line_cut_off_leaves_no_open_gap(feed: Feed) -> None:
    async with (
        feed.make_publishing(FailoverMode.MERGED) as first,
        feed.make_line("second", FailoverMode.MERGED) as second,
    ):
        await second.until_live()
        await asyncio.sleep(2)
        feed.venue.fault("drop", client="second", market="spot", count=1)
        await asyncio.sleep(1)
        await second.until_live()
        await asyncio.sleep(6)
        counted = second.live.status().gaps
        await feed.halt()
        await first.end()
        await second.end()
    await feed.verdicts()
    rows = await feed.fetch("select channel, filled_by from feedplane.gaps")
    assert {row["filled_by"] for row in rows} <= {"line"}
    assert sum(row.open for row in counted) == 0
    await feed.check_books_interlock()


async def test_warm_promotion_names_its_hole_to_the_id(feed: Feed) -> None:
    async with (
        feed.make_publishing(FailoverMode.WARM) as first,
        feed.make_line("second", FailoverMode.WARM) as second,
    ):
        await asyncio.sleep(2)
        assert second.live.status().connections == 0
        await first.kill()
        await asyncio.sleep(1)
        second.promote(2)
        await second.until_live()
        await asyncio.sleep(2)
        await feed.halt()
        await second.end()
    verdicts = await feed.verdicts()
    named = {verdict.channel for verdict in verdicts if verdict.named}
    assert {"trade", "quote", "book"} <= named
    causes = await feed.fetch("select distinct cause from feedplane.gaps")
    assert [row["cause"] for row in causes] == ["promotion"]
    rows = await feed.fetch(
        "select from_id, to_id, (select max(trade_id) from feedplane.trades t where t.instrument_id"
        " = g.instrument_id and trade_id < from_id) as before, (select min(trade_id) from"
        " feedplane.trades t where t.instrument_id = g.instrument_id and trade_id > to_id) as after"
        " from feedplane.gaps g where channel = 'trade'"
    )
    assert len(rows) == len(SYMBOLS)
    for row in rows:
        assert (row["before"], row["after"]) == (row["from_id"] - 1, row["to_id"] + 1)
