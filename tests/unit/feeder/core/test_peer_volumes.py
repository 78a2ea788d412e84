from collections.abc import Callable, Sequence

import pytest

from feedplane_feeder.core.peer_volumes import LOOK_BACK, SLICE_NS, Span, VolumeTally
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.records import GapCause, Metric, Snapshot, snapshot_fingerprint

RB = "RB2605.FUTURES"
CHANNEL = Channel("rb2605", "snapshot")
SECOND = 1_000_000_000


def make(second: float, volume: int, instrument_id: str = RB) -> Snapshot:
    ts_event = int(second * SECOND)
    return Snapshot(
        instrument_id=instrument_id,
        ts_event=ts_event,
        ts_recv=ts_event,
        trading_day="2026-01-05",
        fingerprint=snapshot_fingerprint(second, volume),
        volume=volume,
    )


def always(*_: str) -> Sequence[Span]:
    return [(0, 1_000 * SLICE_NS)]


def collected(
    tally: VolumeTally, spans: Callable[[str, str], Sequence[Span]] = always
) -> dict[int, int]:
    return {each.number: each.volumes for each in tally.collect(spans)}


def test_slices_that_are_over_count_different_volumes() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(2, 5), make(3, 8), make(12, 9), make(13, 11), make(25, 12)])
    assert collected(tally) == {0: 2, 1: 2}
    assert collected(tally) == {}
    tally.note([make(31, 13)])
    assert collected(tally) == {2: 1}


def test_other_records_and_instruments_stand_apart() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(1, 6, "m.FUTURES"), Metric(RB, "x", SECOND, SECOND, "1")])
    tally.note([make(11, 7), make(11, 7, "m.FUTURES")])
    found = {(each.instrument_id, each.number): each.volumes for each in tally.collect(always)}
    assert found == {(RB, 0): 1, ("m.FUTURES", 0): 1}


def test_slice_in_which_nothing_came_counts_nothing() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(31, 6)])
    assert collected(tally) == {0: 1, 1: 0, 2: 0}


def test_what_is_too_long_ago_is_not_looked_at() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(10 * LOOK_BACK + 25, 6)])
    assert min(collected(tally)) == 2
    assert set(tally._slices[RB]) == set(range(2, LOOK_BACK + 3))


@pytest.mark.parametrize(
    ("spans", "numbers"),
    [
        ([], set()),
        ([(0, 30 * SECOND)], {0, 1, 2}),
        ([(1, 30 * SECOND)], {1, 2}),
        ([(0, 30 * SECOND - 1)], {0, 1}),
        ([(0, 15 * SECOND), (16 * SECOND, 30 * SECOND)], {0, 2}),
    ],
    ids=["no channel", "unbroken", "began within a slice", "ended within a slice", "broken"],
)
def test_only_unbroken_slices_are_looked_at(spans: list[Span], numbers: set[int]) -> None:
    tally = VolumeTally()
    tally.note([make(second, second) for second in range(1, 40)])
    assert set(collected(tally, lambda *_: spans)) == numbers


def test_volumes_that_the_tape_has_beyond_ours_were_missed() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(2, 9), make(11, 12), make(21, 13)])
    slices = tally.collect(always)
    assert tally.compare(slices, {(RB, 0): 4, (RB, 1): 2}) == {RB: 3}
    assert tally.missed == 3


def test_tape_that_has_ours_or_less_proves_nothing() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(2, 9), make(11, 12), make(21, 13)])
    assert tally.compare(tally.collect(always), {(RB, 0): 2}) == {}
    assert tally.missed == 0


def test_snapshot_that_comes_late_is_not_missed() -> None:
    tally = VolumeTally()
    tally.note([make(1, 5), make(5, 9), make(11, 12)])
    slices = tally.collect(always)
    tally.note([make(3, 7)])
    assert tally.compare(slices, {(RB, 0): 3}) == {}


def test_interruption_that_has_a_gap_is_not_counted_again() -> None:
    tape, tally = Tape("v"), VolumeTally()

    def read(*seconds: float) -> None:
        for second in seconds:
            tally.note(tape.take([make(second, int(10 * second))], int(second * SECOND)).records)

    read(9.5, 11, 19, 21)
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 22 * SECOND)
    assert set(collected(tally, lambda name, _: tape.spans(name, "snapshot"))) == {1}
    read(33, 39, 41, 55)
    assert set(collected(tally, lambda name, _: tape.spans(name, "snapshot"))) == {4}
