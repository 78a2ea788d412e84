import pytest

from feedplane_simulator.pacing import Budget


def spend_all(budget: Budget) -> int:
    count = 0
    while budget.left:
        budget.spend(1)
        count += 1
    return count


def test_budget_pays_exactly_its_rate() -> None:
    budget = Budget(now=0.0)
    total = 0
    for tick in range(1, 1001):
        budget.earn(333.0, tick * 0.01)
        total += spend_all(budget)
    assert total == pytest.approx(3330, abs=1)


def test_budget_forgives_what_is_long_past() -> None:
    budget = Budget(now=0.0)
    budget.earn(100.0, 60.0)
    assert spend_all(budget) == 100


def test_overspending_is_paid_back_by_silence() -> None:
    budget = Budget(now=0.0)
    budget.earn(100.0, 0.5)
    budget.spend(80)
    budget.earn(100.0, 0.6)
    assert spend_all(budget) == 0
    budget.earn(100.0, 1.0)
    assert spend_all(budget) == 20
