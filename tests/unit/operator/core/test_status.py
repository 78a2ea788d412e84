from datetime import timedelta

import pytest
from support_plans import NOW

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason
from feedplane_api.feed_source import FeedSourceStatus
from feedplane_operator.core.status import (
    changed_status,
    no,
    note_turns,
    read_status,
    settle,
    write_conditions,
    yes,
)
from feedplane_operator.events import EventReason

READY = ConditionType.READY
TURNS = (
    (READY, ConditionStatus.TRUE, EventReason.BECAME_READY),
    (READY, ConditionStatus.FALSE, EventReason.BECAME_UNREADY),
)


def test_condition_never_judged_begins_unknown() -> None:
    (said,) = write_conditions((), {READY: None}, 1, NOW)
    assert (said.status, said.reason) == (ConditionStatus.UNKNOWN, "AwaitingObservation")


def test_condition_not_judged_stays_as_it_was() -> None:
    before = write_conditions((), {READY: yes(Reason.ALL_LIVE)}, 1, NOW)
    assert write_conditions(before, {READY: None}, 2, NOW + timedelta(hours=1)) == before


def test_condition_with_another_message_keeps_its_time() -> None:
    before = write_conditions((), {READY: yes(Reason.ALL_LIVE, "9 of 9")}, 1, NOW)
    later = NOW + timedelta(hours=1)
    (said,) = write_conditions(before, {READY: yes(Reason.ALL_LIVE, "8 of 9")}, 1, later)
    assert said.message == "8 of 9"
    assert said.last_transition_time == NOW


def test_status_of_another_shape_counts_as_none() -> None:
    assert read_status(FeedSourceStatus, {"status": {"conditions": 5}}) == FeedSourceStatus()
    assert read_status(FeedSourceStatus, {}) == FeedSourceStatus()


def test_status_that_says_the_same_is_not_written() -> None:
    status = FeedSourceStatus(active_account="a")
    assert changed_status(status, status) is None
    assert changed_status(FeedSourceStatus(), status) == {
        "activeAccount": "a",
        "conditions": [],
        "accounts": [],
    }


@pytest.mark.parametrize(
    ("before", "value", "settled"),
    [
        pytest.param(None, 1234, 1200, id="two digits"),
        pytest.param(None, 7, 7, id="a small number as it is"),
        pytest.param(1200, 1499, 1200, id="a small change"),
        pytest.param(1200, 1501, 1500, id="a large change"),
        pytest.param(1200, 0, 0, id="silence"),
        pytest.param(0, 0, 0, id="silence as before"),
        pytest.param(0, 3, 3, id="the end of silence"),
        pytest.param(1200, None, None, id="nothing known"),
    ],
)
def test_number_settles_unless_it_changes_much(
    before: int | None, value: int | None, settled: int | None
) -> None:
    assert settle(before, value) == settled


def test_turn_of_a_condition_is_one_event() -> None:
    good = write_conditions((), {READY: yes(Reason.ALL_LIVE)}, 1, NOW)
    bad = write_conditions(good, {READY: no(Reason.SESSION_LOST, "gone")}, 1, NOW)
    assert [note.reason for note in note_turns((), good, TURNS)] == [EventReason.BECAME_READY]
    (note,) = note_turns(good, bad, TURNS)
    assert (note.reason, note.message, note.warning) == (EventReason.BECAME_UNREADY, "gone", True)
    assert note_turns(bad, bad, TURNS) == ()


def test_first_word_on_a_condition_can_be_silent() -> None:
    bad = write_conditions((), {READY: no(Reason.STARTING)}, 1, NOW)
    silent = frozenset({EventReason.BECAME_UNREADY})
    assert note_turns((), bad, TURNS, silent_first=silent) == ()
    assert len(note_turns((), bad, TURNS)) == 1


def test_condition_that_is_absent_turns_nothing() -> None:
    assert note_turns((), (), TURNS) == ()
