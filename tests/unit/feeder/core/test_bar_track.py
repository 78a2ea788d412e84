from hypothesis import given
from hypothesis import strategies as st
from support_sinks import MINUTE_NS, START_NS, make_bar

from feedplane_feeder.core.bar_track import BarTrack
from feedplane_feeder.core.sequence import GRACE_NS
from feedplane_feeder.core.taken import Taken
from feedplane_feeder.records import Bar


def bar(minute: int, version: int = 1, *, final: bool = True) -> Bar:
    return make_bar(minute, version=version, final=final, close=f"1.{version}")


def take(track: BarTrack, now_ns: int, *bars: Bar) -> Taken:
    taken = Taken()
    for each in bars:
        track.take_into(taken, each, now_ns, dense=True)
    return taken


def expire(track: BarTrack, now_ns: int) -> Taken:
    taken = Taken()
    track.expire(taken, now_ns)
    return taken


def test_final_bar_that_comes_late_is_kept_in_its_place() -> None:
    track = BarTrack()
    take(track, 1, bar(1, 3, final=False))
    ahead = take(track, 2, bar(2, 1, final=False), bar(2, 2, final=False))
    assert (ahead.records, ahead.gaps) == ([], [])
    taken = take(track, 3, bar(1, 4))
    assert taken.records == [bar(1, 4), bar(2, 1, final=False), bar(2, 2, final=False)]
    assert taken.counts == {"bar": 3}
    assert taken.out_of_order == {"bar": 1}
    assert expire(track, 10**12).gaps == []


def test_bars_wait_until_the_whole_hole_came_or_was_named() -> None:
    track = BarTrack()
    take(track, 1, bar(1))
    assert take(track, 2, bar(5), bar(3)).records == []
    assert expire(track, 1 + GRACE_NS).gaps == []
    assert take(track, 3, bar(2)).records == []
    named = expire(track, 2 + GRACE_NS)
    assert [(gap.from_ts, gap.to_ts, gap.cause) for gap in named.gaps] == [
        (START_NS + 4 * MINUTE_NS, START_NS + 4 * MINUTE_NS, "sequence")
    ]
    assert named.records == [bar(2), bar(3), bar(5)]


def test_bar_later_than_its_gap_is_kept_once() -> None:
    track = BarTrack()
    take(track, 1, bar(1), bar(3))
    assert len(expire(track, 1 + GRACE_NS).gaps) == 1
    taken = take(track, 2 + GRACE_NS, bar(2), bar(2))
    assert taken.records == [bar(2)]
    assert taken.duplicates == {"bar": 1}


@given(st.permutations(range(1, 9)), st.integers(min_value=1, max_value=4))
def test_final_bars_in_any_order_are_there_once(order: list[int], size: int) -> None:
    track = BarTrack()
    taken = [take(track, 0, bar(0))]
    for start in range(0, len(order), size):
        taken.append(take(track, start, *map(bar, order[start : start + size])))
        taken.append(expire(track, start))
    assert [gap for each in taken for gap in each.gaps] == []
    records = [record for each in taken for record in each.records if isinstance(record, Bar)]
    assert sorted(records, key=lambda record: record.ts_open) == list(map(bar, range(9)))
