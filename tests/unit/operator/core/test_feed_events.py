from typing import Any

import pytest
from support_plans import NOW

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason, set_condition
from feedplane_api.feed_source import (
    AccountStatus,
    FailoverStatus,
    FeedSourceStatus,
    RolloutStatus,
)
from feedplane_api.worker import SessionState
from feedplane_operator.core.feed_events import note_feed_turns
from feedplane_operator.events import EventReason

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
Said = tuple[ConditionType, ConditionStatus, Reason]


def _status(*said: Said, **fields: Any) -> FeedSourceStatus:
    conditions: Any = ()
    for kind, status, reason in said:
        conditions = set_condition(conditions, kind, status, reason, generation=1, now=NOW)
    return FeedSourceStatus(conditions=conditions, **fields)


def _account(healthy: ConditionStatus, reason: str = "") -> FeedSourceStatus:
    entry = AccountStatus(name="a", session=SessionState.STREAMING, healthy=healthy, reason=reason)
    return FeedSourceStatus(accounts=(entry,))


def _reasons(before: FeedSourceStatus, after: FeedSourceStatus) -> list[EventReason]:
    return [note.reason for note in note_feed_turns(before, after)]


DEGRADED, REDUNDANT = ConditionType.DEGRADED, ConditionType.REDUNDANT
WELL = _status((DEGRADED, FALSE, Reason.NOT_DEGRADED))
UNKNOWN = ConditionStatus.UNKNOWN


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            _account(TRUE),
            _account(FALSE, "CoverageLow"),
            [EventReason.ACCOUNT_UNHEALTHY],
            id="turns sick",
        ),
        pytest.param(
            FeedSourceStatus(),
            _account(FALSE, "SessionLost"),
            [EventReason.ACCOUNT_UNHEALTHY],
            id="sick from the first",
        ),
        pytest.param(_account(FALSE, "A"), _account(FALSE, "B"), [], id="sick for another reason"),
        pytest.param(
            _account(FALSE, "A"),
            _account(FALSE, "AccountBanned"),
            [EventReason.ACCOUNT_BANNED],
            id="sick and then banned",
        ),
        pytest.param(
            _account(UNKNOWN),
            _account(FALSE, "AccountBanned"),
            [EventReason.ACCOUNT_BANNED],
            id="banned",
        ),
        pytest.param(
            _account(FALSE, "AccountBanned"), _account(FALSE, "AccountBanned"), [], id="as before"
        ),
        pytest.param(_account(FALSE, "A"), _account(UNKNOWN), [], id="starts anew"),
        pytest.param(
            _account(FALSE, "A"), _account(TRUE), [EventReason.ACCOUNT_RECOVERED], id="recovers"
        ),
        pytest.param(_account(UNKNOWN), _account(TRUE), [], id="comes up"),
    ],
)
def test_turn_of_an_account_is_told(
    before: FeedSourceStatus, after: FeedSourceStatus, expected: list[EventReason]
) -> None:
    assert _reasons(before, after) == expected


def test_two_publishers_are_told_once() -> None:
    conflict = _status((DEGRADED, TRUE, Reason.LEASE_CONFLICT))
    assert _reasons(WELL, conflict) == [EventReason.DEGRADED, EventReason.LEASE_CONFLICT]
    assert _reasons(conflict, conflict) == []
    low = _status((DEGRADED, TRUE, Reason.COVERAGE_LOW))
    assert _reasons(low, conflict) == [EventReason.LEASE_CONFLICT]


def _rolling(*said: Said, revision: str = "r1", reason: str = "SpecChanged") -> FeedSourceStatus:
    rollout = RolloutStatus(revision=revision, reason=reason, feeders=2)
    return _status(*said, rollout=rollout)


def test_rollout_is_told_from_beginning_to_end() -> None:
    assert _reasons(WELL, _rolling()) == [EventReason.ROLLOUT_STARTED]
    assert _reasons(_rolling(), _rolling()) == []
    assert _reasons(_rolling(), _rolling(revision="r2")) == [EventReason.ROLLOUT_STARTED]
    assert _reasons(_rolling(), WELL) == [EventReason.ROLLOUT_COMPLETED]
    stuck = _rolling((DEGRADED, TRUE, Reason.ROLLOUT_STUCK))
    assert EventReason.ROLLOUT_STUCK in _reasons(_rolling(), stuck)


