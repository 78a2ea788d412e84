from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.lease import (
    Candidate,
    LeaseAction,
    LeaseReason,
    LeaseRecord,
    LeaseState,
    LeaseVerb,
    acquired_record,
    assumed,
    decide,
    observed,
    reached,
    released_record,
    renewed_record,
    stepped_down,
    taken,
)

ME = Candidate(
    account="main",
    pod="pod-1",
    may_acquire=True,
    lease_duration_seconds=6,
    renew_deadline_seconds=4,
)
WATCHER = replace(ME, account="spare", may_acquire=False)
OTHER = LeaseRecord(holder="spare/pod-9", transitions=3, duration_seconds=6, renew_time="t0")
FRESH = LeaseState(started_at=0.0)


def seen(record: LeaseRecord, now: float, me: Candidate = ME) -> LeaseState:
    return observed(FRESH, me, record, now)


@pytest.mark.parametrize(
    ("record", "later", "expected"),
    [
        pytest.param(
            LeaseRecord(),
            0.0,
            LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.VACANT),
            id="a vacant lease is taken",
        ),
        pytest.param(
            LeaseRecord(holder="main/pod-0", duration_seconds=6),
            0.0,
            LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.RESTARTED),
            id="our own account's former pod is not waited out",
        ),
        pytest.param(
            LeaseRecord(holder="main/pod-1", duration_seconds=6),
            0.0,
            LeaseAction(LeaseVerb.RENEW, LeaseReason.RESUMED),
            id="a restarted container goes on with its own lease",
        ),
        pytest.param(OTHER, 3.0, LeaseAction(LeaseVerb.WATCH), id="another holder is respected"),
        pytest.param(
            replace(OTHER, duration_seconds=1),
            2.0,
            LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.EXPIRED),
            id="a holder that stopped renewing is replaced",
        ),
        pytest.param(
            LeaseRecord(holder="mainly/pod-0", duration_seconds=6),
            0.0,
            LeaseAction(LeaseVerb.WATCH),
            id="an account whose name merely starts alike is another account",
        ),
    ],
)
def test_candidate_facing_a_lease_decides(
    record: LeaseRecord, later: float, expected: LeaseAction
) -> None:
    assert decide(seen(record, 10.0), ME, 10.0 + later) == expected


def test_watcher_facing_a_vacant_lease_only_watches() -> None:
    state = seen(LeaseRecord(), 0.0, WATCHER)
    assert decide(state, WATCHER, 1.0) == LeaseAction(LeaseVerb.WATCH)
    assert decide(state, WATCHER, 1_000.0) == LeaseAction(LeaseVerb.WATCH)


def test_acquired_lease_names_the_holder_one_transition_later() -> None:
    record = acquired_record(OTHER, ME, reason="Expired", at="t1")
    assert record == LeaseRecord(
        holder="main/pod-1",
        transitions=4,
        duration_seconds=6,
        acquire_time="t1",
        renew_time="t1",
        reason="Expired",
    )


def test_renewed_lease_keeps_its_epoch_and_reason() -> None:
    record = acquired_record(None, ME, reason="Vacant", at="t1")
    renewed = renewed_record(record, ME, at="t2")
    assert renewed == replace(record, renew_time="t2")
    assert renewed.transitions == 1


def test_released_lease_is_free_within_a_second() -> None:
    held = acquired_record(None, ME, reason="Vacant", at="t1")
    released = released_record(held, reason="Shutdown", at="t2")
    assert (released.holder, released.duration_seconds, released.transitions) == ("", 1.0, 1)
    assert released.reason == "Shutdown"
    assert released.account == ""


def test_active_feeder_without_the_api_goes_on() -> None:
    record = acquired_record(None, ME, reason="Vacant", at="t1")
    state = taken(FRESH, record, "Vacant", 0.0)
    assert not reached(state, ME, 3_600.0)
    assert decide(state, ME, 3_600.0) == LeaseAction(LeaseVerb.RENEW)
    assert state.active


def test_active_feeder_replaced_by_another_account_stops() -> None:
    state = taken(FRESH, acquired_record(None, ME, reason="Vacant", at="t1"), "Vacant", 0.0)
    after = observed(state, ME, OTHER, 1.0)
    assert (after.active, after.reason) == (False, LeaseReason.SUPERSEDED)
    assert decide(after, ME, 2.0) == LeaseAction(LeaseVerb.WATCH)


