from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.backoff import STABLE_NS, Backoff


class Highest:
    """Always the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest:
    """Always the shortest delay."""

    def uniform(self, a: float, b: float) -> float:
        return a


def test_backoff_before_the_first_failure_waits_nothing() -> None:
    assert Backoff().delay_seconds(Highest()) == 0.0


def test_backoff_after_each_failure_doubles_to_its_cap() -> None:
    backoff = Backoff(initial_seconds=0.5, cap_seconds=3.0)
    delays = []
    for _ in range(5):
        backoff.lost(0)
        delays.append(backoff.delay_seconds(Highest()))
    assert delays == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_backoff_with_a_lower_cap_for_once_keeps_its_own() -> None:
    backoff = Backoff(initial_seconds=0.5, cap_seconds=3.0)
    for _ in range(5):
        backoff.lost(0)
    caps = (2.0, 9.0, None)
    assert [backoff.delay_seconds(Highest(), cap) for cap in caps] == [2.0, 3.0, 3.0]


def test_backoff_with_full_jitter_may_wait_nothing() -> None:
    backoff = Backoff()
    backoff.lost(0)
    assert backoff.delay_seconds(Lowest()) == 0.0


def test_backoff_after_a_stable_while_starts_over() -> None:
    backoff = Backoff(initial_seconds=0.5)
    for _ in range(9):
        backoff.lost(0)
    backoff.lost(STABLE_NS)
    assert backoff.delay_seconds(Highest()) == 0.5


@given(st.integers(min_value=0, max_value=100_000))
def test_backoff_after_any_number_of_failures_stays_capped(failures: int) -> None:
    backoff = Backoff(cap_seconds=30.0)
    backoff._failures = failures
    assert 0.0 <= backoff.delay_seconds(Highest()) <= 30.0
