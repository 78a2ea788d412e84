from dataclasses import replace

from feedplane_feeder.core.lease import LeaseRecord
from feedplane_feeder.core.seat import (
    SeatState,
    check_fence,
    free_record,
    may_sit,
    observe_seat,
    sat_down,
    seat_record,
)

TAKEN = LeaseRecord(holder="main/p0", transitions=2, duration_seconds=120, renew_time="t0")


def newcomer() -> SeatState:
    return SeatState(identity="main/p1", duration_seconds=120.0)


def seated() -> SeatState:
    state = newcomer()
    observe_seat(state, LeaseRecord(), 0.0)
    sat_down(state, seat_record(state, at="t1"), sent_at=0.0, now=0.5)
    assert state.held
    return state


def test_free_seat_may_be_taken_at_once() -> None:
    state = newcomer()
    assert not may_sit(state)
    observe_seat(state, LeaseRecord(), 0.0)
    assert may_sit(state)
    record = seat_record(state, at="t1")
    assert (record.holder, record.transitions, record.reason) == ("main/p1", 1, "Vacant")


def test_seat_of_another_process_is_waited_out() -> None:
    state = newcomer()
    for now in range(120):
        observe_seat(state, TAKEN, float(now))
        assert not may_sit(state)
    observe_seat(state, TAKEN, 120.0)
    assert may_sit(state)
    assert seat_record(state, at="t1").reason == "LeaseExpired"


def test_seat_not_seen_for_long_is_waited_out_all_the_same() -> None:
    state = newcomer()
    observe_seat(state, TAKEN, 0.0)
    observe_seat(state, TAKEN, 600.0)
    assert state.silent_seconds == 2.0
    observe_seat(state, replace(TAKEN, renew_time="t1"), 601.0)
    assert state.silent_seconds == 0.0


def test_seat_of_the_same_pods_former_container_is_taken_over() -> None:
    state = newcomer()
    observe_seat(state, replace(TAKEN, holder="main/p1"), 0.0)
    assert may_sit(state)
    record = seat_record(state, at="t1")
    assert (record.transitions, record.renew_time) == (2, "t1")


def test_holder_that_cannot_renew_gives_up_before_others_may_sit() -> None:
    state = seated()
    assert check_fence(state, 89.9)
    assert not check_fence(state, 90.0)
    assert not state.held


def test_holder_finding_another_in_its_seat_has_lost_it() -> None:
    state = seated()
    observe_seat(state, TAKEN, 1.0)
    assert not check_fence(state, 1.0)


def test_seat_written_too_slowly_is_not_held() -> None:
    state = newcomer()
    observe_seat(state, LeaseRecord(), 0.0)
    sat_down(state, seat_record(state, at="t1"), sent_at=0.0, now=95.0)
    assert not state.held


def test_leaving_holder_frees_its_seat_and_takes_none() -> None:
    state = seated()
    state.leaving = True
    freed = free_record(state.record or LeaseRecord(), at="t2")
    assert (freed.holder, freed.reason) == ("", "Shutdown")
    observe_seat(state, freed, 1.0)
    assert not may_sit(state)
