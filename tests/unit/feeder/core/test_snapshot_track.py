from typing import Any

import pytest

from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.records import GapCause, Snapshot, snapshot_fingerprint

CHANNEL = Channel("rb2605", "snapshot")
RB = "RB2605.FUTURES"
DAY = "2026-01-05"


def make(ts_event: int, volume: int, *, day: str = DAY, mark: object = "") -> Snapshot:
    return Snapshot(
        instrument_id=RB,
        ts_event=ts_event,
        ts_recv=ts_event + 7,
        trading_day=day,
        fingerprint=snapshot_fingerprint(day, volume, mark),
        volume=volume,
    )


def take(tape: Tape, *snapshots: Snapshot, now_ns: int = 1) -> Any:
    return tape.take(snapshots, now_ns)


def test_rising_snapshots_pass_in_their_order() -> None:
    given = [make(10, 5), make(20, 5, mark="bid moved"), make(30, 9)]
    taken = take(Tape("v"), *given)
    assert taken.records == given
    assert taken.counts == {"snapshot": 3}
    assert taken.gaps == []


def test_second_copy_is_counted_and_dropped() -> None:
    tape = Tape("v")
    take(tape, make(10, 5), make(20, 6))
    taken = take(tape, make(10, 5), make(20, 6))
    assert (taken.records, taken.duplicates) == ([], {"snapshot": 2})


def test_late_snapshot_is_kept_and_counted() -> None:
    tape = Tape("v")
    take(tape, make(10, 5), make(30, 9))
    taken = take(tape, make(20, 7))
    assert [each.volume for each in taken.records] == [7]
    assert taken.out_of_order == {"snapshot": 1}


def test_lower_volume_within_one_second_is_only_late() -> None:
    tape = Tape("v")
    take(tape, make(10, 9))
    assert len(take(tape, make(10, 8)).records) == 1


@pytest.mark.parametrize(
    ("ts_event", "volume"),
    [pytest.param(30, 4, id="later with less"), pytest.param(5, 6, id="earlier with more")],
)
def test_volume_against_time_goes_to_quarantine(ts_event: int, volume: int) -> None:
    tape = Tape("v")
    take(tape, make(10, 5))
    taken = take(tape, make(ts_event, volume))
    assert taken.records == []
    assert [(row.channel, row.reason, row.venue) for row in taken.quarantined] == [
        ("snapshot", "VolumeRegression", "v")
    ]


def test_new_trading_day_starts_its_volume_anew() -> None:
    tape = Tape("v")
    take(tape, make(10, 500))
    assert len(take(tape, make(99, 1, day="2026-01-06")).records) == 1


def test_snapshot_of_a_day_that_is_over_is_dropped() -> None:
    tape = Tape("v")
    take(tape, make(99, 1, day="2026-01-06"))
    taken = take(tape, make(100, 500))
    assert (taken.records, taken.out_of_order) == ([], {"snapshot": 1})


def test_interruption_leaves_a_gap_in_time() -> None:
    tape = Tape("v")
    take(tape, make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 15)
    tape.sweep(16)
    (gap,) = take(tape, make(40, 9), now_ns=41).gaps
    assert (gap.channel, gap.cause, gap.from_ts, gap.to_ts) == ("snapshot", "disconnect", 10, 40)
    assert take(tape, make(50, 9, mark="more")).gaps == []
    assert tape.span(RB, "snapshot") == (40, 50)


def test_same_snapshot_after_an_interruption_leaves_no_gap() -> None:
    tape = Tape("v")
    take(tape, make(5, 4), make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 15)
    assert take(tape, make(10, 5)).gaps == []
    assert take(tape, make(40, 9)).gaps == []
    assert tape.span(RB, "snapshot") == (5, 40)


def test_older_copy_after_an_interruption_proves_nothing() -> None:
    tape = Tape("v")
    take(tape, make(5, 4), make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 15)
    take(tape, make(5, 4), make(7, 5))
    assert tape.span(RB, "snapshot") == (5, 10)
    (gap,) = take(tape, make(40, 9)).gaps
    assert (gap.from_ts, gap.to_ts) == (10, 40)


def test_doubt_may_begin_before_newer_snapshots() -> None:
    tape = Tape("v")
    take(tape, make(5, 4), make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 15, since_ts=5)
    (gap,) = take(tape, make(40, 9)).gaps
    assert (gap.from_ts, gap.to_ts) == (5, 40)


def test_forgotten_channel_starts_from_nothing() -> None:
    tape = Tape("v")
    take(tape, make(10, 5))
    tape.forget(CHANNEL, RB, 20)
    assert tape.span(RB, "snapshot") is None
    assert tape.last_recv(CHANNEL, RB) == 0
    assert len(take(tape, make(10, 5)).records) == 1


def test_interruption_before_the_first_snapshot_costs_nothing() -> None:
    tape = Tape("v")
    tape.interrupt(CHANNEL, RB, GapCause.DISCONNECT, 5)
    assert take(tape, make(10, 5)).gaps == []


@pytest.mark.parametrize(
    "together",
    [
        pytest.param([make(20, 6), make(30, 7)], id="newer ones"),
        pytest.param([make(10, 5)], id="the whole list of a new connection, unchanged"),
    ],
)
def test_snapshots_read_with_an_unreadable_frame_end_no_doubt(together: list[Snapshot]) -> None:
    tape = Tape("v")
    take(tape, make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.MALFORMED, 2)
    assert take(tape, *together, now_ns=2).gaps == []
    (gap,) = take(tape, make(90, 9), now_ns=3).gaps
    assert (gap.cause, gap.from_ts, gap.to_ts) == ("malformed", 10, 90)


def test_unreadable_last_frame_is_named_on_closing() -> None:
    tape = Tape("v")
    take(tape, make(10, 5))
    tape.interrupt(CHANNEL, RB, GapCause.MALFORMED, 2)
    take(tape, make(20, 6), now_ns=2)
    (gap,) = tape.sweep(900, closing=True).gaps
    assert (gap.cause, gap.from_ts, gap.to_ts) == ("malformed", 10, 900)
    assert tape.sweep(901, closing=True).gaps == []
