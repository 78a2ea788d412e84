from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.sequence import GRACE_NS
from feedplane_feeder.core.tape import Taken, Tape
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    Gap,
    GapCause,
    Metric,
    Quote,
    Record,
    Trade,
)

MINUTE = 60_000_000_000
ID = "BTCUSDT.VENUE"
TRADE = Channel("BTCUSDT", "trade")
QUOTE = Channel("BTCUSDT", "quote")
BAR = Channel("BTCUSDT", "bar-1m")
BOOK = Channel("BTCUSDT", "book")


def trade(number: int) -> Trade:
    return Trade(ID, number * 1_000, 5, number, "1", "1", "B")


def quote(number: int, ts_event: int = 0) -> Quote:
    return Quote(ID, ts_event or number * 1_000, 5, number, "1", "1", "2", "1")


def bar(minute: int, count: int, *, final: bool = False, at: int = 0) -> Bar:
    return Bar(
        instrument_id=ID,
        interval="1m",
        ts_open=minute * MINUTE,
        ts_event=minute * MINUTE + (at or count),
        ts_recv=5,
        open="1",
        high="2",
        low="1",
        close="2",
        volume=str(count),
        quote_volume="1",
        trade_count=count,
        taker_buy_volume="0",
        taker_buy_quote_volume="0",
        final=final,
    )


def delta(
    first: int, last: int, *, bids: str = "[]", asks: str = "[]", previous: int | None = None
) -> BookDelta:
    levels = msgspec.Raw(bids.encode()), msgspec.Raw(asks.encode())
    return BookDelta(ID, last * 1_000, 5, first, last, previous, *levels)


def snapshot(last: int, bids: str = "[]", asks: str = "[]") -> BookDelta:
    return msgspec.structs.replace(delta(last, last, bids=bids, asks=asks), snapshot=True)


def trade_ids(records: Iterable[Record]) -> list[int]:
    return [record.trade_id for record in records if isinstance(record, Trade)]


def spans(gaps: Iterable[Gap]) -> list[tuple[str, str, int | None, int | None]]:
    return [(gap.channel, gap.cause, gap.from_id, gap.to_id) for gap in gaps]


def test_trades_in_order_pass_and_are_counted() -> None:
    taken = Tape("venue").take([trade(number) for number in range(5, 9)], 9)
    assert trade_ids(taken.records) == [5, 6, 7, 8]
    assert taken.counts == {"trade": 4}
    assert (taken.gaps, taken.duplicates, taken.out_of_order) == ([], {}, {})


def test_trades_of_two_connections_pass_once() -> None:
    tape = Tape("venue")
    first = tape.take([trade(1), trade(2)], 1)
    second = tape.take([trade(1), trade(2), trade(3)], 2)
    assert trade_ids(first.records + second.records) == [1, 2, 3]
    assert second.duplicates == {"trade": 2}


def test_missing_trades_become_one_gap_after_the_grace() -> None:
    tape = Tape("venue")
    taken = tape.take([trade(1), trade(4), trade(5)], 10)
    assert trade_ids(taken.records) == [1]
    assert tape.sweep(10 + GRACE_NS - 1).gaps == []
    late = tape.sweep(10 + GRACE_NS)
    assert spans(late.gaps) == [("trade", "sequence", 2, 3)]
    assert late.gaps[0].detected_at == 10 + GRACE_NS
    assert trade_ids(late.records) == [4, 5]


def test_late_trades_leave_no_gap() -> None:
    tape = Tape("venue")
    tape.take([trade(1), trade(3)], 10)
    taken = tape.take([trade(2)], 11)
    assert trade_ids(taken.records) == [2, 3]
    assert taken.out_of_order == {"trade": 1}
    assert tape.sweep(10 + GRACE_NS).gaps == []


def test_trades_missing_after_a_disconnect_bear_its_cause() -> None:
    tape = Tape("venue")
    tape.take([trade(1)], 10)
    tape.interrupt(TRADE, ID, GapCause.DISCONNECT, 11)
    tape.take([trade(4), trade(9)], 12)
    assert spans(tape.sweep(12 + GRACE_NS).gaps) == [
        ("trade", "disconnect", 2, 3),
        ("trade", "sequence", 5, 8),
    ]


