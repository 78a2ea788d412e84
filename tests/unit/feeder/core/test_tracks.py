import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.sequence import GRACE_NS, Place
from feedplane_feeder.core.tracks import SEQUENCE, SLOW, NumberedTrack, QuoteTrack
from feedplane_feeder.records import GapCause, Trade

MALFORMED = GapCause.MALFORMED.value
DISCONNECT = GapCause.DISCONNECT.value


def trade(number: int) -> Trade:
    return Trade("BTCUSDT.X", 1, 1, number, "1", "1", "B")


def take(track: NumberedTrack, number: int) -> list[int]:
    if track.next == number:
        track.next = number + 1
        return [number]
    if track.place(number - 1, number, trade(number), 0) is Place.DUPLICATE:
        return []
    return released(track)


def released(track: NumberedTrack) -> list[int]:
    return [record.trade_id for record in track.release() if isinstance(record, Trade)]


def test_track_in_order_passes_at_first_sight() -> None:
    track = NumberedTrack()
    assert take(track, 7) == [7]
    assert track.next == 8
    assert take(track, 8) == [8]
    assert take(track, 7) == []
    assert track.next == 9


def test_track_behind_a_hole_lets_nothing_pass_at_first_sight() -> None:
    track = NumberedTrack()
    take(track, 1)
    assert track.place(2, 3, trade(3), 0) is Place.JUMPED
    assert track.next == SLOW


def test_track_holds_back_what_stands_behind_a_hole() -> None:
    track = NumberedTrack()
    take(track, 1)
    assert take(track, 3) == []
    assert take(track, 4) == []
    assert take(track, 2) == [2, 3, 4]
    assert track.next == 5


def test_track_after_the_hole_is_given_up_lets_the_rest_through() -> None:
    track = NumberedTrack()
    for number in (1, 3, 5):
        take(track, number)
    assert len(track.sequence.expire(GRACE_NS)) == 2
    assert released(track) == [3, 5]
    assert take(track, 6) == [6]


def test_full_state_ahead_of_its_deltas_waits_for_them() -> None:
    track = NumberedTrack()
    take(track, 1)
    track.hold(3, trade(3_000))
    track.hold(3, trade(3_001))
    assert released(track) == []
    assert take(track, 2) == [2]
    assert take(track, 3) == [3_000, 3_001, 3]
    assert track.next == 4


def test_full_state_before_any_delta_waits() -> None:
    track = NumberedTrack()
    track.hold(3, trade(3))
    assert released(track) == []
    assert track.next == SLOW


def test_interruption_without_cost_leaves_no_cause() -> None:
    track = NumberedTrack()
    track.interrupt("disconnect", 5)
    track.clear_cause()
    assert track.cause == "disconnect"
    track.ts_recv = 6
    track.clear_cause()
    assert track.cause == SEQUENCE


@given(st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=60))
def test_track_of_any_arrivals_lets_each_through_once_in_order(arrivals: list[int]) -> None:
    track = NumberedTrack()
    passed: list[int] = []
    for number in arrivals:
        passed += take(track, number)
        missing = track.sequence.first_missing
        assert missing is None or max(passed) < missing
    track.sequence.expire(0, everything=True)
    passed += released(track)
    assert passed == sorted(set(passed))
    assert set(passed) == {number for number in arrivals if number >= arrivals[0]}


@pytest.mark.parametrize(
    ("cause", "ts_recv", "ends"),
    [
        pytest.param(DISCONNECT, 100, True, id="the first quote of a new connection"),
        pytest.param(MALFORMED, 100, False, id="a quote read together with the bad frame"),
        pytest.param(MALFORMED, 101, True, id="a quote of the next read"),
    ],
)
def test_quote_track_doubt_ends_with_a_later_quote(cause: str, ts_recv: int, ends: bool) -> None:
    track = QuoteTrack()
    track.interrupt(cause, 100)
    assert track.ends_doubt(ts_recv) is ends


def test_quote_track_without_interruption_has_no_doubt() -> None:
    assert not QuoteTrack().ends_doubt(1)


def test_quote_track_second_interruption_keeps_where_doubt_began() -> None:
    track = QuoteTrack()
    track.ts_event = 50
    track.interrupt(MALFORMED, 60)
    track.ts_event = 60
    track.interrupt(DISCONNECT, 70)
    assert (track.stood_at, track.cause, track.since) == (50, DISCONNECT, 70)


def test_quote_track_doubt_may_begin_before_what_came_meanwhile() -> None:
    track = QuoteTrack()
    track.ts_event = 90
    track.interrupt(DISCONNECT, 100, since_ts=50)
    assert track.stood_at == 50
    track.interrupt(DISCONNECT, 110, since_ts=20)
    assert track.stood_at == 50  # an earlier doubt goes on
    later = QuoteTrack()
    later.ts_event = 90
    later.interrupt(DISCONNECT, 100, since_ts=95)
    assert later.stood_at == 90


def test_holes_of_one_read_share_its_cause() -> None:
    track = NumberedTrack()
    track.place(0, 1, trade(1), 0)
    track.interrupt(MALFORMED, 10)
    for number in (3, 5):
        track.place(number - 1, number, trade(number), 10)
    track.place(6, 7, trade(7), 11)
    track.place(8, 9, trade(9), 12)
    holes = track.sequence.expire(12, everything=True)
    assert [hole.cause for hole in holes] == [MALFORMED, MALFORMED, MALFORMED, SEQUENCE]
