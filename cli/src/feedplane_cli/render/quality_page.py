"""A quality report as one page that needs nothing else: no script, no address, plots inline."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from feedplane_api.quality import parts_per_million
from feedplane_cli.core.quality import DayQuality, SeriesQuality
from feedplane_cli.core.quality_report import QualityReport
from feedplane_cli.core.tape import DELAY_BOUNDS, GapState
from feedplane_cli.render.plots import Cell, draw_columns, draw_heat_map
from feedplane_cli.render.quality import (
    ASIDE_TITLES,
    CHANNEL_TITLES,
    COMPLETE_NOTE,
    COMPLETE_TITLES,
    DELAY_TITLES,
    GAP_TITLES,
    MARKS,
    ROW_TITLES,
    aside_rows,
    channel_rows,
    complete_rows,
    delay_rows,
    gap_rows,
    ledger_rows,
    say_day,
    say_range,
    say_seconds,
)

MAX_HEAT_ROWS: Final = 200
_MILLION: Final = 1_000_000
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --line: #d5dbe1; --dim: #66727f;
  --full: #2f9e63; --nearly: #86c79f; --most: #e8d06b; --some: #e8964a; --little: #d3453f;
  --rows: #6b9fd4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --paper: #14191f; --line: #333d48;
  --dim: #97a3b0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; }
td, th { padding: 3px 12px 3px 0; text-align: left; border-bottom: 1px solid var(--line); }
.plot { overflow-x: auto; } svg text { font-size: 11px; fill: var(--dim); }
.axis { stroke: var(--line); }
.full { fill: var(--full); } .nearly { fill: var(--nearly); } .most { fill: var(--most); }
.some { fill: var(--some); } .little, .open { fill: var(--little); }
.some-rows, .received { fill: var(--rows); } .no-rows { fill: var(--line); }
.filled { fill: var(--full); } .unfillable { fill: var(--dim); }
.mark { font-weight: 600; border-radius: 4px; padding: 1px 7px; color: #fff; }
.ERROR { background: #c23a34; } .WARNING { background: #b5711a; } .OK { background: #2b8556; }
li { margin: 2px 0; } ul { list-style: none; padding: 0; } .dim { color: var(--dim); }
"""


def render_page(report: QualityReport) -> str:
    """Return the page."""
    verdicts = "".join(
        f"<li>{_mark(MARKS[one.severity])} <b>{escape(one.subject)}</b>: {escape(one.text)}</li>"
        for one in report.notices
    )
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{_mark(MARKS[report.severity])} {escape(say_range(report))}</p>",
        f"<ul>{verdicts}</ul>",
        "<h2>Channels</h2>",
        _table(CHANNEL_TITLES, channel_rows(report)),
        "<h2>Completeness</h2>",
        f"<p class=dim>{escape(COMPLETE_NOTE)}</p>",
        _table(COMPLETE_TITLES, complete_rows(report)),
        "<h2>Coverage by instrument and day</h2>",
        _legend(),
        *_heat_maps(report),
        "<h2>Gaps</h2>",
        "<p class=dim>By the day they were found.</p>",
        _plot(_gap_plot(report)),
        _table(GAP_TITLES, gap_rows(report)),
        *_folded("Rows of the ledger, the open ones first", ROW_TITLES, ledger_rows(report)),
        "<h2>Delay</h2>",
        "<p class=dim>From the event to its receipt; rows that were fetched later count with the"
        " time they were fetched.</p>",
        *_delay_plots(report),
        _table(DELAY_TITLES, delay_rows(report)),
        "<h2>Quarantine</h2>",
        _table(ASIDE_TITLES, aside_rows(report)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _heat_maps(report: QualityReport) -> Iterable[str]:
    for channel in report.channels:
        series = [one for one in report.series if one.channel == channel.channel]
        shown = series[:MAX_HEAT_ROWS]
        days = sorted({day.day_ns for one in shown for day in one.days})
        yield f"<h3>{escape(channel.channel)}</h3>"
        rows = [(one.instrument_id, _cells(one, days)) for one in shown]
        yield _plot(draw_heat_map([say_day(day)[5:] for day in days], rows))
        if len(series) > len(shown):
            yield (
                f"<p class=dim>The {len(shown)} worst; {len(series) - len(shown):,} more are in"
                " the JSON.</p>"
            )


def _cells(series: SeriesQuality, days: Sequence[int]) -> list[Cell | None]:
    by_day = {day.day_ns: day for day in series.days}
    return [_cell(series, by_day[day]) if day in by_day else None for day in days]


def _cell(series: SeriesQuality, day: DayQuality) -> Cell:
    head = f"{series.instrument_id} {series.channel} {say_day(day.day_ns)}: "
    if not day.expected:
        return Cell(f"{head}{day.rows:,} rows", None, day.rows)
    share = _MILLION - parts_per_million(day.missing, day.expected)
    title = f"{head}{day.rows:,} of {day.expected:,} rows, {day.missing:,} missing"
    return Cell(title, share, day.rows)


def _gap_plot(report: QualityReport) -> str:
    if not report.gaps_by_day:
        return ""
    layers = [
        (state.value, [getattr(day, state.value) for day in report.gaps_by_day])
        for state in GapState
    ]
    return draw_columns([say_day(day.day_ns)[5:] for day in report.gaps_by_day], layers, "gaps")


def _delay_plots(report: QualityReport) -> Iterable[str]:
    names = [f"< {say_seconds(bound)}" for bound in DELAY_BOUNDS] + [say_seconds(None)]
    for one in report.delays:
        yield f"<h3>{escape(one.channel)}</h3>"
        yield _plot(draw_columns(names, [("received", one.counts)], "rows"))


def _legend() -> str:
    names = (
        ("full", "all of it"),
        ("nearly", "up to 5 % missing"),
        ("most", "up to 20 %"),
        ("some", "more"),
        ("little", "nothing there"),
        ("some-rows", "rows, of which nobody can know how many"),
        ("no-rows", "nothing expected or no row"),
    )
    return "<p class=dim>" + " ".join(_swatch(style, text) for style, text in names) + "</p>"


def _swatch(style: str, text: str) -> str:
    return (
        f'<svg width="12" height="12"><rect class="{style}" width="12" height="12"/></svg>'
        f" {escape(text)} &nbsp;"
    )


def _folded(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    if rows:
        yield f"<details><summary>{escape(title)}</summary>{_table(titles, rows)}</details>"


def _plot(svg: str) -> str:
    return f"<div class=plot>{svg}</div>" if svg else ""


def _mark(word: str) -> str:
    return f'<span class="mark {word}">{word}</span>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p class=dim>None.</p>"
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{lines}</table>"