def test_disconnect_that_cost_nothing_leaves_no_cause() -> None:
    tape = Tape("venue")
    tape.take([trade(1)], 10)
    tape.interrupt(TRADE, ID, GapCause.DISCONNECT, 11)
    tape.take([trade(2)], 12)
    tape.sweep(13)
    tape.take([trade(4)], 14)
    assert spans(tape.sweep(14 + GRACE_NS).gaps) == [("trade", "sequence", 3, 3)]


def test_closing_tape_names_open_holes_at_once() -> None:
    tape = Tape("venue")
    tape.take([trade(1), trade(3), delta(1, 1), delta(3, 3)], 10)
    taken = tape.sweep(11, closing=True)
    assert spans(taken.gaps) == [("trade", "sequence", 2, 2), ("book", "sequence", 2, 2)]
    assert trade_ids(taken.records) == [3]
    assert taken.resyncs == []


def test_forgotten_channel_names_its_holes_and_starts_over() -> None:
    tape = Tape("venue")
    tape.take([trade(1), trade(3), quote(1), bar(1, 1), delta(1, 1)], 10)
    taken = tape.forget(TRADE, ID, 11)
    assert spans(taken.gaps) == [("trade", "sequence", 2, 2)]
    assert trade_ids(taken.records) == [3]
    for channel in (QUOTE, BAR, BOOK, TRADE):
        tape.forget(channel, ID, 11)
        assert tape.last_recv(channel, ID) == 0
    assert trade_ids(tape.take([trade(1)], 12).records) == [1]


def test_last_recv_is_the_newest_read() -> None:
    tape = Tape("venue")
    assert tape.last_recv(TRADE, ID) == 0
    tape.take([trade(1), quote(1), bar(1, 1), delta(1, 1)], 77)
    assert {tape.last_recv(c, ID) for c in (TRADE, QUOTE, BAR, BOOK)} == {77}


def test_interruption_of_an_unknown_channel_is_passed_over() -> None:
    tape = Tape("venue")
    tape.interrupt(QUOTE, ID, GapCause.DISCONNECT, 1)
    assert tape.take([quote(3)], 2).gaps == []


def test_quotes_need_no_contiguous_numbers() -> None:
    taken = Tape("venue").take([quote(1), quote(9), quote(30)], 1)
    assert (len(taken.records), taken.gaps) == (3, [])


def test_quote_seen_just_before_is_dropped() -> None:
    tape = Tape("venue")
    tape.take([quote(5), quote(9)], 1)
    taken = tape.take([quote(5), quote(7), quote(9), quote(12)], 2)
    assert [r.sequence for r in taken.records if isinstance(r, Quote)] == [7, 12]
    assert taken.duplicates == {"quote": 2}
    assert taken.out_of_order == {"quote": 1}


def test_quotes_after_a_disconnect_leave_a_gap_in_time() -> None:
    tape = Tape("venue")
    tape.take([quote(5, ts_event=100)], 1)
    tape.interrupt(QUOTE, ID, GapCause.DISCONNECT, 2)
    taken = tape.take([quote(8, ts_event=900), quote(9)], 3)
    assert [(gap.cause, gap.from_ts, gap.to_ts) for gap in taken.gaps] == [("disconnect", 100, 900)]


def test_doubt_about_quotes_may_begin_before_newer_ones() -> None:
    tape = Tape("venue")
    tape.take([quote(5, ts_event=100), quote(8, ts_event=900)], 1)
    tape.interrupt(QUOTE, ID, GapCause.DISCONNECT, 2, since_ts=100)
    assert tape.span(ID, "quote") == (100, 100)
    (gap,) = tape.take([quote(9, ts_event=950)], 3).gaps
    assert (gap.from_ts, gap.to_ts) == (100, 950)
    assert tape.span(ID, "quote") == (950, 950)
    assert tape.spans(ID, "quote") == ((100, 100), (950, 950))


