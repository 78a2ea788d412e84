from dataclasses import replace

import pytest

from feedplane_api.backfill import Severity
from feedplane_cli.core.quality import (
    Question,
    find_unnamed,
    judge_series,
    merge_ranges,
    overdue,
    sum_up,
)
from feedplane_cli.core.tape import DAY_NS, GapState, IdHole, LedgerRow, SeriesDay, Tape
from feedplane_feeder.core.integrity import AlwaysOpen

DAY = 20_000 * DAY_NS
MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
BTC = "BTCUSDT.X"
ALWAYS = AlwaysOpen()


class Weekdays:
    """Open from ten to noon, but for one day."""

    def sessions(self, day_ns: int) -> tuple[tuple[int, int], ...]:
        return () if day_ns == DAY + DAY_NS else ((10 * HOUR, 12 * HOUR),)


def question(*, days: int = 1, now: int | None = None, strict: bool = True) -> Question:
    end = DAY + days * DAY_NS
    return Question(
        wanted=((BTC, "bar-1m"),),
        start_ns=DAY,
        end_ns=end,
        now_ns=end if now is None else now,
        strict=strict,
    )


def held(rows: int, day: int = 0, *, oldest: int = 0, newest: int = 0) -> SeriesDay:
    start = DAY + day * DAY_NS
    return SeriesDay(
        instrument_id=BTC,
        channel="bar-1m",
        day_ns=start,
        rows=rows,
        oldest_ns=oldest or start,
        newest_ns=newest or start + DAY_NS - MINUTE,
    )


def test_whole_day_of_bars_lacks_nothing() -> None:
    (series,) = judge_series(Tape(days=(held(1440),)), question(), ALWAYS)
    assert (series.expected, series.missing, series.severity) == (1440, 0, Severity.NONE)
    assert series.overdue_ns == 0


def test_series_without_a_row_lacks_all_of_them() -> None:
    (series,) = judge_series(Tape(), question(days=2), ALWAYS)
    assert (series.expected, series.missing, series.severity) == (2880, 2880, Severity.ERROR)
    assert series.overdue_ns == 2 * DAY_NS - MINUTE


def test_wanted_trades_without_a_row_are_an_error() -> None:
    asked = Question(
        wanted=((BTC, "trade"),), start_ns=DAY, end_ns=DAY + 1, now_ns=DAY, strict=True
    )
    (series,) = judge_series(Tape(), asked, ALWAYS)
    assert (series.expected, series.severity, series.overdue_ns) == (None, Severity.ERROR, None)


def test_bars_are_counted_in_sessions_only() -> None:
    tape = Tape(days=(held(120), held(120, 2)))
    (series,) = judge_series(tape, question(days=3), Weekdays())
    assert [day.expected for day in series.days] == [120, 0, 120]
    assert series.missing == 0
    assert series.overdue_ns == 0


def test_bar_of_a_day_opens_at_midnight_whatever_the_session() -> None:
    asked = Question(
        wanted=((BTC, "bar-1d"),),
        start_ns=DAY,
        end_ns=DAY + 3 * DAY_NS,
        now_ns=DAY + 3 * DAY_NS,
        strict=True,
    )
    (series,) = judge_series(Tape(), asked, Weekdays())
    assert [day.expected for day in series.days] == [1, 0, 1]


def test_bar_that_is_still_open_is_not_expected() -> None:
    now = DAY + 10 * MINUTE + 1
    (series,) = judge_series(
        Tape(days=(held(10, newest=DAY + 9 * MINUTE),)), question(now=now), ALWAYS
    )
    assert (series.expected, series.missing) == (10, 0)


@pytest.mark.parametrize(("strict", "missing"), [(True, 60), (False, 0)])
def test_rows_before_the_first_are_missing_only_when_strict(strict: bool, missing: int) -> None:
    tape = Tape(days=(held(1380, oldest=DAY + HOUR),))
    (series,) = judge_series(tape, question(strict=strict), ALWAYS)
    assert series.missing == missing


