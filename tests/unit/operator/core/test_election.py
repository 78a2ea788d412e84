import pytest

from feedplane_operator.core.election import (
    LEASE_DURATION_SECONDS,
    PAST_EXPIRY_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_PERIOD_SECONDS,
    LeaseRecord,
    Move,
    Sight,
    decide,
    look,
    wait_seconds,
)

OTHER = LeaseRecord(holder="other", duration_seconds=15, renew_time="t1")


def test_absent_lease_is_created() -> None:
    assert decide(Sight(record=None, since=0.0), "me", 0.0) is Move.CREATE


def test_own_lease_is_renewed_however_old() -> None:
    mine = LeaseRecord(holder="me", duration_seconds=15, renew_time="t1")
    assert decide(Sight(record=mine, since=0.0), "me", 1e6) is Move.RENEW


def test_released_lease_is_taken_at_once() -> None:
    free = LeaseRecord(holder="", duration_seconds=15, renew_time="t1")
    assert decide(Sight(record=free, since=0.0), "me", 0.0) is Move.TAKE


def test_held_lease_is_waited_out_by_own_clock() -> None:
    sight = Sight(record=OTHER, since=100.0)
    assert decide(sight, "me", 115.0) is Move.WAIT
    assert decide(sight, "me", 115.1) is Move.TAKE


def test_renewal_by_the_holder_starts_the_wait_anew() -> None:
    renewed = LeaseRecord(holder="other", duration_seconds=15, renew_time="t2")
    first = look(None, OTHER, 0.0)
    assert look(first, OTHER, 10.0) == first
    assert look(first, renewed, 10.0).since == 10.0


def test_durations_leave_the_leader_time_to_end_first() -> None:
    assert LEASE_DURATION_SECONDS > RENEW_DEADLINE_SECONDS > RETRY_PERIOD_SECONDS * 1.2
    # One look late at worst, which leaves time to act within the promised twenty seconds.
    assert LEASE_DURATION_SECONDS + RETRY_PERIOD_SECONDS + PAST_EXPIRY_SECONDS < 18


@pytest.mark.parametrize(
    ("now", "wait"),
    [(100.0, 2.0), (113.0, 2.0), (113.5, 1.6), (115.0, 0.1), (120.0, 0.1)],
)
def test_candidate_looks_again_when_the_lease_expires(now: float, wait: float) -> None:
    assert wait_seconds(Sight(record=OTHER, since=100.0), now) == pytest.approx(wait)
    assert wait_seconds(Sight(record=None, since=100.0), now) == RETRY_PERIOD_SECONDS
    assert wait_seconds(None, now) == RETRY_PERIOD_SECONDS
