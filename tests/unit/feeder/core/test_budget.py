import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.budget import (
    GUARD_NS,
    MINUTE_NS,
    SECOND_NS,
    AddressBudget,
    Priority,
    WindowBudget,
    find_ceiling,
)

NOON = 30_000_000 * MINUTE_NS


@given(
    st.lists(st.integers(min_value=0, max_value=SECOND_NS), min_size=1, max_size=60),
    st.integers(min_value=1, max_value=5),
)
def test_window_budget_in_any_window_stays_within_limit(steps: list[int], limit: int) -> None:
    budget = WindowBudget(limit, SECOND_NS)
    now, taken = 0, []
    for step in steps:
        now += step
        if budget.take(now):
            taken.append(now)
    for at in taken:
        assert sum(at <= other < at + SECOND_NS for other in taken) <= limit


def test_window_budget_when_full_says_when_there_is_room() -> None:
    budget = WindowBudget(2, SECOND_NS)
    assert budget.take(0)
    assert budget.take(300)
    assert not budget.take(400)
    assert budget.room_at(400) == SECOND_NS
    assert [budget.used(at) for at in (400, SECOND_NS, SECOND_NS + 300)] == [2, 1, 0]
    assert budget.take(SECOND_NS)


def test_spent_budget_waits_for_the_next_minute_and_its_guard() -> None:
    budget = AddressBudget()
    assert budget.take(60, 100, NOON) == 0
    assert budget.take(60, 100, NOON + 10 * SECOND_NS) == 50 * SECOND_NS
    budget.settle(60, NOON // MINUTE_NS, None, NOON + 10 * SECOND_NS)
    assert budget.take(60, 100, NOON + MINUTE_NS) == GUARD_NS
    assert budget.take(60, 100, NOON + MINUTE_NS + GUARD_NS) == 0
    assert budget.used(NOON + MINUTE_NS + GUARD_NS) == 60


def test_request_heavier_than_all_goes_alone() -> None:
    assert AddressBudget().take(50, 10, NOON) == 0


def test_venues_count_stands_in_place_of_ours() -> None:
    budget, minute, now = AddressBudget(), NOON // MINUTE_NS, NOON + 2 * SECOND_NS
    budget.take(50, 100, now)
    assert budget.used(now) == 50
    budget.settle(50, minute, 4, now)
    assert budget.used(now) == 4
    budget.take(10, 100, now)
    budget.settle(10, minute, 95, now)
    assert budget.used(now) == 95
    budget.take(1, 100, now)
    budget.settle(1, minute, 20, now)
    assert budget.used(now) == 95


def test_count_within_the_guard_may_be_the_minute_befores() -> None:
    budget, minute = AddressBudget(), NOON // MINUTE_NS
    budget.take(5, 100, NOON)
    budget.settle(5, minute, 99, NOON + GUARD_NS - 1)
    assert budget.used(NOON + GUARD_NS) == 5


def test_answer_a_minute_late_counts_in_the_new_one() -> None:
    budget, minute = AddressBudget(), NOON // MINUTE_NS
    budget.take(30, 100, NOON)
    later = NOON + MINUTE_NS + 2 * SECOND_NS
    assert budget.used(later) == 30
    budget.settle(30, minute, 77, later)
    assert budget.used(later) == 30
    budget.settle(30, minute - 5, 77, later)
    assert budget.used(later) == 30
    assert budget.used(later + 5 * MINUTE_NS) == 0


def test_paused_budget_waits_for_the_pause() -> None:
    budget = AddressBudget()
    budget.pause(NOON + 5 * SECOND_NS)
    budget.pause(NOON + 3 * SECOND_NS, banned_until_ns=NOON + 2 * SECOND_NS)
    assert budget.take(1, 100, NOON + SECOND_NS) == 4 * SECOND_NS
    assert budget.banned_until_ns == NOON + 2 * SECOND_NS
    assert budget.take(1, 100, NOON + 5 * SECOND_NS) == 0


@pytest.mark.parametrize(
    ("priority", "percent", "ceiling"),
    [
        (Priority.LIVE, 50, 950),
        (Priority.REPAIR, 50, 800),
        (Priority.BACKFILL, 50, 500),
        (Priority.BACKFILL, 100, 800),
    ],
)
def test_each_priority_leaves_room_for_those_before(
    priority: Priority, percent: int, ceiling: int
) -> None:
    assert find_ceiling(1_000, priority, percent) == ceiling


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=8 * SECOND_NS),
            st.sampled_from([1, 4, 20, 50]),
            st.sampled_from(list(Priority)),
            st.integers(min_value=0, max_value=4),
        ),
        min_size=1,
        max_size=200,
    ),
    st.integers(min_value=-GUARD_NS + 1, max_value=GUARD_NS - 1),
)
def test_venue_whose_clock_differs_never_counts_over_its_limit(
    steps: list[tuple[int, int, Priority, int]], skew_ns: int
) -> None:
    limit, now = 200, NOON
    budget, venue = AddressBudget(), Venue()
    flying: list[tuple[int, int, int]] = []
    for step, weight, priority, answers in steps:
        now += step
        for _ in range(min(answers, len(flying))):
            taken, minute, told = flying.pop(0)
            budget.settle(taken, minute, told, now)
        if budget.take(weight, find_ceiling(limit, priority), now) == 0:
            flying.append((weight, budget.minute, venue.count(weight, now + skew_ns)))
            assert venue.used <= limit


class Venue:
    """Counts by the minutes of its own clock, when a request arrives."""

    def __init__(self) -> None:
        self.minute = self.used = 0

    def count(self, weight: int, at_ns: int) -> int:
        """Count a request and return what is used with it."""
        if at_ns // MINUTE_NS != self.minute:
            self.minute, self.used = at_ns // MINUTE_NS, 0
        self.used += weight
        return self.used
