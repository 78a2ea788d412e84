from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.budget import MINUTE_NS, SECOND_NS, WeightBudget, WindowBudget


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
    assert budget.take(SECOND_NS)


def test_weight_budget_when_spent_waits_for_the_next_minute() -> None:
    budget = WeightBudget(100)
    assert budget.take(60, 0) == 0
    assert budget.take(60, 10 * SECOND_NS) == 50 * SECOND_NS
    assert budget.take(60, MINUTE_NS) == 0
    assert budget.used(MINUTE_NS) == 60


def test_weight_budget_lets_a_request_above_its_limit_go_alone() -> None:
    assert WeightBudget(10).take(50, 0) == 0


def test_weight_budget_takes_over_the_venues_higher_count() -> None:
    budget = WeightBudget(100)
    budget.take(10, 0)
    budget.observe(95, 1)
    assert budget.used(2) == 95
    budget.observe(20, 3)
    assert budget.used(3) == 95
    assert budget.take(10, 4) > 0


def test_weight_budget_while_paused_waits_for_the_pause() -> None:
    budget = WeightBudget(100)
    budget.pause(5 * SECOND_NS, banned=False)
    budget.pause(3 * SECOND_NS, banned=True)
    assert budget.take(1, SECOND_NS) == 4 * SECOND_NS
    assert budget.banned_until_ns == 3 * SECOND_NS
    assert budget.take(1, 5 * SECOND_NS) == 0
