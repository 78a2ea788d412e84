"""The live pipeline over real sockets, on both WebSocket engines."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from feedplane_api.worker import ChannelState, SessionConfig, Wanted
from feedplane_feeder.records import Bar, BookDelta, Quote, Record, Trade
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.simulator import Simulator

ALL = ("trade", "quote", "bar-1m", "book")
QUICK = ("trade", "quote", "book")
MAJORS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
VENUES = ("binance-spot", "binance-usdm")


def wanted(symbols: Iterable[str] = MAJORS, channels: tuple[str, ...] = ALL) -> list[Wanted]:
    return [Wanted(symbol=symbol, channels=channels) for symbol in symbols]


def trade_ids(records: Iterable[Record], symbol: str = "BTCUSDT") -> list[int]:
    return [
        record.trade_id
        for record in records
        if isinstance(record, Trade) and record.instrument_id.startswith(f"{symbol}.")
    ]


def contiguous(ids: list[int]) -> bool:
    return all(after == before + 1 for before, after in pairwise(ids))


@pytest.mark.parametrize("venue", VENUES)
async def test_what_the_venue_emits_arrives_digit_for_digit(run: Any, venue: str) -> None:
    async with run(venue, wanted=wanted(), rate=600, symbols=5) as rig:
        await rig.until(rig.all_live)
        await rig.until(lambda: rig.book_in_step("BTCUSDT"))
        await asyncio.sleep(1)
        await rig.until(lambda: rig.live.status().ready)
        status = rig.live.status()
        rig.stop.set()
        await rig.until(lambda: not rig.simulator.connections())
    assert status.ready
    assert status.account == "local"
    assert status.last_event_milliseconds.keys() == set(MAJORS)
    check_trades(rig)
    check_quotes(rig)
    check_books(rig)
    assert any(isinstance(record, Bar) for record in rig.writer.records)
    assert (rig.writer.gaps, rig.writer.quarantined, rig.violations()) == ([], [], [])
    assert all(listed.trading for listed in rig.live.listing().instruments)


def check_trades(rig: Any) -> None:
    emitted = rig.emitted("aggTrade", "BTCUSDT")
    trades = {
        r.trade_id: r
        for r in rig.writer.records
        if isinstance(r, Trade) and r.instrument_id.startswith("BTCUSDT.")
    }
    assert len(trades) > 50
    assert contiguous(sorted(trades))
    for number, trade in trades.items():
        frame = emitted[number]
        assert (trade.price, trade.size) == (frame["p"], frame["q"])
        assert trade.aggressor_side == ("S" if frame["m"] else "B")
        assert (trade.first_id, trade.last_id) == (frame["f"], frame["l"])
        assert trade.ts_event == frame["T"] * 1_000_000


def check_quotes(rig: Any) -> None:
    emitted = rig.emitted("bookTicker", "BTCUSDT")
    quotes = [
        r
        for r in rig.writer.records
        if isinstance(r, Quote) and r.instrument_id.startswith("BTCUSDT.")
    ]
    first, last = quotes[0].sequence, quotes[-1].sequence
    assert [quote.sequence for quote in quotes] == [n for n in emitted if first <= n <= last]
    for quote in quotes:
        frame = emitted[quote.sequence]
        printed = (frame["b"], frame["B"], frame["a"], frame["A"])
        assert (quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size) == printed


def check_books(rig: Any) -> None:
    emitted = rig.emitted("depth@100ms", "BTCUSDT")
    deltas = [
        r
        for r in rig.writer.records
        if isinstance(r, BookDelta) and r.instrument_id.startswith("BTCUSDT.") and not r.snapshot
    ]
    assert len(deltas) > 5
    for delta in deltas:
        frame = emitted[delta.last_id]
        assert msgspec.json.decode(delta.bids) == frame["b"]
        assert msgspec.json.decode(delta.asks) == frame["a"]
    for before, after in pairwise(deltas):
        previous = after.previous_last_id
        assert before.last_id == (after.first_id - 1 if previous is None else previous)


async def test_one_mute_stream_of_many_is_named_and_resubscribed_alone(run: Any) -> None:
    symbols = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]
    mute = Fault(kind=FaultKind.MUTE, streams="ethusdt@bookTicker", until_resubscribed=False)

    async with run(
        "binance-spot",
        wanted=wanted(symbols, ("trade", "quote")),
        before=lambda simulator: simulator.inject(mute),
        rate=2_000,
        symbols=5,
    ) as rig:
        await rig.until(lambda: rig.live.status().coverage.live == 9)
        await rig.until(lambda: rig.live.status().coverage.stale == 1, 4)
        (problem,) = rig.problems()
        assert (problem.symbol, problem.channel) == ("ETHUSDT", "quote")
        assert (problem.state, problem.reason) == (ChannelState.STALE, "NeverDelivered")
        rig.simulator.clear()
        await rig.until(rig.all_live)
        assert len(rig.simulator.connections()) == 1
        assert rig.live.status().reconnects == 0
        assert rig.violations() == []


async def test_mute_connection_with_pings_alive_is_replaced(run: Any) -> None:
    session = SessionConfig(stale_after_seconds=1)
    async with run(
        "binance-spot", wanted=wanted(channels=QUICK), session=session, rate=2_000, symbols=5
    ) as rig:
        await rig.until(rig.all_live)
        (before,) = rig.simulator.connections()
        await rig.inject(kind=FaultKind.MUTE, connection=before["id"])
        await rig.until(
            lambda: before["id"] not in {each["id"] for each in rig.simulator.connections()}, 6
        )
        await rig.until(rig.all_live)
        assert rig.live.status().reconnects == 1
        assert rig.violations() == []


async def test_dropped_connection_leaves_gaps_that_say_exactly_what_is_missing(run: Any) -> None:
    async with run("binance-usdm", wanted=wanted(), rate=1_000, symbols=5) as rig:
        await rig.until(rig.all_live)
        await rig.inject(kind=FaultKind.DROP)
        await rig.until(lambda: rig.live.status().reconnects == 2)
        await rig.until(rig.all_live)
        await asyncio.sleep(2.6)
    ids = trade_ids(rig.writer.records)
    named = [
        number
        for gap in rig.writer.gaps
        if gap.channel == "trade" and gap.instrument_id.startswith("BTCUSDT.")
        for number in range(gap.from_id, gap.to_id + 1)
    ]
    emitted = [n for n in rig.emitted("aggTrade", "BTCUSDT") if min(ids) <= n <= max(ids)]
    assert sorted([*ids, *named]) == emitted
    assert {gap.cause for gap in rig.writer.gaps} == {"disconnect"}
    assert rig.violations() == []


async def test_rotation_loses_and_doubles_nothing(run: Any) -> None:
    async with run("binance-spot", wanted=wanted(channels=QUICK), rate=1_000, symbols=5) as rig:
        await rig.until(rig.all_live)
        await rig.inject(kind=FaultKind.ROTATE, notice_seconds=6)
        await rig.until(lambda: rig.live.status().rotations == 1)
        await rig.until(lambda: len(rig.simulator.connections()) == 1)
        await asyncio.sleep(0.5)
    for symbol in MAJORS:
        assert contiguous(trade_ids(rig.writer.records, symbol))
    quotes = [(r.instrument_id, r.sequence) for r in rig.writer.records if isinstance(r, Quote)]
    assert len(quotes) == len(set(quotes))
    assert rig.writer.gaps == []
    assert rig.live.status().reconnects == 0
    assert rig.violations() == []


async def test_broken_book_is_fetched_again_and_no_other(run: Any) -> None:
    async with run("binance-usdm", wanted=wanted(channels=("book",)), rate=600, symbols=5) as rig:
        await rig.until(lambda: all(rig.book_in_step(symbol) for symbol in MAJORS))
        await rig.inject(kind=FaultKind.SKIP, streams="ethusdt@depth@100ms", count=2)
        await rig.until(lambda: len(snapshots(rig)) == 4)
        await asyncio.sleep(0.5)
    assert snapshots(rig).count("ETHUSDT.BINANCE-USDM") == 2
    assert {gap.instrument_id for gap in rig.writer.gaps} == {"ETHUSDT.BINANCE-USDM"}
    assert rig.violations() == []


def snapshots(rig: Any) -> list[str]:
    records = [r for r in rig.writer.records if isinstance(r, BookDelta) and r.snapshot]
    return [record.instrument_id for record in records]


@pytest.mark.parametrize("status", [429, 418], ids=["throttled", "banned"])
async def test_refused_requests_wait_as_told_and_the_stream_goes_on(run: Any, status: int) -> None:
    async def refuse(simulator: Simulator) -> None:
        fault = Fault(kind=FaultKind.REST, status=status, retry_after_seconds=2, count=1)
        await simulator.inject(fault)

    async with run(
        "binance-spot", wanted=wanted(["BTCUSDT"]), before=refuse, rate=600, symbols=3
    ) as rig:
        # Named symbols are taken on trust while the list cannot be read.
        await rig.until(lambda: bool(trade_ids(rig.writer.records)), 2)
        assert (rig.live.status().banned_until_time is not None) == (status == 418)
        await rig.until(lambda: rig.book_in_step("BTCUSDT"))
        await rig.until(lambda: rig.live.listing() is not None)
        assert rig.live.status().banned_until_time is None
        assert rig.violations() == []


@pytest.mark.parametrize("status", [503, 429], ids=["unavailable", "throttled"])
async def test_refused_handshake_is_tried_again(run: Any, status: int) -> None:
    async def refuse(simulator: Simulator) -> None:
        fault = Fault(kind=FaultKind.REFUSE, status=status, retry_after_seconds=1, count=1)
        await simulator.inject(fault)

    async with run(
        "binance-spot", wanted=wanted(["BTCUSDT"]), before=refuse, rate=600, symbols=3
    ) as rig:
        await rig.until(lambda: bool(trade_ids(rig.writer.records)))
        assert rig.live.status().reconnects == 1


async def test_added_instrument_streams_and_nothing_else_reconnects(run: Any) -> None:
    async with run("binance-usdm", wanted=wanted(["BTCUSDT"]), rate=600, symbols=5) as rig:
        await rig.until(rig.all_live)
        before = {each["id"] for each in rig.simulator.connections()}
        more = rig.config.model_copy(update={"wanted": tuple(wanted(["BTCUSDT", "ETHUSDT"]))})
        rig.live.reconfigure(more)
        await rig.until(lambda: bool(trade_ids(rig.writer.records, "ETHUSDT")), 5)
        await rig.until(rig.all_live)
        assert rig.live.status().coverage.wanted == 8
        assert {each["id"] for each in rig.simulator.connections()} == before
        rig.live.reconfigure(rig.config)
        await rig.until(lambda: rig.live.status().coverage.wanted == 4)
        assert contiguous(trade_ids(rig.writer.records))
        assert rig.violations() == []


async def test_delisted_instrument_retires_with_the_reason(run: Any) -> None:
    async with run("binance-spot", wanted=wanted(channels=("trade",)), rate=600, symbols=5) as rig:
        await rig.until(rig.all_live)
        await rig.inject(kind=FaultKind.DELIST, symbol="BNBUSDT")
        rig.live.reconfigure(rig.config)  # has the list read again
        await rig.until(lambda: [p.state for p in rig.problems()] == [ChannelState.RETIRED])
        (problem,) = rig.problems()
        assert (problem.symbol, problem.reason) == ("BNBUSDT", "NotTrading")
        await rig.until(lambda: rig.live.status().ready)
        await rig.inject(kind=FaultKind.LIST, symbol="BNBUSDT")
        rig.live.reconfigure(rig.config)
        await rig.until(rig.all_live)


async def test_full_sink_pauses_the_reader_and_loses_nothing(run: Any) -> None:
    async with run(
        "binance-spot", wanted=wanted(channels=("trade",)), rate=3_000, symbols=3
    ) as rig:
        await rig.until(rig.all_live)
        for _ in range(3):
            rig.writer.full = True
            await rig.until(lambda: not rig.writer.full)
            await asyncio.sleep(0.1)
    assert contiguous(trade_ids(rig.writer.records))
    assert rig.violations() == []


async def test_venue_sees_who_calls(run: Any) -> None:
    async with run("binance-spot", wanted=wanted(["BTCUSDT"]), rate=100, symbols=2) as rig:
        await rig.until(lambda: bool(rig.simulator.connections()))
        (connection,) = rig.simulator.connections()
    assert "feedplane/1.2.3" in str(connection)
    assert "'local'" in str(connection)
    (publisher, *_), (*_, last) = (
        [session for batch in rig.writer.batches for session in batch.publishers],
        [session for batch in rig.writer.batches for session in batch.publishers],
    )
    assert publisher.ended_at is None
    assert last.ended_at is not None