def test_few_spans_before_an_interruption_are_remembered() -> None:
    tape = Tape("venue")
    assert tape.spans(ID, "quote") == ()
    for number in range(1, 8):
        tape.take([quote(number, ts_event=number)], number)
        tape.interrupt(QUOTE, ID, GapCause.DISCONNECT, number)
    assert tape.spans(ID, "quote") == ((3, 3), (4, 4), (5, 5), (6, 6), (7, 7))


def test_first_quotes_ever_leave_no_gap() -> None:
    tape = Tape("venue")
    tape.take([quote(5)], 1)
    tape.forget(QUOTE, ID, 1)
    tape.take([], 1)
    assert tape.take([quote(8)], 3).gaps == []


def test_quotes_unreadable_at_the_end_are_named_on_closing() -> None:
    tape = Tape("venue")
    tape.take([quote(5, ts_event=100)], 1)
    tape.take([msgspec.structs.replace(quote(5), instrument_id="ETHUSDT.VENUE")], 1)
    tape.interrupt(QUOTE, ID, GapCause.MALFORMED, 2)
    taken = tape.sweep(900, closing=True)
    assert [(gap.instrument_id, gap.cause, gap.from_ts) for gap in taken.gaps] == [
        (ID, "malformed", 100)
    ]


def test_quotes_interrupted_before_the_first_leave_no_gap() -> None:
    tape = Tape("venue")
    tape.interrupt(QUOTE, ID, GapCause.DISCONNECT, 2)
    assert tape.take([quote(8)], 3).gaps == []


def test_bar_updates_that_say_nothing_new_are_dropped() -> None:
    tape = Tape("venue")
    taken = tape.take([bar(1, 1), bar(1, 1, at=50), bar(1, 2, at=60)], 1)
    assert taken.counts == {"bar": 2}


def test_final_bar_passes_though_nothing_else_changed() -> None:
    taken = Tape("venue").take([bar(1, 3), bar(1, 3, final=True, at=50)], 1)
    assert [r.final for r in taken.records if isinstance(r, Bar)] == [False, True]


def test_old_updates_and_second_copies_of_bars_are_dropped() -> None:
    tape = Tape("venue")
    tape.take([bar(1, 9, final=True), bar(2, 3, at=30), bar(2, 4, final=True, at=40)], 1)
    copies = [bar(2, 4, final=True, at=40), bar(2, 3, at=30), bar(1, 9, final=True), bar(0, 9)]
    taken = tape.take(copies, 2)
    assert taken.records == []
    assert taken.duplicates == {"bar": 3}
    assert taken.out_of_order == {"bar": 1}


def test_bars_after_an_interruption_are_named_at_once() -> None:
    tape = Tape("venue")
    tape.take([bar(1, 3, final=True)], 1)
    tape.interrupt(BAR, ID, GapCause.DISCONNECT, 2)
    taken = tape.take([bar(4, 1)], 3)
    assert [(gap.from_ts, gap.to_ts) for gap in taken.gaps] == [(2 * MINUTE, 3 * MINUTE)]
    assert taken.records == [bar(4, 1)]


def test_hole_of_a_bar_channel_is_named_when_it_is_forgotten() -> None:
    tape = Tape("venue")
    tape.take([bar(1, 3), bar(2, 1)], 1)
    taken = tape.forget(BAR, ID, 2)
    assert [(gap.channel, gap.from_ts) for gap in taken.gaps] == [("bar-1m", MINUTE)]
    assert taken.records == [bar(2, 1)]


@pytest.mark.parametrize(
    ("last", "following", "missing"),
    [
        (bar(1, 1, final=True), bar(2, 1), None),
        (bar(1, 1, final=True), bar(5, 1), (2, 4)),
        (bar(1, 1), bar(2, 1), (1, 1)),
        (bar(1, 1), bar(3, 1), (1, 2)),
    ],
    ids=["next one", "three never began", "one never ended", "one never ended, one never began"],
)
def test_missing_bars_are_named_by_their_open_times(
    last: Bar, following: Bar, missing: tuple[int, int] | None
) -> None:
    tape = Tape("venue")
    assert tape.take([last, following], 1).gaps == []
    taken = tape.sweep(1 + GRACE_NS)
    expected = [] if missing is None else [(missing[0] * MINUTE, missing[1] * MINUTE)]
    assert [(gap.from_ts, gap.to_ts) for gap in taken.gaps] == expected
    assert all(gap.channel == "bar-1m" for gap in taken.gaps)


