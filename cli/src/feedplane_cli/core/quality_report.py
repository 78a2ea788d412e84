"""The whole of a quality report as values: verdicts, sums, gaps, delays, and how they are told.

Pure. Must not know how it is drawn.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from feedplane_api.backfill import Severity
from feedplane_api.quality import worst
from feedplane_cli.core.completeness import Completeness, measure
from feedplane_cli.core.quality import (
    ChannelQuality,
    Question,
    SeriesQuality,
    find_unnamed,
    judge_series,
    sum_up,
)
from feedplane_cli.core.tape import DAY_NS, DELAY_BOUNDS, GapState, LedgerRow, SetAside, Tape
from feedplane_feeder.core.integrity import Calendar

MAX_NOTICES: Final = 50
MAX_GAPS: Final = 200
QUANTILES: Final = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One sentence for a person; of severity None where it says that all is well."""

    severity: Severity
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GapSum:
    """Rows of the ledger by cause."""

    channel: str
    cause: str
    open: int
    filled: int
    unfillable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GapDay:
    """Rows of the ledger by the day they were found."""

    day_ns: int
    open: int
    filled: int
    unfillable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelaySum:
    """How long after the event rows of a channel were received."""

    channel: str
    rows: int
    counts: tuple[int, ...]
    """By the classes of `DELAY_BOUNDS`, the last one without an upper bound."""
    quantiles: tuple[float | None, ...]
    """Upper bounds in seconds of p50, p90 and p99; None where it is above the last bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Everything a report tells."""

    title: str
    start_ns: int
    end_ns: int
    now_ns: int
    severity: Severity
    notices: tuple[Notice, ...]
    channels: tuple[ChannelQuality, ...]
    series: tuple[SeriesQuality, ...]
    gaps_by_cause: tuple[GapSum, ...]
    gaps_by_day: tuple[GapDay, ...]
    gaps: tuple[LedgerRow, ...]
    """The open ones first; at most MAX_GAPS."""
    delays: tuple[DelaySum, ...]
    set_aside: tuple[SetAside, ...]
    completeness: tuple[Completeness, ...]
    """Numbered channels, before and after repair, by ledger and by rows."""
    unnamed_holes: int
    """Holes in the numbers that the ledger does not name."""


def build_report(title: str, tape: Tape, question: Question, calendar: Calendar) -> QualityReport:
    """Judge a tape and put everything together."""
    series = judge_series(tape, question, calendar)
    channels = sum_up(series)
    unnamed = find_unnamed(tape.holes, tape)
    completeness = measure(tape)
    notices = (
        *_tell_missing(series, channels),
        *_tell_overdue(series),
        *_tell_completeness(completeness),
        *_tell_ledger(tape.gaps, len(unnamed)),
    )
    ordered = sorted(notices, key=lambda one: _ORDER.index(one.severity))
    gaps = sorted(tape.gaps, key=lambda row: (row.state is not GapState.OPEN, -row.detected_ns))
    return QualityReport(
        title=title,
        start_ns=question.start_ns,
        end_ns=question.end_ns,
        now_ns=question.now_ns,
        severity=worst(*(one.severity for one in notices)),
        notices=tuple(ordered),
        channels=channels,
        series=series,
        gaps_by_cause=_sum_causes(tape.gaps),
        gaps_by_day=_sum_days(tape.gaps),
        gaps=tuple(gaps[:MAX_GAPS]),
        delays=tuple(_sum_delay(name, tape.delays[name]) for name in sorted(tape.delays)),
        set_aside=tape.set_aside,
        completeness=completeness,
        unnamed_holes=len(unnamed),
    )


_ORDER: Final = (Severity.ERROR, Severity.WARNING, Severity.NONE)


def _tell_missing(
    series: Sequence[SeriesQuality], channels: Sequence[ChannelQuality]
) -> Iterable[Notice]:
    bad = [each for each in series if each.severity is not Severity.NONE]
    for each in bad[:MAX_NOTICES]:
        if each.rows == 0:
            text = "wanted, and not a single row is there"
        else:
            text = f"{each.missing:,} of {each.expected or 0:,} rows are missing"
        yield Notice(severity=each.severity, subject=_name(each), text=text)
    if len(bad) > MAX_NOTICES:
        yield Notice(
            severity=worst(*(each.severity for each in bad[MAX_NOTICES:])),
            subject="all",
            text=f"{len(bad) - MAX_NOTICES:,} more series lack more than 5 % of their rows",
        )
    for channel in channels:
        if channel.severity is not Severity.NONE:
            continue
        yield Notice(severity=Severity.NONE, subject=channel.channel, text=_tell_channel(channel))


