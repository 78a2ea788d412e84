import json
from dataclasses import replace

from feedplane_api.backfill import Severity
from feedplane_cli.core.quality import Question
from feedplane_cli.core.quality_report import QualityReport, build_report
from feedplane_cli.core.tape import DAY_NS, GapState, LedgerRow, SeriesDay, SetAside, Tape
from feedplane_cli.render.quality import (
    MAX_SERIES,
    render_json,
    render_markdown,
    say_extent,
    say_seconds,
)
from feedplane_cli.render.quality_page import MAX_HEAT_ROWS, render_page
from feedplane_feeder.core.integrity import AlwaysOpen

DAY = 20_000 * DAY_NS
GAP = LedgerRow(
    instrument_id="A.X",
    channel="trade",
    cause="sequence",
    state=GapState.OPEN,
    detected_ns=DAY,
    from_id=5,
    to_id=9,
)


def report(series: int = 1) -> QualityReport:
    days = tuple(
        SeriesDay(
            instrument_id=f"A{index}<.X", channel="bar-1m", day_ns=DAY, rows=700, oldest_ns=DAY
        )
        for index in range(series)
    )
    tape = Tape(
        days=days,
        gaps=(GAP,),
        delays={"bar-1m": {1: 3}},
        set_aside=(SetAside("A.X", "trade", "Odd|one", 2),),
    )
    asked = Question(wanted=(), start_ns=DAY, end_ns=DAY + DAY_NS, now_ns=DAY + DAY_NS, strict=True)
    return build_report("Quality of <it>", tape, asked, AlwaysOpen())


def test_json_holds_the_limits_beside_the_figures() -> None:
    document = json.loads(render_json(report()))
    assert document["severity"] == Severity.ERROR
    assert document["thresholds"]["missingPercent"] == {"warning": 5, "error": 20}
    assert document["series"][0]["days"][0]["expected"] == 1440


def test_markdown_escapes_what_would_end_a_cell() -> None:
    text = render_markdown(report())
    assert "Odd\\|one" in text
    assert "Verdict: **ERROR**" in text
    assert "5 ids 5..9" in text


def test_page_escapes_names_and_stands_alone() -> None:
    page = render_page(report())
    assert "<it>" not in page
    assert "A0&lt;.X" in page
    assert page.count("<svg") > 2
    assert "src=" not in page
    assert "href=" not in page


def test_long_lists_are_cut_and_say_so() -> None:
    long = report(MAX_HEAT_ROWS + 1)
    assert "1 more are in the JSON" in render_page(long)
    assert f"{MAX_HEAT_ROWS + 1 - MAX_SERIES} more are in the JSON" in render_markdown(long)


def test_empty_report_has_no_empty_tables() -> None:
    asked = Question(wanted=(), start_ns=DAY, end_ns=DAY + 1, now_ns=DAY, strict=True)
    empty = build_report("Nothing", Tape(), asked, AlwaysOpen())
    assert "None." in render_markdown(empty)
    assert "<table" not in render_page(empty)


def test_extent_without_ids_is_about_time() -> None:
    timed = replace(GAP, from_id=None, to_id=None, from_ns=DAY)
    assert say_extent(timed) == "2024-10-04 00:00:00 .. ?"


def test_seconds_are_said_in_fitting_units() -> None:
    said = [say_seconds(seconds) for seconds in (0.05, 5.0, 600.0, None)]
    assert said == ["50 ms", "5 s", "10 min", "> 60 min"]


def test_completeness_stands_in_every_form() -> None:
    trades = SeriesDay(
        instrument_id="A.X", channel="trade", day_ns=DAY, rows=95, first_id=1, last_id=100
    )
    asked = Question(wanted=(), start_ns=DAY, end_ns=DAY + 1, now_ns=DAY, strict=True)
    told = build_report("Tape", Tape(days=(trades,), gaps=(GAP,)), asked, AlwaysOpen())
    (one,) = json.loads(render_json(told))["completeness"]
    assert (one["ledgerPpmAfter"], one["rowsPpmBefore"], one["agrees"]) == (50_000, None, False)
    assert "| trade | 100 | 50,000 | - | 50,000 | 0 | NO |" in render_markdown(told)
    assert "<h2>Completeness</h2>" in render_page(told)