def test_metrics_are_not_the_tapes_matter() -> None:
    assert Tape("venue").take([Metric(ID, "funding", 1, 1, "0.1")], 1).records == []


def synchronized(tape: Tape) -> None:
    tape.take([delta(1, 5)], 1)
    tape.take_snapshot(snapshot(5, '[["1.0","1"]]', '[["2.0","1"]]'), 1)


def test_first_delta_passes_and_asks_for_a_snapshot() -> None:
    tape = Tape("venue")
    taken = tape.take([delta(1, 5), delta(6, 7)], 1)
    assert len(taken.records) == 2
    assert taken.resyncs == [ID]
    assert tape.snapshot_wanted(ID)
    assert not tape.snapshot_wanted("OTHER.VENUE")
    answer = tape.take_snapshot(snapshot(6), 2)
    assert [r.snapshot for r in answer.records if isinstance(r, BookDelta)] == [True]
    assert not tape.snapshot_wanted(ID)
    book = tape.book(ID)
    assert book is not None
    assert book.last_id == 7


def test_delta_chain_of_previous_ids_is_followed() -> None:
    tape = Tape("venue")
    tape.take([delta(3, 5, previous=2)], 1)
    tape.take_snapshot(snapshot(5), 1)
    taken = tape.take([delta(9, 12, previous=5), delta(40, 44, previous=12)], 2)
    assert len(taken.records) == 2
    assert tape.sweep(GRACE_NS * 2).gaps == []


def test_missing_deltas_become_a_gap_and_a_resync() -> None:
    tape = Tape("venue")
    synchronized(tape)
    assert tape.take([delta(9, 10)], 10).records == []
    taken = tape.sweep(10 + GRACE_NS)
    assert spans(taken.gaps) == [("book", "sequence", 6, 8)]
    assert [r.last_id for r in taken.records if isinstance(r, BookDelta)] == [10]
    assert taken.resyncs == [ID]


def test_deltas_of_two_connections_are_merged_by_interval() -> None:
    tape = Tape("venue")
    synchronized(tape)
    taken = tape.take([delta(6, 8), delta(6, 7), delta(7, 9), delta(8, 9), delta(10, 10)], 2)
    passed = [(r.first_id, r.last_id) for r in taken.records if isinstance(r, BookDelta)]
    assert passed == [(6, 8), (7, 9), (10, 10)]
    assert taken.duplicates == {"book": 2}
    assert tape.sweep(GRACE_NS * 2).gaps == []


def test_late_delta_fills_its_hole() -> None:
    tape = Tape("venue")
    synchronized(tape)
    tape.take([delta(8, 9)], 2)
    taken = tape.take([delta(6, 7)], 3)
    assert len(taken.records) == 2
    assert taken.out_of_order == {"book": 1}
    book = tape.book(ID)
    assert book is not None
    assert (book.last_id, book.synchronized) == (9, True)


def test_delta_with_levels_that_are_none_is_set_aside_and_named() -> None:
    tape = Tape("venue")
    synchronized(tape)
    taken = tape.take([delta(6, 7, bids="[[1]]"), delta(8, 8)], 2)
    assert taken.records == []
    assert [row.reason for row in taken.quarantined] == ["MalformedLevels"]
    assert spans(tape.sweep(2 + GRACE_NS).gaps) == [("book", "sequence", 6, 7)]


def test_crossed_book_is_set_aside_and_fetched_again() -> None:
    tape = Tape("venue")
    synchronized(tape)
    taken = tape.take([delta(6, 7, bids='[["2.5","1"]]')], 2)
    assert len(taken.records) == 1
    assert [row.reason for row in taken.quarantined] == ["CrossedBook"]
    assert taken.resyncs == [ID]
    assert tape.snapshot_wanted(ID)


