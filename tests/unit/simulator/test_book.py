from hypothesis import given
from hypothesis import strategies as st

from feedplane_simulator.book import BestPrices, Book

SPEEDS = ("depth", "depth@100ms")


def build_book() -> Book:
    book = Book(SPEEDS)
    book.fill({99: 5, 98: 7, 97: 1}, {101: 4, 102: 2, 103: 9}, update_id=10)
    return book


def test_change_at_the_top_moves_best_prices() -> None:
    book = build_book()
    book.change(bid_side=True, price=100, lots=3, update_id=11)
    assert book.best() == BestPrices(100, 3, 101, 4)
    book.change(bid_side=True, price=100, lots=0, update_id=12)
    book.change(bid_side=False, price=101, lots=0, update_id=13)
    assert book.best() == BestPrices(99, 5, 102, 2)


def test_changes_wait_for_each_speed_apart() -> None:
    book = build_book()
    book.change(bid_side=True, price=98, lots=0, update_id=11)
    book.pending["depth@100ms"].clear()
    book.change(bid_side=False, price=105, lots=6, update_id=12)
    fast, slow = book.pending["depth@100ms"], book.pending["depth"]
    assert (fast.first_id, fast.bids, fast.asks) == (12, {}, {105: 6})
    assert (slow.first_id, slow.bids, slow.asks) == (11, {98: 0}, {105: 6})


def test_snapshot_lists_the_best_levels_first() -> None:
    assert build_book().snapshot(2) == ([(99, 5), (98, 7)], [(101, 4), (102, 2)])


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(80, 99), st.integers(0, 3)), min_size=1, max_size=60
    )
)
def test_pending_changes_rebuild_the_book(changes: list[tuple[bool, int, int]]) -> None:
    book = build_book()
    book.fill({99: 5, 50: 1}, {101: 4, 150: 1}, update_id=0)
    bids, asks = dict(book.bids), dict(book.asks)
    for number, (bid_side, away, lots) in enumerate(changes, start=1):
        book.change(bid_side, away if bid_side else 200 - away, lots, number)
        assert book.best_bid == max(book.bids)
        assert book.best_ask == min(book.asks)
    pending = book.pending["depth"]
    bids.update(pending.bids)
    asks.update(pending.asks)
    assert {p: q for p, q in bids.items() if q} == book.bids
    assert {p: q for p, q in asks.items() if q} == book.asks
