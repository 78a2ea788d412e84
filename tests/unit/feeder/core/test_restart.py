"""Restart gaps: exactly what lies between the held tape and the first new record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_sinks import (
    INSTRUMENT,
    MINUTE_NS,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_trade,
)

from feedplane_feeder.core.ports import Watermark
from feedplane_feeder.core.restart import SeenChannels, channel_key, restart_gap
from feedplane_feeder.records import Metric, Record


def held(sequence: int | None, ts_event: int = START_NS) -> Watermark:
    return Watermark(sequence=sequence, ts_event=ts_event)


@pytest.mark.parametrize(
    ("mark", "first", "ids"),
    [
        pytest.param(held(10), make_trade(15), (11, 14), id="trades missed"),
        pytest.param(held(10), make_trade(11), None, id="trades continue"),
        pytest.param(held(10), make_trade(3), None, id="trades are replayed"),
        pytest.param(held(10), make_delta(15, 20), (11, 14), id="deltas missed, no chain printed"),
        pytest.param(held(10), make_delta(11, 20), None, id="deltas continue"),
        pytest.param(held(10), make_delta(15, 20, previous=10), None, id="chain continues"),
        pytest.param(held(10), make_delta(15, 20, previous=13), (11, 13), id="chain broken"),
        pytest.param(
            held(10), make_delta(20, 20, snapshot=True), (11, 20), id="snapshot skips updates"
        ),
        pytest.param(held(10), make_delta(10, 10, snapshot=True), None, id="snapshot is held"),
    ],
)
def test_restart_gap_names_exact_ids(
    mark: Watermark, first: Record, ids: tuple[int, int] | None
) -> None:
    gap = restart_gap(mark, first, START_NS)
    if ids is None:
        assert gap is None
        return
    assert gap is not None
    assert (gap.from_id, gap.to_id, gap.from_ts, gap.cause) == (*ids, None, "restart")
    assert (gap.instrument_id, gap.channel) == channel_key(first)


@pytest.mark.parametrize(
    ("mark", "first", "times"),
    [
        pytest.param(
            held(5, START_NS), make_quote(9), (START_NS, START_NS + 9_000_000), id="quotes missed"
        ),
        pytest.param(held(5), make_quote(6), None, id="the very next quote"),
        pytest.param(held(5), make_quote(4), None, id="quote is replayed"),
        pytest.param(
            held(None, START_NS),
            make_bar(3),
            (START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS),
            id="two bars missed",
        ),
        pytest.param(held(None, START_NS), make_bar(1), None, id="the next bar"),
        pytest.param(held(None, START_NS), make_bar(0), None, id="the same bar"),
        pytest.param(
            held(None, START_NS),
            Metric(INSTRUMENT, "funding", START_NS + 7, START_NS + 8, "0.0001"),
            (START_NS, START_NS + 7),
            id="metric after a while",
        ),
    ],
)
def test_restart_gap_names_exact_times(
    mark: Watermark, first: Record, times: tuple[int, int] | None
) -> None:
    gap = restart_gap(mark, first, START_NS)
    if times is None:
        assert gap is None
        return
    assert gap is not None
    assert (gap.from_ts, gap.to_ts, gap.from_id) == (*times, None)


@pytest.mark.parametrize("first", [make_trade(5), make_delta(5, 6), make_bar(5)])
def test_restart_gap_without_held_tape_is_none(first: Record) -> None:
    assert restart_gap(None, first, START_NS) is None


def test_restart_gap_without_held_number_is_none() -> None:
    assert restart_gap(held(None), make_trade(5), START_NS) is None


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 1000))
def test_restart_gap_and_new_trades_cover_everything(new: list[int], last: int) -> None:
    first = SeenChannels().first_records([make_trade(number) for number in new])
    gap = restart_gap(held(last), first[INSTRUMENT, "trade"], START_NS)
    named = set() if gap is None else set(range(gap.from_id or 0, (gap.to_id or 0) + 1))
    assert named == set(range(last + 1, min(new)))


def test_seen_channels_are_judged_once() -> None:
    seen = SeenChannels()
    records: list[Record] = [
        make_trade(2),
        make_trade(1),
        make_quote(3),
        make_bar(1),
        make_delta(1, 2),
    ]
    first = seen.first_records(records)
    assert set(first) == {(INSTRUMENT, name) for name in ("trade", "quote", "bar-1m", "book")}
    assert first[INSTRUMENT, "trade"] == records[1]
    seen.add(first)
    assert seen.first_records(records) == {}
    seen.forget()
    assert set(seen.first_records(records)) == set(first)


@pytest.mark.parametrize(
    ("early", "late"),
    [
        pytest.param(make_trade(1), make_trade(2), id="trades by id"),
        pytest.param(make_quote(1), make_quote(2), id="quotes by sequence"),
        pytest.param(make_bar(1, version=9), make_bar(2), id="bars by open time"),
        pytest.param(make_delta(1, 4), make_delta(2, 5), id="deltas by last update"),
        pytest.param(
            Metric(INSTRUMENT, "funding", 1, 9, "1"),
            Metric(INSTRUMENT, "funding", 2, 8, "1"),
            id="metrics by time",
        ),
    ],
)
def test_seen_channels_find_the_earliest_record(early: Record, late: Record) -> None:
    for records in ([early, late], [late, early]):
        assert list(SeenChannels().first_records(records).values()) == [early]
