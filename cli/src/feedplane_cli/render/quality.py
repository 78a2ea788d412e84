"""A quality report as JSON, as Markdown and as the rows its tables have."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from feedplane_api.backfill import Severity
from feedplane_cli.core.feed_view import describe
from feedplane_cli.core.quality_report import QUANTILES, QualityReport
from feedplane_cli.core.tape import DELAY_BOUNDS, LedgerRow
from feedplane_cli.render.words import NOTHING

MARKS: Final = {
    Severity.ERROR: "ERROR",
    Severity.WARNING: "WARNING",
    Severity.NONE: "OK",
}
CHANNEL_TITLES: Final = (
    *("channel", "series", "incomplete", "rows", "expected", "missing", "missing ppm", "verdict"),
)
COMPLETE_TITLES: Final = (
    *("channel", "numbers", "before (ledger)", "before (rows)", "after (ledger)", "after (rows)"),
    "agree",
)
GAP_TITLES: Final = ("channel", "cause", "open", "filled", "unfillable")
DELAY_TITLES: Final = ("channel", "rows", *(f"p{percent}" for percent in QUANTILES))
ROW_TITLES: Final = ("instrument", "channel", "cause", "state", "found", "missing", "by or why")
ASIDE_TITLES: Final = ("instrument", "channel", "reason", "rows")
COMPLETE_NOTE: Final = (
    "Missing numbers in parts per million, before repair and after it: by what the ledger says, and"
    " by the rows alone."
)
MAX_SERIES: Final = 100


def render_json(report: QualityReport) -> str:
    """Return everything, for a program; times are nanoseconds since the epoch."""
    document: dict[str, Any] = describe(report)
    for told, one in zip(document["completeness"], report.completeness, strict=True):
        (told["ledgerPpmBefore"], told["ledgerPpmAfter"]) = one.ledger_ppm
        (told["rowsPpmBefore"], told["rowsPpmAfter"]) = one.rows_ppm
        told["agrees"] = one.agrees
    document["thresholds"] = {
        "missingPercent": {"warning": 5, "error": 20},
        "overdueMinutes": {"warning": 5, "error": 10},
        "strict": "above, not at",
    }
    document["delayBoundsSeconds"] = list(DELAY_BOUNDS)
    return json.dumps(document, indent=1) + "\n"


def render_markdown(report: QualityReport) -> str:
    """Return the report to read as text or to paste into an issue."""
    parts = [
        f"# {report.title}",
        f"{say_range(report)} Verdict: **{MARKS[report.severity]}**.",
        "## Verdicts",
        "\n".join(
            f"- **{MARKS[one.severity]}** {one.subject}: {one.text}" for one in report.notices
        ),
        "## Channels",
        _table(CHANNEL_TITLES, channel_rows(report)),
        "## Completeness",
        COMPLETE_NOTE,
        _table(COMPLETE_TITLES, complete_rows(report)),
        "## Series",
        _series_note(report),
        _table(
            ("instrument", "channel", "rows", "expected", "missing", "verdict"),
            series_rows(report),
        ),
        "## Gaps",
        _table(GAP_TITLES, gap_rows(report)),
        _table(ROW_TITLES, ledger_rows(report)),
        "## Delay",
        "From the event to its receipt: at most so long in so many percent. Rows that were"
        " fetched later count with the time they were fetched.",
        _table(DELAY_TITLES, delay_rows(report)),
        "## Quarantine",
        _table(ASIDE_TITLES, aside_rows(report)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def say_range(report: QualityReport) -> str:
    """Return the range and when it was looked at."""
    return (
        f"{say_time(report.start_ns)} to {say_time(report.end_ns)} UTC,"
        f" as it was at {say_time(report.now_ns)}."
    )


def say_time(at_ns: int) -> str:
    """Return a time to the second."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def say_day(day_ns: int) -> str:
    """Return a day."""
    return say_time(day_ns)[:10]


def say_seconds(seconds: float | None) -> str:
    """Return the bound of a class of delay."""
    if seconds is None:
        return f"> {say_seconds(DELAY_BOUNDS[-1])}"
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"


def channel_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return one line per channel."""
    return [
        (
            one.channel,
            f"{one.series:,}",
            f"{one.incomplete:,}",
            f"{one.rows:,}",
            _count(one.expected),
            f"{one.missing:,}" if one.expected is not None else NOTHING,
            f"{one.missing_ppm:,}" if one.expected is not None else NOTHING,
            MARKS[one.severity],
        )
        for one in report.channels
    ]


def series_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return one line per series, the worst first."""
    return [
        (
            one.instrument_id,
            one.channel,
            f"{one.rows:,}",
            _count(one.expected),
            f"{one.missing:,}" if one.expected is not None else NOTHING,
            MARKS[one.severity],
        )
        for one in report.series[:MAX_SERIES]
    ]


def complete_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return one line per numbered channel."""
    return [
        (
            one.channel,
            f"{one.numbers:,}",
            f"{one.ledger_ppm[0]:,}",
            _count(one.rows_ppm[0]),
            f"{one.ledger_ppm[1]:,}",
            f"{one.rows_ppm[1]:,}",
            "yes" if one.agrees else "NO",
        )
        for one in report.completeness
    ]


def gap_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return one line per channel and cause."""
    return [
        (one.channel, one.cause, f"{one.open:,}", f"{one.filled:,}", f"{one.unfillable:,}")
        for one in report.gaps_by_cause
    ]


def ledger_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return rows of the ledger, the open ones first."""
    return [
        (
            row.instrument_id,
            row.channel,
            row.cause,
            row.state.value,
            say_time(row.detected_ns),
            say_extent(row),
            row.filled_by or row.reason or NOTHING,
        )
        for row in report.gaps
    ]


def say_extent(row: LedgerRow) -> str:
    """Return what is missing: numbers, else times."""
    if row.from_id is not None and row.to_id is not None:
        return f"{row.to_id - row.from_id + 1:,} ids {row.from_id}..{row.to_id}"
    first = say_time(row.from_ns) if row.from_ns is not None else "?"
    last = say_time(row.to_ns) if row.to_ns is not None else "?"
    return f"{first} .. {last}"


def delay_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return one line per channel."""
    return [
        (one.channel, f"{one.rows:,}", *(say_seconds(bound) for bound in one.quantiles))
        for one in report.delays
    ]


def aside_rows(report: QualityReport) -> list[tuple[str, ...]]:
    """Return what lies in quarantine."""
    return [
        (one.instrument_id, one.channel, one.reason, f"{one.rows:,}") for one in report.set_aside
    ]


def _series_note(report: QualityReport) -> str:
    more = len(report.series) - MAX_SERIES
    return (
        f"The first {MAX_SERIES}, the worst first; {more:,} more are in the JSON."
        if more > 0
        else ""
    )


def _count(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(row) for row in rows]
    if not lines:
        return "None."
    ruled = [list(titles), ["---"] * len(titles), *lines]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in ruled
    )