def test_hole_counts_on_the_day_it_ends() -> None:
    trades = SeriesDay(
        instrument_id=BTC, channel="trade", day_ns=DAY, rows=90, first_id=1, last_id=100
    )
    hole = IdHole(BTC, "trade", 50, 59, DAY + 5)
    asked = Question(wanted=(), start_ns=DAY, end_ns=DAY + DAY_NS, now_ns=DAY + DAY_NS, strict=True)
    (series,) = judge_series(Tape(days=(trades,), holes=(hole,)), asked, ALWAYS)
    assert (series.rows, series.expected, series.missing) == (90, 100, 10)
    assert series.severity is Severity.WARNING
    assert series.key == (BTC, "trade")


def test_channel_sums_its_series_and_keeps_the_worst() -> None:
    other = SeriesDay(
        instrument_id="ETHUSDT.X",
        channel="bar-1m",
        day_ns=DAY,
        rows=1000,
        oldest_ns=DAY,
        newest_ns=DAY,
    )
    series = judge_series(Tape(days=(held(1440), other)), question(), ALWAYS)
    assert [one.instrument_id for one in series] == ["ETHUSDT.X", BTC]
    (channel,) = sum_up(series)
    assert (channel.series, channel.incomplete, channel.expected, channel.missing) == (
        2,
        1,
        2880,
        440,
    )
    assert (channel.missing_percent, channel.severity) == (16, Severity.ERROR)


@pytest.mark.parametrize(
    ("newest_minute", "minutes"),
    [
        pytest.param(1438, 0, id="the one before the last closed as the range ended"),
        pytest.param(1437, 1, id="one bar is missing at the end"),
        pytest.param(1429, 9, id="ten bars are missing"),
    ],
)
def test_next_bar_is_overdue_from_its_close_on(newest_minute: int, minutes: int) -> None:
    asked = question()
    sessions = {DAY: ((0, DAY_NS),), DAY + DAY_NS: ((0, DAY_NS),)}
    assert overdue("bar-1m", DAY + newest_minute * MINUTE, asked, sessions) == minutes * MINUTE


def test_next_bar_in_the_next_session_is_not_overdue() -> None:
    sessions = {DAY: ((10 * HOUR, 12 * HOUR),), DAY + DAY_NS: ((10 * HOUR, 12 * HOUR),)}
    newest = DAY + 12 * HOUR - MINUTE
    assert overdue("bar-1m", newest, question(), sessions) == 0
    assert overdue("bar-1m", newest, question(), {DAY: sessions[DAY]}) == 0


def test_hole_is_unnamed_unless_every_number_is_in_the_ledger() -> None:
    holes = (
        IdHole(BTC, "trade", 10, 19, DAY),
        IdHole(BTC, "trade", 30, 35, DAY),
        IdHole("ETHUSDT.X", "trade", 10, 19, DAY),
    )
    gaps = tuple(
        LedgerRow(
            instrument_id=BTC,
            channel="trade",
            cause="sequence",
            state=GapState.OPEN,
            detected_ns=DAY,
            from_id=first,
            to_id=last,
        )
        for first, last in ((15, 19), (10, 14), (30, 34), (None, None))
    )
    assert find_unnamed(holes, Tape(gaps=gaps)) == holes[1:]


def test_ranges_that_touch_become_one() -> None:
    assert merge_ranges([(5, 9), (1, 4), (20, 30), (22, 25)]) == [(1, 9), (20, 30)]


def test_bars_of_a_venue_with_quiet_times_are_not_expected() -> None:
    asked = replace(question(), sparse=frozenset({"X"}))
    (series,) = judge_series(Tape(days=(held(9),)), asked, ALWAYS)
    assert (series.rows, series.expected, series.missing) == (9, None, 0)
    assert (series.severity, series.overdue_ns) == (Severity.NONE, None)
