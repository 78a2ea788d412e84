from dataclasses import replace

import pytest

from feedplane_api.backfill import Severity
from feedplane_cli.core.quality import Question
from feedplane_cli.core.quality_report import MAX_NOTICES, build_report
from feedplane_cli.core.tape import (
    DAY_NS,
    DELAY_BOUNDS,
    GapState,
    IdHole,
    LedgerRow,
    SeriesDay,
    SeriesKey,
    Tape,
)
from feedplane_feeder.core.integrity import AlwaysOpen

DAY = 20_000 * DAY_NS
MINUTE = 60_000_000_000
END = DAY + DAY_NS
ASKED = Question(wanted=(), start_ns=DAY, end_ns=END, now_ns=END, strict=True)


def bars(instrument: str, rows: int = 1440) -> SeriesDay:
    return SeriesDay(
        instrument_id=instrument,
        channel="bar-1m",
        day_ns=DAY,
        rows=rows,
        oldest_ns=DAY,
        newest_ns=END - MINUTE,
    )


def gap(state: GapState, detected: int = DAY, cause: str = "sequence") -> LedgerRow:
    return LedgerRow(
        instrument_id="A.X", channel="trade", cause=cause, state=state, detected_ns=detected
    )


def test_good_tape_gets_clear_notices_only() -> None:
    report = build_report("Tape", Tape(days=(bars("A.X"),)), ASKED, AlwaysOpen())
    assert report.severity is Severity.NONE
    assert [(one.subject, one.text) for one in report.notices] == [
        ("bar-1m", "complete: all 1,440 rows of 1 series are there"),
        ("delay", "no bar of 1 series is overdue by more than 5 minutes"),
        ("ledger", "no gap was found"),
    ]


def test_worst_notice_comes_first_and_names_the_report() -> None:
    tape = Tape(days=(bars("A.X", 1330), bars("B.X", 10)), gaps=(gap(GapState.OPEN),))
    report = build_report("Tape", tape, ASKED, AlwaysOpen())
    assert report.severity is Severity.ERROR
    first = report.notices[0]
    assert (first.subject, first.text) == ("B.X bar-1m", "1,430 of 1,440 rows are missing")
    assert [one.severity for one in report.notices] == ["Error", "Warning", "Warning", "None"]


def test_rows_missing_below_the_limit_are_told_without_alarm() -> None:
    report = build_report("Tape", Tape(days=(bars("A.X", 1439),)), ASKED, AlwaysOpen())
    assert report.severity is Severity.NONE
    assert "1 of 1,440 rows are missing (695 ppm), in no series more than 5 %" in {
        one.text for one in report.notices
    }


def test_channel_nobody_can_count_says_so() -> None:
    quotes = replace(bars("A.X"), channel="quote")
    report = build_report("Tape", Tape(days=(quotes,)), ASKED, AlwaysOpen())
    assert "nobody can know" in report.notices[0].text
    assert "delay" not in {one.subject for one in report.notices}


def test_many_bad_series_are_summed_up() -> None:
    days = tuple(replace(bars(f"A{index}.X", 1), newest_ns=DAY) for index in range(MAX_NOTICES + 3))
    report = build_report("Tape", Tape(days=days), ASKED, AlwaysOpen())
    texts = {one.text for one in report.notices}
    assert "3 more series lack more than 5 % of their rows" in texts
    assert "3 more series are overdue by more than 5 minutes" in texts


def test_series_without_a_row_is_told_of_once() -> None:
    asked = replace(ASKED, wanted=(("A.X", "bar-1m"),))
    report = build_report("Tape", Tape(), asked, AlwaysOpen())
    (notice,) = [one for one in report.notices if one.severity is Severity.ERROR]
    assert notice.text == "wanted, and not a single row is there"
    assert not any("overdue" in one.text for one in report.notices)


def test_gaps_are_summed_and_open_ones_listed_first() -> None:
    gaps = (
        gap(GapState.FILLED, DAY + 5),
        gap(GapState.OPEN, DAY + 1),
        gap(GapState.UNFILLABLE, DAY + DAY_NS, "restart"),
    )
    report = build_report("Tape", Tape(gaps=gaps), ASKED, AlwaysOpen())
    assert [(one.cause, one.open, one.filled, one.unfillable) for one in report.gaps_by_cause] == [
        ("restart", 0, 0, 1),
        ("sequence", 1, 1, 0),
    ]
    assert [(one.day_ns, one.open, one.filled, one.unfillable) for one in report.gaps_by_day] == [
        (DAY, 1, 1, 0),
        (DAY + DAY_NS, 0, 0, 1),
    ]
    assert [row.state for row in report.gaps] == ["open", "unfillable", "filled"]


def test_filled_gaps_alone_are_well() -> None:
    report = build_report("Tape", Tape(gaps=(gap(GapState.FILLED),)), ASKED, AlwaysOpen())
    assert [one.text for one in report.notices] == ["no gap is open"]


def test_delays_have_upper_bounds_as_quantiles() -> None:
    last = len(DELAY_BOUNDS)
    report = build_report(
        "Tape", Tape(delays={"trade": {0: 90, 3: 5, last: 5}}), ASKED, AlwaysOpen()
    )
    (delay,) = report.delays
    assert delay.rows == 100
    assert delay.quantiles == (0.001, 0.001, None)


def trades(rows: int) -> SeriesDay:
    return SeriesDay(
        instrument_id="A.X", channel="trade", day_ns=DAY, rows=rows, first_id=1, last_id=1_000
    )


def test_completeness_is_told_before_and_after_repair() -> None:
    filled = replace(gap(GapState.FILLED), from_id=11, to_id=20, filled_by="rest")
    tape = Tape(days=(trades(1_000),), gaps=(filled,), late={("A.X", "trade"): 10})
    report = build_report("Tape", tape, ASKED, AlwaysOpen())
    assert report.severity is Severity.NONE
    assert (
        "10,000 ppm of 1,000 numbers were missing before repair, 0 ppm are after it;"
        " ledger and rows agree"
    ) in {one.text for one in report.notices}


@pytest.mark.parametrize(("late", "words"), [(None, "nobody counted"), ({}, "10,000 ppm")])
def test_ledger_and_rows_that_differ_are_a_warning(
    late: dict[SeriesKey, int] | None, words: str
) -> None:
    tape = Tape(days=(trades(990),), holes=(IdHole("A.X", "trade", 11, 20, DAY),), late=late)
    report = build_report("Tape", tape, ASKED, AlwaysOpen())
    assert report.severity is Severity.WARNING
    assert any(words in one.text and "by the rows" in one.text for one in report.notices)