def test_standby_being_replaced_is_no_news() -> None:
    redundant = _status((REDUNDANT, TRUE, Reason.STANDBY_READY))
    rolling = _rolling((REDUNDANT, FALSE, Reason.ROLLING_OUT))
    assert _reasons(redundant, rolling) == [EventReason.ROLLOUT_STARTED]
    lost = _rolling((REDUNDANT, FALSE, Reason.STANDBY_NOT_READY))
    assert EventReason.REDUNDANCY_LOST in _reasons(redundant, lost)


def test_planned_restart_raises_no_alarm() -> None:
    streaming = (ConditionType.STREAMING, TRUE, Reason.ACTIVE_HEALTHY)
    starting = (ConditionType.STREAMING, FALSE, Reason.STARTING)
    planned = _rolling(starting, reason="PlannedRestart")
    assert _reasons(_status(streaming), planned) == [EventReason.ROLLOUT_STARTED]
    changed = _rolling(starting)
    assert EventReason.STREAMING_LOST in _reasons(_status(streaming), changed)
    stuck = _rolling((DEGRADED, TRUE, Reason.ROLLOUT_STUCK), reason="PlannedRestart")
    assert EventReason.ROLLOUT_STUCK in _reasons(planned, stuck)


def test_pause_is_no_failover() -> None:
    record = FailoverStatus(epoch=1, active="a")
    accounts = (*_account(TRUE).accounts, *_account(TRUE).accounts)
    named = tuple(
        entry.model_copy(update={"name": name})
        for entry, name in zip(accounts, ("a", "b"), strict=True)
    )
    before = _status(active_account="a", failover=record, accounts=named)
    paused = (ConditionType.PAUSED, TRUE, Reason.PAUSED_BY_SPEC)
    after = _status(paused, failover=record, accounts=named)
    assert _reasons(before, after) == [EventReason.PAUSED]
    silent = _status(failover=record, accounts=named)
    assert _reasons(before, silent) == [EventReason.FAILOVER_STARTED]


ACCEPTED, READY, STREAMING = ConditionType.ACCEPTED, ConditionType.READY, ConditionType.STREAMING


@pytest.mark.parametrize(
    ("kind", "reason", "good", "bad"),
    [
        pytest.param(
            ACCEPTED,
            Reason.INVALID_SPEC,
            EventReason.SPEC_ACCEPTED,
            EventReason.SPEC_REFUSED,
            id="accepted",
        ),
        pytest.param(
            READY,
            Reason.COVERAGE_LOW,
            EventReason.BECAME_READY,
            EventReason.BECAME_UNREADY,
            id="ready",
        ),
        pytest.param(
            STREAMING,
            Reason.SESSION_LOST,
            EventReason.STREAMING_STARTED,
            EventReason.STREAMING_LOST,
            id="streaming",
        ),
    ],
)
def test_turn_of_a_condition_is_told_both_ways(
    kind: ConditionType, reason: Reason, good: EventReason, bad: EventReason
) -> None:
    well, ill = _status((kind, TRUE, Reason.VALID)), _status((kind, FALSE, reason))
    assert _reasons(well, ill) == [bad]
    assert _reasons(ill, well) == [good]


def test_end_of_a_fault_is_told() -> None:
    ill = _status((DEGRADED, TRUE, Reason.SINK_UNAVAILABLE))
    assert _reasons(WELL, ill) == [EventReason.DEGRADED]
    assert _reasons(ill, WELL) == [EventReason.RECOVERED]


def test_pause_is_told_both_ways() -> None:
    paused = _status((ConditionType.PAUSED, TRUE, Reason.PAUSED_BY_SPEC))
    running = _status((ConditionType.PAUSED, FALSE, Reason.NOT_PAUSED))
    assert _reasons(running, paused) == [EventReason.PAUSED]
    assert _reasons(paused, running) == [EventReason.RESUMED]
