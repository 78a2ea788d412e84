import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_feeder.core.chunks import DAY_NS, Chunk
from feedplane_feeder.core.missing import Held, Hole, find_holes, find_missing, find_runs


def chunk(number: int, channel: str = "bar-1m") -> Chunk:
    return Chunk(
        number=number,
        symbol="BTCUSDT",
        instrument_id="BTCUSDT.V",
        channel=channel,
        start_ns=(20_000 + number) * DAY_NS,
        end_ns=(20_001 + number) * DAY_NS,
    )


@pytest.mark.parametrize(
    ("rows", "missing"), [(0, True), (1_439, True), (1_440, False), (1_441, False)]
)
def test_day_of_bars_is_there_when_all_are(rows: int, missing: bool) -> None:
    found = find_missing([chunk(0)], {0: Held(rows=rows)}, {})
    assert bool(found) is missing


def test_day_that_another_instrument_has_is_still_missing() -> None:
    assert find_missing([chunk(0), chunk(1)], {0: Held(rows=1_440)}, {}) == (chunk(1),)


def test_trades_that_their_neighbours_continue_are_there() -> None:
    days = [chunk(number, "trade") for number in range(3)]
    held = {
        0: Held(rows=9, first_id=1, last_id=10),
        1: Held(rows=5, first_id=11, last_id=15),
        2: Held(rows=1, first_id=16, last_id=16),
    }
    assert find_missing(days, held, {}) == (days[0], days[2])


@pytest.mark.parametrize(
    "middle", [Held(rows=4, first_id=11, last_id=15), Held(rows=4, first_id=11, last_id=14)]
)
def test_trades_with_a_hole_or_a_loose_end_are_missing(middle: Held) -> None:
    held = {
        0: Held(rows=10, first_id=1, last_id=10),
        1: middle,
        2: Held(rows=1, first_id=16, last_id=16),
    }
    assert find_missing([chunk(1, "trade")], held, {}) == (chunk(1, "trade"),)


def test_rows_that_an_earlier_fetch_counted_are_there_while_they_are() -> None:
    day = chunk(0, "metric")
    assert find_missing([day], {0: Held(rows=1_700)}, {0: 1_700}) == ()
    assert find_missing([day], {0: Held(rows=1_699)}, {0: 1_700}) == (day,)
    assert find_missing([day], {0: Held(rows=1_700)}, {}) == (day,)


def test_holes_lie_between_runs_and_before_the_known_end() -> None:
    assert find_holes([(5, 9), (1, 2), (20, 20)], 25) == (Hole(3, 4), Hole(10, 19), Hole(21, 24))
    assert find_holes([(1, 5), (3, 8)], 9) == ()
    assert find_holes([], 9) == ()


@settings(deadline=None)
@given(st.sets(st.integers(0, 200), min_size=1))
def test_runs_and_holes_together_are_all_numbers_once(numbers: set[int]) -> None:
    ids = sorted(numbers)
    runs = find_runs(ids)
    holes = find_holes(runs)
    covered = [n for first, last in runs for n in range(first, last + 1)]
    missing = [n for hole in holes for n in range(hole.first_id, hole.last_id + 1)]
    assert covered == ids
    assert sorted(covered + missing) == list(range(ids[0], ids[-1] + 1))
    assert sum(hole.rows for hole in holes) == len(missing)


def test_no_numbers_have_no_runs() -> None:
    assert find_runs([]) == ()
    assert not Held(rows=3).unbroken