def _tell_channel(channel: ChannelQuality) -> str:
    if channel.expected is None:
        return (
            f"{channel.rows:,} rows in {channel.series:,} series; how many there should be"
            " nobody can know"
        )
    if channel.missing == 0:
        return f"complete: all {channel.expected:,} rows of {channel.series:,} series are there"
    return (
        f"{channel.missing:,} of {channel.expected:,} rows are missing"
        f" ({channel.missing_ppm:,} ppm), in no series more than 5 %"
    )


def _tell_overdue(series: Sequence[SeriesQuality]) -> Iterable[Notice]:
    # That a series has no row was told already, and since when one was due nobody can say.
    bars = [each for each in series if each.rows and each.overdue_ns is not None]
    late = [each for each in bars if each.overdue_severity is not Severity.NONE]
    late.sort(key=lambda each: -(each.overdue_ns or 0))
    for each in late[:MAX_NOTICES]:
        minutes = (each.overdue_ns or 0) / 60e9
        yield Notice(
            severity=each.overdue_severity,
            subject=_name(each),
            text=f"the next bar is overdue by {minutes:,.1f} minutes",
        )
    if len(late) > MAX_NOTICES:
        yield Notice(
            severity=worst(*(each.overdue_severity for each in late[MAX_NOTICES:])),
            subject="all",
            text=f"{len(late) - MAX_NOTICES:,} more series are overdue by more than 5 minutes",
        )
    if bars and not late:
        text = f"no bar of {len(bars):,} series is overdue by more than 5 minutes"
        yield Notice(severity=Severity.NONE, subject="delay", text=text)


def _tell_completeness(completeness: Iterable[Completeness]) -> Iterable[Notice]:
    for one in completeness:
        (ledger_before, ledger_after), (rows_before, rows_after) = one.ledger_ppm, one.rows_ppm
        if one.agrees:
            text = (
                f"{ledger_before:,} ppm of {one.numbers:,} numbers were missing before repair,"
                f" {rows_after:,} ppm are after it; ledger and rows agree"
            )
            yield Notice(severity=Severity.NONE, subject=one.channel, text=text)
            continue
        said = "nobody counted" if rows_before is None else f"{rows_before:,} ppm"
        text = (
            f"missing before and after repair: {ledger_before:,} and {ledger_after:,} ppm by the"
            f" ledger, but {said} and {rows_after:,} ppm by the rows"
        )
        yield Notice(severity=Severity.WARNING, subject=one.channel, text=text)


def _tell_ledger(gaps: Sequence[LedgerRow], unnamed: int) -> Iterable[Notice]:
    open_count = sum(1 for row in gaps if row.state is GapState.OPEN)
    if unnamed:
        yield Notice(
            severity=Severity.WARNING,
            subject="ledger",
            text=f"{unnamed:,} holes in the numbers are not named in the ledger",
        )
    if open_count:
        text = f"{open_count:,} gaps are open"
        yield Notice(severity=Severity.WARNING, subject="ledger", text=text)
    else:
        text = "no gap is open" if gaps else "no gap was found"
        yield Notice(severity=Severity.NONE, subject="ledger", text=text)


def _sum_causes(gaps: Iterable[LedgerRow]) -> tuple[GapSum, ...]:
    counted = Counter((row.channel, row.cause, row.state) for row in gaps)
    pairs = sorted({(channel, cause) for channel, cause, _ in counted})
    return tuple(
        GapSum(
            channel=channel,
            cause=cause,
            **{state.value: counted[channel, cause, state] for state in GapState},
        )
        for channel, cause in pairs
    )


def _sum_days(gaps: Iterable[LedgerRow]) -> tuple[GapDay, ...]:
    counted = Counter((row.detected_ns // DAY_NS * DAY_NS, row.state) for row in gaps)
    days = sorted({day for day, _ in counted})
    return tuple(
        GapDay(day_ns=day, **{state.value: counted[day, state] for state in GapState})
        for day in days
    )


def _sum_delay(channel: str, counted: Mapping[int, int]) -> DelaySum:
    counts = tuple(counted.get(index, 0) for index in range(len(DELAY_BOUNDS) + 1))
    return DelaySum(
        channel=channel,
        rows=sum(counts),
        counts=counts,
        quantiles=tuple(_quantile(counts, percent) for percent in QUANTILES),
    )


# The upper bound of the class in which so many percent of all rows have come.
def _quantile(counts: Sequence[int], percent: int) -> float | None:
    wanted, seen = sum(counts) * percent, 0
    for bound, count in zip(DELAY_BOUNDS, counts, strict=False):
        seen += count
        if seen * 100 >= wanted:
            return bound
    return None


def _name(series: SeriesQuality) -> str:
    return f"{series.instrument_id} {series.channel}"