@pytest.mark.parametrize(
    "answer",
    [snapshot(1), snapshot(9, bids='[["-1","1"]]'), snapshot(9, bids="{}")],
    ids=["too old", "negative price", "another shape"],
)
def test_snapshot_that_cannot_be_used_is_asked_for_again(answer: BookDelta) -> None:
    tape = Tape("venue")
    tape.take([delta(5, 9)], 1)
    taken = tape.take_snapshot(answer, 2)
    assert (taken.records, taken.resyncs) == ([], [ID])
    assert tape.snapshot_wanted(ID)


def test_snapshot_ahead_of_the_deltas_waits_for_them() -> None:
    tape = Tape("venue")
    tape.take([delta(5, 9)], 1)
    assert tape.take_snapshot(snapshot(11), 2).records == []
    taken = tape.take([delta(10, 11), delta(12, 12)], 3)
    assert [r.snapshot for r in taken.records if isinstance(r, BookDelta)].count(True) == 1
    assert len(taken.records) == 3


@given(
    st.lists(st.integers(min_value=1, max_value=50), max_size=80),
    st.integers(min_value=1, max_value=9),
)
def test_trades_in_any_batches_are_there_once_or_named(numbers: list[int], size: int) -> None:
    tape = Tape("venue")
    records: list[Record] = []
    gaps: list[Gap] = []

    def note(taken: Taken) -> None:
        records.extend(taken.records)
        gaps.extend(taken.gaps)

    for start in range(0, len(numbers), size):
        note(tape.take([trade(number) for number in numbers[start : start + size]], start))
        note(tape.sweep(start))
    note(tape.sweep(10**12))
    ids = trade_ids(records)
    assert len(ids) == len(set(ids))
    named = {n for gap in gaps for n in range(gap.from_id or 0, (gap.to_id or 0) + 1)}
    assert named.isdisjoint(ids)
    if numbers:
        assert named.union(ids) == set(range(numbers[0], max(numbers) + 1))


def test_unreadable_quote_leaves_a_gap_over_the_whole_read() -> None:
    tape = Tape("venue")
    tape.take([quote(1, ts_event=100)], 1)
    tape.interrupt(QUOTE, ID, GapCause.MALFORMED, 2)
    assert tape.take([quote(2, ts_event=200), quote(4, ts_event=400)], 2).gaps == []
    (gap,) = tape.take([quote(5, ts_event=500)], 3).gaps
    assert (gap.cause, gap.from_ts, gap.to_ts) == ("malformed", 100, 500)


def test_unreadable_last_quote_is_named_on_closing() -> None:
    tape = Tape("venue")
    tape.take([quote(1, ts_event=100)], 1)
    tape.interrupt(QUOTE, ID, GapCause.MALFORMED, 2)
    (gap,) = tape.sweep(900, closing=True).gaps
    assert (gap.cause, gap.from_ts, gap.to_ts) == ("malformed", 100, 900)


def test_missing_bar_of_a_venue_without_empty_ones_is_no_gap() -> None:
    tape = Tape("venue", dense_bars=False)
    assert tape.take([bar(1, 5, final=True), bar(4, 5, final=True)], 5).gaps == []
    tape.interrupt(BAR, ID, GapCause.DISCONNECT, 6)
    (gap,) = tape.take([bar(7, 5, final=True)], 7).gaps
    assert (gap.from_ts, gap.to_ts, gap.cause) == (5 * MINUTE, 6 * MINUTE, "disconnect")


def test_bar_read_with_an_unreadable_frame_ends_no_doubt() -> None:
    tape = Tape("venue", dense_bars=False)
    tape.take([bar(1, 5, final=True)], 5)
    tape.interrupt(BAR, ID, GapCause.MALFORMED, 6)
    assert tape.take([bar(2, 5, final=True)], 6).gaps == []
    (gap,) = tape.take([bar(5, 5, final=True)], 7).gaps
    assert (gap.from_ts, gap.to_ts, gap.cause) == (3 * MINUTE, 4 * MINUTE, "malformed")
