import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_feeder.core.chunks import (
    DAY_NS,
    HOUR_NS,
    Series,
    expected_rows,
    first_open_ns,
    group_chunks,
    plan_chunks,
    settled_end_ns,
    share_pieces,
)

MINUTE_NS = 60 * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def series(symbol: str = "BTCUSDT", channel: str = "bar-1m") -> Series:
    return Series(symbol=symbol, instrument_id=f"{symbol}.V", channel=channel)


def test_range_of_days_has_a_chunk_for_each() -> None:
    chunks = plan_chunks([series()], at("2026-11-01"), at("2026-11-04"))
    assert [chunk.day for chunk in chunks] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert [chunk.number for chunk in chunks] == [0, 1, 2]


def test_range_within_days_is_cut_at_its_ends() -> None:
    chunks = plan_chunks([series()], at("2026-11-01T06:00:00"), at("2026-11-02T01:00:00"))
    assert [(chunk.end_ns - chunk.start_ns) // HOUR_NS for chunk in chunks] == [18, 1]


@pytest.mark.parametrize(
    ("channel", "count"), [("trade", 396), ("bar-1h", 14), ("bar-1d", 2), ("bar-1M", 2)]
)
def test_long_bars_have_chunks_of_months_and_years(channel: str, count: int) -> None:
    chunks = plan_chunks([series(channel=channel)], at("2025-11-01"), at("2026-12-02"))
    assert len(chunks) == count
    assert chunks[-1].end_ns == at("2026-12-02")


def test_plan_in_another_order_numbers_chunks_alike() -> None:
    one, other = series("ETHUSDT"), series("BTCUSDT", "trade")
    first = plan_chunks([one, other], at("2026-11-01"), at("2026-11-03"))
    assert first == plan_chunks([other, one, one], at("2026-11-01"), at("2026-11-03"))


def test_days_of_a_month_make_one_piece() -> None:
    chunks = plan_chunks([series(), series("ETHUSDT")], at("2026-10-30"), at("2026-11-03"))
    pieces = group_chunks(chunks)
    assert [len(piece.chunks) for piece in pieces] == [2, 2, 2, 2]
    assert pieces[0].first.day == "2026-10-30"


def test_years_of_daily_bars_make_one_piece() -> None:
    chunks = plan_chunks([series(channel="bar-1d")], at("2020-01-01"), at("2025-01-01"))
    assert [len(piece.chunks) for piece in group_chunks(chunks)] == [5]


@settings(deadline=None)
@given(pieces=st.integers(0, 40), workers=st.integers(1, 9))
def test_shares_of_all_workers_are_all_pieces_once(pieces: int, workers: int) -> None:
    symbols = [series(f"S{number:02d}") for number in range(pieces)]
    planned = group_chunks(plan_chunks(symbols, at("2026-11-01"), at("2026-11-02")))
    shares = [share_pieces(planned, index, workers) for index in range(workers)]
    assert sorted(
        (piece for share in shares for piece in share), key=lambda each: each.first.number
    ) == list(planned)


@pytest.mark.parametrize(
    ("channel", "start", "end", "rows"),
    [
        ("bar-1m", "2026-11-01", "2026-11-02", 1_440),
        ("bar-1m", "2026-11-01T00:00:30", "2026-11-01T00:02:00", 1),
        ("bar-1s", "2026-11-01", "2026-11-02", 86_400),
        ("bar-1d", "2025-01-01", "2026-01-01", 365),
        ("bar-1w", "2026-11-01", "2026-11-30", 4),
        ("bar-1M", "2025-11-15", "2026-02-01", 2),
        ("bar-4h", "2026-11-01T04:00:00", "2026-11-01T04:00:00", 0),
        ("trade", "2026-11-01", "2026-11-02", None),
        ("metric", "2026-11-01", "2026-11-02", None),
    ],
)
def test_expected_rows_follow_from_the_interval(
    channel: str, start: str, end: str, rows: int | None
) -> None:
    assert expected_rows(channel, at(start), at(end)) == rows


@pytest.mark.parametrize(
    ("channel", "now", "end"),
    [
        ("bar-1m", "2026-11-21T11:59:59", "2026-11-21T11:59:00"),
        ("bar-1m", "2026-11-21T12:00:00", "2026-11-21T12:00:00"),
        ("bar-1d", "2026-11-21T12:00:00", "2026-11-21"),
        ("bar-1w", "2026-11-21T12:00:00", "2026-11-16"),
        ("bar-1M", "2026-11-21T12:00:00", "2026-11-01"),
        ("trade", "2026-11-21T12:00:07", "2026-11-21T12:00:07"),
    ],
)
def test_past_of_bars_ends_with_the_open_one(channel: str, now: str, end: str) -> None:
    assert settled_end_ns(channel, at(now)) == at(end)


@settings(deadline=None)
@given(
    moment=st.integers(at("2017-01-01"), at("2035-01-01")),
    interval=st.sampled_from(["1m", "4h", "1d", "3d", "1w", "1M"]),
)
def test_open_at_or_after_a_moment_is_counted_once(moment: int, interval: str) -> None:
    opened = first_open_ns(moment, interval)
    assert opened >= moment
    assert expected_rows(f"bar-{interval}", moment, opened) == 0
    assert expected_rows(f"bar-{interval}", moment, opened + 1) == 1
    assert first_open_ns(moment, interval, before=True) < moment + 1


@settings(deadline=None)
@given(
    start=st.integers(at("2020-01-01"), at("2020-03-01")),
    minutes=st.integers(1, 100_000),
    channel=st.sampled_from(["bar-1m", "bar-1h", "bar-1d", "trade"]),
)
def test_chunks_cover_a_range_without_overlap(start: int, minutes: int, channel: str) -> None:
    chunks = plan_chunks([series(channel=channel)], start, start + minutes * MINUTE_NS)
    assert chunks[0].start_ns == start
    assert chunks[-1].end_ns == start + minutes * MINUTE_NS
    for one, after in itertools.pairwise(chunks):
        assert one.end_ns == after.start_ns
    assert all(0 < chunk.end_ns - chunk.start_ns <= 366 * DAY_NS for chunk in chunks)
