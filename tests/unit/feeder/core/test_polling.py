"""When polls go out, and how long a refused address waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.polling import (
    SECOND_NS,
    AnswerHead,
    Cooldown,
    HttpTerms,
    Poll,
    PollPlan,
    PollSchedule,
    frame_answer,
    parse_plan,
    render_plan,
    split_answer,
)
from feedplane_feeder.errors import MalformedFrameError

S = SECOND_NS


def build_plan(*keys: str, period: int = 5, spacing: int = 1) -> PollPlan:
    polls = tuple(Poll(key, f"http://venue/{key}") for key in keys)
    return PollPlan(period_ns=period * S, spacing_ns=spacing * S, polls=polls)


def started(*keys: str, concurrency: int = 4, period: int = 5) -> PollSchedule:
    schedule = PollSchedule(concurrency)
    schedule.adopt(build_plan(*keys, period=period), 100 * S)
    return schedule


def take(schedule: PollSchedule, second: float) -> list[str]:
    return [poll.key for poll in schedule.take_due(int(second * S))]


def take_and_answer(schedule: PollSchedule, second: float) -> list[str]:
    keys = take(schedule, second)
    for key in keys:
        schedule.done(key)
    return keys


def test_polls_go_out_at_their_phases_each_period() -> None:
    schedule = started("a", "b", "c")
    sent = {second: take_and_answer(schedule, second) for second in range(100, 111)}
    assert {second: keys for second, keys in sent.items() if keys} == {
        100: ["a"], 101: ["b"], 102: ["c"], 105: ["a"], 106: ["b"], 107: ["c"], 110: ["a"],
    }  # fmt: skip
    assert schedule.take_late() == 0


def test_phase_holds_when_answers_and_looks_are_slow() -> None:
    schedule = started("a")
    assert take_and_answer(schedule, 100.4) == ["a"]
    assert schedule.next_ns() == 105 * S
    assert take_and_answer(schedule, 105.3) == ["a"]
    assert schedule.next_ns() == 110 * S
    assert schedule.take_late() == 0


def test_poll_never_overlaps_itself_and_the_missed_turn_counts() -> None:
    schedule = started("a")
    assert take(schedule, 100) == ["a"]
    assert take(schedule, 105) == []
    schedule.done("a")
    assert take(schedule, 109) == []
    assert take(schedule, 110) == ["a"]
    assert schedule.take_late() == 1
    assert schedule.take_late() == 0


def test_poll_that_goes_out_late_counts_with_the_turns_it_missed() -> None:
    schedule = started("a")
    assert take_and_answer(schedule, 112) == ["a"]
    assert schedule.take_late() == 3
    assert schedule.next_ns() == 115 * S


def test_polls_beyond_the_concurrency_wait_for_an_answer() -> None:
    schedule = started("a", "b", concurrency=1)
    assert take(schedule, 101) == ["a"]
    assert schedule.next_ns() is None
    schedule.done("a")
    assert schedule.next_ns() == 101 * S
    assert take(schedule, 101.2) == ["b"]


def test_new_plan_leaves_the_times_of_what_stays() -> None:
    schedule = started("a", "b")
    take_and_answer(schedule, 101)
    schedule.adopt(build_plan("a", "b", "c"), 103 * S)
    sent = {second: take_and_answer(schedule, second) for second in range(103, 108)}
    assert sent == {103: [], 104: [], 105: ["a"], 106: ["b"], 107: ["c"]}


def test_new_plan_moves_what_has_another_place_or_pace() -> None:
    schedule = started("a", "b")
    take_and_answer(schedule, 101)
    schedule.adopt(build_plan("b", period=10), 103 * S)
    assert schedule.next_ns() == 110 * S


def test_poll_that_left_the_plan_gives_its_place_free() -> None:
    schedule = started("a", concurrency=1)
    assert take(schedule, 100) == ["a"]
    schedule.adopt(build_plan("b"), 101 * S)
    schedule.done("a")
    assert take(schedule, 105) == ["b"]


def test_empty_plan_has_nothing_due() -> None:
    schedule = PollSchedule(2)
    schedule.adopt(build_plan(), 0)
    assert schedule.next_ns() is None
    assert schedule.take_due(S) == []


def rested(*keys: str) -> PollSchedule:
    """Each poll was answered at 100 and 105, and rests until 123 after that."""
    schedule = started(*keys)
    take_and_answer(schedule, 100)
    take_and_answer(schedule, 105)
    schedule.rest(123 * S, 107 * S)
    return schedule


def test_rest_puts_turns_off_to_their_phase_after_it() -> None:
    schedule = rested("a")
    assert schedule.next_ns() == 125 * S
    sent = {second: take_and_answer(schedule, second) for second in range(107, 132)}
    assert [second for second, keys in sent.items() if keys] == [125, 130]
    assert schedule.take_late() == 0


def test_rest_that_is_taken_back_ends_now() -> None:
    schedule = rested("a")
    schedule.rest(0, 112 * S)
    assert schedule.rest_until_ns == 112 * S
    assert schedule.next_ns() == 115 * S
    assert take_and_answer(schedule, 115) == ["a"]
    assert schedule.take_late() == 0
    schedule.rest(0, 118 * S)
    assert schedule.rest_until_ns == 112 * S


def test_rest_may_be_told_again_and_made_longer() -> None:
    schedule = rested("a")
    schedule.rest(123 * S, 110 * S)
    assert schedule.next_ns() == 125 * S
    schedule.rest(125 * S, 111 * S)
    assert schedule.next_ns() == 125 * S
    schedule.rest(126 * S, 112 * S)
    assert schedule.next_ns() == 130 * S


def test_poll_is_answered_twice_before_it_rests() -> None:
    schedule = started("a")
    schedule.rest(200 * S, 100 * S)
    assert take(schedule, 100) == ["a"]
    schedule.done("a", answered=False)
    sent = {second: take_and_answer(schedule, second) for second in range(101, 121)}
    assert [second for second, keys in sent.items() if keys] == [105, 110]
    assert schedule.next_ns() == 200 * S


def test_poll_that_asks_for_something_else_does_not_rest_yet() -> None:
    schedule = rested("a", "b")
    other = PollPlan(
        period_ns=5 * S, spacing_ns=S, polls=(Poll("a", "http://venue/other"), Poll("b", "b"))
    )
    schedule.adopt(other, 108 * S)
    sent = {second: take_and_answer(schedule, second) for second in range(108, 127)}
    assert {second: keys for second, keys in sent.items() if "a" in keys} == {
        110: ["a"], 115: ["a"], 125: ["a"],
    }  # fmt: skip


def test_poll_under_way_when_a_rest_begins_counts_no_late_turn() -> None:
    schedule = started("a")
    take_and_answer(schedule, 100)
    take_and_answer(schedule, 105)
    assert take(schedule, 110) == ["a"]
    schedule.rest(123 * S, 112 * S)
    assert take(schedule, 120) == []
    schedule.done("a")
    assert take(schedule, 125) == ["a"]
    assert schedule.take_late() == 0


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_polls_never_overlap_nor_exceed_the_concurrency(
    looks: list[tuple[float, bool]], concurrency: int, count: int
) -> None:
    keys = [str(number) for number in range(count)]
    schedule = started(*keys, concurrency=concurrency, period=3)
    under_way: list[str] = []
    second = 100.0
    for pause, answered in looks:
        second += pause
        due = take(schedule, second)
        assert not set(due) & set(under_way)
        under_way += due
        assert len(under_way) <= concurrency
        if answered and under_way:
            schedule.done(under_way.pop(0))


def test_plan_and_answer_survive_their_texts() -> None:
    plan = build_plan("a", "b")
    assert parse_plan(render_plan(plan)) == plan
    head = AnswerHead("batch-0", late=3)
    assert split_answer(frame_answer(head, b'{"data":\n[]}')) == (head, b'{"data":\n[]}')


@pytest.mark.parametrize("frame", [b"", b"{}", b"{}\n", b"nonsense\nbody", b'\xff{"poll":1}\n'])
def test_frame_without_a_head_is_malformed(frame: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        split_answer(frame)


def test_ban_without_an_end_grows_up_to_its_cap() -> None:
    cooldown = Cooldown(HttpTerms(ban_seconds=10, ban_cap_seconds=35))
    assert [cooldown.ban(0, "HTTP 403") for _ in range(4)] == [10, 20, 35, 35]
    assert cooldown.left_seconds(30 * S) == 5
    cooldown.answered()
    assert cooldown.ban(100 * S, "HTTP 403") == 10


def test_ban_with_an_end_lasts_as_told() -> None:
    cooldown = Cooldown(HttpTerms(ban_seconds=10))
    assert cooldown.ban(0, "HTTP 429", 7.5) == 7.5
    assert cooldown.left_seconds(0) == 7.5
    assert cooldown.left_seconds(8 * S) == 0
    assert cooldown.ban(8 * S, "HTTP 403") == 10


def test_requests_cut_off_in_a_row_amount_to_a_ban() -> None:
    cooldown = Cooldown(HttpTerms(resets_to_ban=3, ban_seconds=60))
    assert not cooldown.unanswered(0)
    cooldown.answered()
    assert [cooldown.unanswered(0) for _ in range(3)] == [False, False, True]
    assert cooldown.left_seconds(0) == 60
    assert "3 requests" in cooldown.reason


def test_venue_without_such_bans_may_cut_off_for_ever() -> None:
    cooldown = Cooldown(HttpTerms())
    assert not any(cooldown.unanswered(0) for _ in range(100))
