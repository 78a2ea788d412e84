from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_operator.core.shards import assign_shards

SYMBOLS = st.sets(st.text("ABCDEF", min_size=1, max_size=4), max_size=40)
CAPS = st.integers(1, 12)


@settings(deadline=None)
@given(SYMBOLS, CAPS)
def test_assignment_keeps_every_symbol_within_the_cap(symbols: set[str], cap: int) -> None:
    assigned = assign_shards(symbols, {}, cap)
    assert assigned.keys() == symbols
    assert all(count <= cap for count in Counter(assigned.values()).values())


@settings(deadline=None)
@given(SYMBOLS, SYMBOLS, CAPS)
def test_assignment_moves_nothing_when_symbols_come_and_go(
    before: set[str], change: set[str], cap: int
) -> None:
    first = assign_shards(before, {}, cap)
    second = assign_shards(before ^ change, first, cap)
    assert all(second[symbol] == first[symbol] for symbol in before & second.keys())


@settings(deadline=None)
@given(SYMBOLS, CAPS)
def test_assignment_made_twice_is_the_same(symbols: set[str], cap: int) -> None:
    first = assign_shards(symbols, {}, cap)
    assert assign_shards(symbols, first, cap) == first


@settings(deadline=None)
@given(SYMBOLS, CAPS)
def test_lower_cap_moves_the_surplus_alone(symbols: set[str], cap: int) -> None:
    first = assign_shards(symbols, {}, cap + 3)
    second = assign_shards(symbols, first, cap)
    moved = sum(second[symbol] != first[symbol] for symbol in symbols)
    surplus = sum(max(0, count - cap) for count in Counter(first.values()).values())
    assert moved == surplus


def test_first_symbols_open_the_lowest_shards() -> None:
    assert set(assign_shards({"A", "B", "C"}, {}, 1).values()) == {0, 1, 2}


def test_closed_shard_is_opened_again() -> None:
    assert assign_shards({"A", "B", "C"}, {"A": 0, "C": 2}, 1) == {"A": 0, "B": 1, "C": 2}
