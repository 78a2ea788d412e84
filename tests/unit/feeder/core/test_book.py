import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.book import Book, Levels, Side, parse_levels
from feedplane_feeder.errors import ImpossibleValueError

PRICES = [f"{number / 10:.1f}" for number in range(1, 60)]
SIZES = ["0", "0.000", "1", "2.50"]


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def started(last_id: int = 10) -> Book:
    book = Book()
    assert book.restart(last_id, [("1.0", "5")], [("2.0", "5")])
    return book


@given(st.lists(st.tuples(st.sampled_from(PRICES), st.sampled_from(SIZES)), max_size=300))
def test_side_after_any_changes_knows_its_best(changes: Levels) -> None:
    bids, asks, expected = Side(-1.0), Side(1.0), dict[str, str]()
    for start in range(0, len(changes), 7):
        part = changes[start : start + 7]
        bids.apply(part)
        asks.apply(part)
        for price, size in part:
            expected[price] = size
            if float(size) == 0:
                del expected[price]
        prices = [float(price) for price in expected]
        assert bids.best() == max(prices, default=None)
        assert asks.best() == min(prices, default=None)
    assert bids.levels == asks.levels == expected


def test_side_with_many_removed_levels_stays_small() -> None:
    side = Side(1.0)
    side.apply([("1", "1")])
    for number in range(2, 5_000):
        side.apply([(str(number), "1")])
        side.apply([(str(number), "0")])
        assert side.best() == 1.0
    assert len(side._heap) < 200


def test_book_before_its_snapshot_waits_and_then_catches_up() -> None:
    book = Book()
    for number in (8, 9, 10, 11):
        book.apply(number - 1, number, [("1.0", str(number))], [])
    assert not book.synchronized
    assert book.restart(9, [("0.9", "1"), ("1.0", "9")], [("2.0", "1")])
    assert book.synchronized
    assert book.last_id == 11
    assert book.bids() == {"0.9": "1", "1.0": "11"}
    assert book.asks() == {"2.0": "1"}


def test_book_refuses_a_snapshot_older_than_its_backlog() -> None:
    book = Book()
    book.apply(20, 21, [("1.0", "1")], [])
    assert not book.restart(19, [], [])
    assert book.last_id is None
    assert book.restart(20, [], [])
    assert book.last_id == 21


def test_book_with_a_hole_waits_until_it_is_filled() -> None:
    book = started()
    book.apply(11, 12, [("1.1", "1")], [])
    book.apply(12, 13, [("1.2", "1")], [])
    assert (book.synchronized, book.last_id) == (False, 10)
    book.apply(10, 11, [("1.1", "9")], [])
    assert (book.synchronized, book.last_id) == (True, 13)
    assert book.bids() == {"1.0": "5", "1.1": "1", "1.2": "1"}


def test_book_takes_an_overlap_and_passes_over_a_copy() -> None:
    book = started()
    book.apply(8, 12, [("1.1", "1")], [])
    book.apply(9, 12, [("1.1", "99")], [])
    assert book.bids() == {"1.0": "5", "1.1": "1"}
    assert book.last_id == 12


def test_book_that_lost_its_state_keeps_what_comes() -> None:
    book = started()
    book.lose()
    book.apply(14, 15, [("1.5", "1")], [])
    assert book.restart(14, [("1.0", "1")], [])
    assert book.bids() == {"1.0": "1", "1.5": "1"}


def test_book_that_crosses_is_refused() -> None:
    book = started()
    with pytest.raises(ImpossibleValueError, match="CrossedBook"):
        book.apply(10, 11, [("2.0", "1")], [])


def test_book_with_a_price_that_is_none_is_refused() -> None:
    with pytest.raises(ImpossibleValueError, match="MalformedLevels"):
        started().apply(10, 11, [("", "1")], [])


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '[["1"]]',
        '[["1",2]]',
        '["1","2"]',
        "[[",
        '[["-1","2"]]',
        '[["1","nan"]]',
        '[["1e5","2"]]',
    ],
)
def test_levels_that_are_no_pairs_of_decimals_are_refused(text: str) -> None:
    with pytest.raises(ImpossibleValueError, match="MalformedLevels"):
        parse_levels(raw(text))


def test_levels_as_printed_are_read() -> None:
    assert parse_levels(raw('[["1.50","2"], ["3","0.00"]]')) == [("1.50", "2"), ("3", "0.00")]


@given(st.data())
def test_book_from_any_order_of_two_groupings_equals_the_reference(data: st.DataObject) -> None:
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from(PRICES[:20]), st.sampled_from(SIZES)), min_size=1)
    )
    reference = Side(-1.0)
    reference.apply(steps)
    changes = []
    for _ in range(2):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(steps)))) | {0, len(steps)})
        for after, to in zip(cuts, cuts[1:], strict=False):  # noqa: RUF007 - reads the same
            merged = dict(steps[after:to])
            changes.append((after, to, list(merged.items())))
    book = Book()
    book.restart(0, [], [])
    # Each grouping in its own order, the two interleaved in any way.
    for after, to, bids in sorted(changes, key=lambda change: change[1]):
        book.apply(after, to, bids, [])
    assert book.bids() == reference.levels
    assert book.last_id == len(steps)


def test_book_with_two_holes_goes_on_to_the_second() -> None:
    book = started()
    book.apply(11, 12, [("1.2", "1")], [])
    book.apply(13, 14, [("1.4", "1")], [])
    book.apply(10, 11, [("1.1", "1")], [])
    assert (book.synchronized, book.last_id) == (False, 12)
    book.apply(12, 13, [], [])
    assert (book.synchronized, book.last_id) == (True, 14)
