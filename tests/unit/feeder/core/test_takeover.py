import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_sinks import INSTRUMENT, START_NS, make_bar, make_delta, make_quote, make_trade

from feedplane_feeder.core.ports import Batch, Watermark
from feedplane_feeder.core.takeover import (
    FLOOR_NS,
    BookFloors,
    clip_gaps,
    newest_recv,
    split_known,
    split_range,
)
from feedplane_feeder.records import Gap, Record

MINUTE = 60_000_000_000
TRADE, QUOTE, BOOK, BAR = ((INSTRUMENT, name) for name in ("trade", "quote", "book", "bar-1m"))


def ids(first: int, last: int) -> Gap:
    return Gap(INSTRUMENT, "trade", "sequence", 1, from_id=first, to_id=last)


def times(channel: str, first: int, last: int) -> Gap:
    return Gap(INSTRUMENT, channel, "disconnect", 1, from_ts=first, to_ts=last)


def mark(sequence: int | None, ts_event: int = 100, ts_recv: int | None = None) -> Watermark:
    return Watermark(sequence=sequence, ts_event=ts_event, ts_recv=ts_recv)


@pytest.mark.parametrize(
    ("gap", "held", "left"),
    [
        (ids(5, 9), {}, ids(5, 9)),
        (ids(5, 9), {TRADE: mark(None)}, ids(5, 9)),
        (ids(5, 9), {TRADE: mark(9)}, None),
        (ids(5, 9), {TRADE: mark(7)}, ids(8, 9)),
        (ids(5, 9), {TRADE: mark(4)}, ids(5, 9)),
        (times("quote", 50, 99), {QUOTE: mark(1)}, None),
        (times("quote", 50, 100), {QUOTE: mark(1)}, None),
        (times("quote", 50, 150), {QUOTE: mark(1)}, times("quote", 100, 150)),
        (times("quote", 120, 150), {QUOTE: mark(1)}, times("quote", 120, 150)),
        (times("bar-1m", 0, 2 * MINUTE), {BAR: mark(None, 0)}, times("bar-1m", MINUTE, 2 * MINUTE)),
        (times("bar-1m", 0, MINUTE), {BAR: mark(None, 0)}, times("bar-1m", MINUTE, MINUTE)),
        (times("bar-1m", 0, MINUTE), {BAR: mark(None, MINUTE)}, None),
        (
            Gap(INSTRUMENT, "trade", "spill", 1),
            {TRADE: mark(9)},
            Gap(INSTRUMENT, "trade", "spill", 1),
        ),
    ],
)
def test_gap_of_a_standby_counts_beyond_the_held_tape(
    gap: Gap, held: dict[tuple[str, str], Watermark], left: Gap | None
) -> None:
    assert clip_gaps([gap], held) == ([left] if left else [])


def test_split_known_puts_what_the_sink_lacks_first() -> None:
    held = {TRADE: mark(4), QUOTE: mark(7), BAR: mark(None, make_bar(2).ts_open), BOOK: mark(99)}
    lacking: list[Record] = [make_trade(5), make_quote(8), make_bar(3), make_delta(1, 2)]
    known: list[Record] = [make_trade(4), make_quote(7), make_bar(2)]
    batch, later = split_known(Batch(records=[*known, *lacking], epoch=3), held)
    assert (batch.records, later, batch.epoch) == (lacking, known, 3)
    assert split_known(Batch(records=known), {})[1] == []


@pytest.mark.parametrize(
    ("present", "parts"),
    [
        ([], [(3, 8)]),
        ([3, 4, 5, 6, 7, 8], []),
        ([3], [(4, 8)]),
        ([8], [(3, 7)]),
        ([5, 6], [(3, 4), (7, 8)]),
    ],
    ids=str,
)
def test_range_splits_into_the_runs_that_are_missing(
    present: list[int], parts: list[tuple[int, int]]
) -> None:
    assert split_range(3, 8, present) == parts


def test_newest_recv_is_none_where_no_sink_can_tell() -> None:
    assert newest_recv({TRADE: mark(1)}) is None
    assert newest_recv({TRADE: mark(1, ts_recv=5), QUOTE: mark(1, ts_recv=9), BAR: mark(1)}) == 9


def test_book_continues_with_the_first_delta_beyond_the_floor() -> None:
    floors = BookFloors()
    floors.raise_to({BOOK: mark(10), TRADE: mark(99)}, START_NS)
    old, across, new = make_delta(5, 10), make_delta(9, 12), make_delta(13, 14)
    trade = make_trade(1)
    assert floors.pass_records([old, trade, across, new]) == ([trade, across, new], {INSTRUMENT})
    # Only what is confirmed lifts the floor: the same batch may have to be written again.
    assert floors.pass_records([old]) == ([], set())
    floors.clear([INSTRUMENT])
    assert floors.pass_records([old]) == ([old], set())


def test_floor_holds_back_nothing_long_after_the_promotion() -> None:
    floors = BookFloors()
    delta = make_delta(1, 2)
    floors.raise_to({BOOK: mark(10)}, delta.ts_recv - FLOOR_NS - 1)
    assert floors.pass_records([delta]) == ([delta], {INSTRUMENT})
    floors.clear()
    assert floors.pass_records([delta]) == ([delta], set())


@given(st.integers(0, 60), st.lists(st.integers(1, 6), min_size=1, max_size=20))
def test_book_beyond_the_floor_leaves_no_hole_and_no_known_delta(
    floor: int, widths: list[int]
) -> None:
    deltas, last = [], 0
    for width in widths:
        deltas.append(make_delta(last + 1, last + width))
        last += width
    floors = BookFloors()
    floors.raise_to({BOOK: mark(floor)}, START_NS)
    passed, _ = floors.pass_records(deltas)
    assert list(passed) == [delta for delta in deltas if delta.last_id > floor]