def test_active_feeder_replaced_by_its_successor_does_not_fight() -> None:
    state = taken(FRESH, acquired_record(None, ME, reason="Vacant", at="t1"), "Vacant", 0.0)
    successor = LeaseRecord(holder="main/pod-2", transitions=2, duration_seconds=6)
    after = observed(state, ME, successor, 1.0)
    assert not after.active
    assert decide(after, ME, 2.0) == LeaseAction(LeaseVerb.WATCH)


def test_lease_emptied_under_the_holder_is_taken_again() -> None:
    state = taken(FRESH, acquired_record(None, ME, reason="Vacant", at="t1"), "Vacant", 0.0)
    after = observed(state, ME, LeaseRecord(), 1.0)
    assert after.active
    assert decide(after, ME, 1.0) == LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.VACANT)


def test_candidate_that_never_saw_the_api_publishes_after_a_lease_duration() -> None:
    assert decide(FRESH, ME, 5.9) == LeaseAction(LeaseVerb.WATCH)
    action = decide(FRESH, ME, 6.0)
    assert action == LeaseAction(LeaseVerb.ASSUME, LeaseReason.API_UNREACHABLE)
    state = assumed(FRESH, LeaseReason.API_UNREACHABLE)
    assert state.active
    # The Lease it finds later still names the pod before it: no reason to stop.
    former = observed(state, ME, LeaseRecord(holder="main/pod-0", duration_seconds=6), 9.0)
    assert former.active
    assert decide(former, ME, 9.0).reason == LeaseReason.RESTARTED


def test_candidate_that_knows_of_another_holder_never_assumes() -> None:
    state = seen(OTHER, 0.0)
    assert decide(state, ME, 3_600.0) == LeaseAction(LeaseVerb.WATCH)


def test_candidate_that_stepped_down_waits_out_its_cooldown() -> None:
    state = stepped_down(seen(LeaseRecord(), 0.0), "Unhealthy", 31.0)
    assert (state.active, state.reason) == (False, "Unhealthy")
    state = observed(state, ME, LeaseRecord(), 30.0)
    assert decide(state, ME, 30.0) == LeaseAction(LeaseVerb.WATCH)
    assert decide(state, ME, 31.0).verb is LeaseVerb.ACQUIRE


RECORDS = st.builds(
    LeaseRecord,
    holder=st.sampled_from(["", "main/pod-0", "main/pod-1", "spare/pod-9"]),
    transitions=st.integers(0, 5),
    duration_seconds=st.sampled_from([1.0, 6.0]),
    renew_time=st.sampled_from(["t0", "t1", "t2"]),
)
STEPS = st.lists(st.tuples(st.floats(0.1, 5.0), st.one_of(st.none(), RECORDS)), max_size=30)


@given(STEPS)
def test_candidate_whatever_it_sees_never_takes_a_living_lease(
    steps: list[tuple[float, LeaseRecord | None]],
) -> None:
    # None stands for an API server that did not answer.
    state, now, changed_at = FRESH, 0.0, 0.0
    last: LeaseRecord | None = None
    for wait, record in steps:
        now += wait
        if record is not None:
            changed_at = changed_at if record == last else now
            last = record
            state = observed(state, ME, record, now)
        action = decide(state, ME, now)
        if record is None:
            continue
        if action.verb is LeaseVerb.ACQUIRE and record.account == "spare":
            assert now - changed_at > record.duration_seconds
        if action.verb is LeaseVerb.ACQUIRE:
            last = acquired_record(record, ME, reason="x", at=f"at {now}")
            changed_at = now
            state = taken(state, last, action.reason, now)
        if action.verb is LeaseVerb.ASSUME:
            state = assumed(state, "x")


@given(STEPS)
def test_active_candidate_losing_the_api_never_stops(
    steps: list[tuple[float, LeaseRecord | None]],
) -> None:
    record = acquired_record(None, ME, reason="Vacant", at="t1")
    state, now = taken(FRESH, record, "Vacant", 0.0), 0.0
    for wait, _ in steps:
        now += wait
        assert decide(state, ME, now).verb is LeaseVerb.RENEW
        assert state.active
