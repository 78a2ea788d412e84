from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core import sequence as module
from feedplane_feeder.core.sequence import GRACE_NS, Place, Sequence


def place(sequence: Sequence, number: int, now_ns: int = 0) -> Place:
    return sequence.place(number - 1, number, now_ns, "sequence")


def holes(sequence: Sequence, now_ns: int) -> list[tuple[int, int]]:
    return [(hole.first, hole.last) for hole in sequence.expire(now_ns)]


def test_sequence_first_number_is_new_wherever_it_begins() -> None:
    sequence = Sequence()
    assert place(sequence, 500) is Place.NEW
    assert place(sequence, 501) is Place.NEW
    assert sequence.next == 502
    assert sequence.first_missing is None


def test_sequence_jump_becomes_a_gap_after_the_grace() -> None:
    sequence = Sequence()
    place(sequence, 1)
    assert place(sequence, 5, now_ns=7) is Place.JUMPED
    assert sequence.first_missing == 2
    assert holes(sequence, 7 + GRACE_NS - 1) == []
    assert holes(sequence, 7 + GRACE_NS) == [(2, 4)]
    assert holes(sequence, 7 + GRACE_NS) == []


def test_sequence_late_number_fills_its_hole() -> None:
    sequence = Sequence()
    for number in (1, 5):
        place(sequence, number)
    assert place(sequence, 3) is Place.FILLED
    assert place(sequence, 3) is Place.DUPLICATE
    assert holes(sequence, GRACE_NS) == [(2, 2), (4, 4)]


def test_sequence_interval_over_the_end_overlaps() -> None:
    sequence = Sequence()
    sequence.place(0, 10, 0, "sequence")
    assert sequence.place(5, 15, 0, "sequence") is Place.OVERLAPPED
    assert sequence.place(5, 12, 0, "sequence") is Place.DUPLICATE
    assert sequence.next == 16


def test_sequence_with_too_many_holes_gives_up_the_oldest() -> None:
    sequence = Sequence()
    for number in range(0, 2 * module.HOLES + 20, 2):
        place(sequence, number)
    expired = holes(sequence, 1)
    assert expired
    assert expired[0] == (1, 1)
    assert len(sequence._holes) == module.HOLES


def test_sequence_at_the_end_gives_up_everything() -> None:
    sequence = Sequence()
    for number in (1, 3):
        place(sequence, number)
    assert [hole.first for hole in sequence.expire(0, everything=True)] == [2]


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=80))
def test_sequence_of_any_arrivals_accounts_for_every_number(arrivals: list[int]) -> None:
    sequence = Sequence()
    kept = [number for number in arrivals if place(sequence, number) is not Place.DUPLICATE]
    missing = {
        number
        for hole in sequence.expire(0, everything=True)
        for number in range(hole.first, hole.last + 1)
    }
    first, last = arrivals[0], max(arrivals)
    assert len(kept) == len(set(kept))
    assert set(kept).isdisjoint(missing)
    # What lies before the very first number was never promised.
    expected = set(range(first, last + 1))
    assert {number for number in kept if number >= first} | missing == expected


@given(st.data())
def test_sequence_of_regrouped_intervals_leaves_no_hole(data: st.DataObject) -> None:
    cuts_a = sorted(data.draw(st.sets(st.integers(1, 39), max_size=10)) | {0, 40})
    cuts_b = sorted(data.draw(st.sets(st.integers(1, 39), max_size=10)) | {0, 40})
    intervals = [*pairwise(cuts_a), *pairwise(cuts_b)]
    sequence = Sequence()
    sequence.place(-1, 0, 0, "sequence")
    for after, to in data.draw(st.permutations(intervals)):
        sequence.place(after, to, 0, "sequence")
    assert sequence.expire(0, everything=True) == []
    assert sequence.next == 41
