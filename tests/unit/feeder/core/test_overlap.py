from feedplane_feeder.core.overlap import HEARD_NS, OVERLAP_NS, find_unsure, is_stuck
from feedplane_feeder.core.ports import Channel

A = Channel("A", "quote")
B = Channel("B", "quote")


def test_channel_is_sure_once_the_old_one_was_read_long_after() -> None:
    confirmed = {A: 100, B: 101}
    assert find_unsure(confirmed, 100 + OVERLAP_NS) == [B]
    assert find_unsure(confirmed, 90) == [A, B]
    assert find_unsure(confirmed, 101 + OVERLAP_NS) == []


def test_what_was_never_confirmed_is_no_question_of_overlap() -> None:
    assert find_unsure({}, 0) == []


def test_old_one_is_stuck_when_only_the_new_one_brings_records() -> None:
    confirmed = {A: 100, B: 200}
    assert is_stuck(confirmed, 199, 200 + HEARD_NS)
    assert not is_stuck(confirmed, 200, 200 + HEARD_NS)
    assert not is_stuck(confirmed, 199, 199 + HEARD_NS)
    assert not is_stuck({}, 0, 2 * HEARD_NS)
