from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from feedplane_api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    find_condition,
    set_condition,
)

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
WHOLE = NOW.replace(microsecond=0)
LATER = NOW + timedelta(minutes=5)

Conditions = tuple[Condition, ...]


def ready(
    conditions: Conditions, status: ConditionStatus, reason: Reason, now: datetime, generation: int
) -> Conditions:
    return set_condition(
        conditions, ConditionType.READY, status, reason, generation=generation, now=now
    )


def test_condition_first_set_gets_its_time() -> None:
    (condition,) = ready((), ConditionStatus.UNKNOWN, Reason.AWAITING_OBSERVATION, NOW, 1)
    assert condition.model_dump(mode="json") == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "AwaitingObservation",
        "message": "Nothing is known yet.",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T10:00:00Z",
    }


def test_condition_kept_status_keeps_its_time() -> None:
    before = ready((), ConditionStatus.FALSE, Reason.STARTING, NOW, 1)
    (after,) = ready(before, ConditionStatus.FALSE, Reason.SESSION_LOST, LATER, 2)
    assert after.last_transition_time == WHOLE
    assert (after.reason, after.observed_generation) == ("SessionLost", 2)


def test_condition_flipped_status_moves_its_time() -> None:
    before = ready((), ConditionStatus.FALSE, Reason.STARTING, NOW, 1)
    (after,) = ready(before, ConditionStatus.TRUE, Reason.ALL_LIVE, LATER, 1)
    assert after.last_transition_time == WHOLE + timedelta(minutes=5)


def test_condition_own_message_replaces_the_sentence() -> None:
    (condition,) = set_condition(
        (),
        ConditionType.ACCEPTED,
        ConditionStatus.FALSE,
        Reason.INVALID_SPEC,
        message="spec.venue: must be set",
        generation=1,
        now=NOW,
    )
    assert condition.message == "spec.venue: must be set"


def test_condition_found_by_type_or_not() -> None:
    conditions = ready((), ConditionStatus.TRUE, Reason.ALL_LIVE, NOW, 1)
    assert find_condition(conditions, ConditionType.READY) == conditions[0]
    assert find_condition(conditions, ConditionType.PAUSED) is None


def test_explained_words_are_plain_text() -> None:
    assert f"{Reason.ALL_LIVE}" == "AllLive"
    assert Reason("AllLive") is Reason.ALL_LIVE


@given(
    kinds=st.lists(st.sampled_from(ConditionType), max_size=12),
    statuses=st.lists(st.sampled_from(ConditionStatus), min_size=12, max_size=12),
)
def test_conditions_stay_sorted_and_settle(
    kinds: list[ConditionType], statuses: list[ConditionStatus]
) -> None:
    def apply(conditions: Conditions, now: datetime) -> Conditions:
        for kind, status in zip(kinds, statuses, strict=False):
            conditions = set_condition(
                iter(conditions), kind, status, Reason.STARTING, generation=1, now=now
            )
        return conditions

    once = apply((), NOW)
    assert [condition.type for condition in once] == sorted(set(kinds))
    if len(set(kinds)) == len(kinds):
        assert apply(once, LATER) == once
