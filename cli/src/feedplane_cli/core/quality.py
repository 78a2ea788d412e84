"""Is a tape good: what it holds of a range against what it should, and the verdicts on that.

Bars are counted against the market's sessions, numbered channels by their numbers; of other
channels nobody can know how many rows there should be. Pure: the tape, the calendar and the
moment are arguments. Must not know tables or how a report looks.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from feedplane_api.backfill import Severity
from feedplane_api.quality import (
    judge_delay,
    judge_missing,
    parts_per_million,
    percent_up,
    worst,
)
from feedplane_cli.core.tape import DAY_NS, SECOND_NS, IdHole, SeriesDay, SeriesKey, Tape
from feedplane_feeder.core.chunks import expected_rows, first_open_ns, settled_end_ns
from feedplane_feeder.core.integrity import ALL_DAY, Calendar
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.records import ChannelKind

NUMBERED: Final = frozenset({ChannelKind.TRADE.value})
"""Channels whose numbers follow one another without a hole, where the venue numbers so; else
they have none here."""
LOOK_AHEAD_DAYS: Final = 15
"""No market is shut for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about a tape."""

    wanted: tuple[SeriesKey, ...]
    """The should-list; a series that has no row at all is in it, too."""
    start_ns: int
    end_ns: int
    """First moment after the range."""
    now_ns: int
    strict: bool
    """Whether rows are expected from the range's start on, or from a series' first row on."""
    sparse: frozenset[str] = frozenset()
    """Venues, as they end identities, that make no bar where nothing was traded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayQuality:
    """One day of a series."""

    day_ns: int
    rows: int
    expected: int | None
    """None where nobody can know."""
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuality:
    """One channel of one instrument over the range."""

    instrument_id: str
    channel: str
    rows: int
    expected: int | None
    missing: int
    severity: Severity
    overdue_ns: int | None
    """For how long the next bar has been due; None where that cannot be told."""
    overdue_severity: Severity
    days: tuple[DayQuality, ...]

    @property
    def key(self) -> SeriesKey:
        """Which series it is."""
        return self.instrument_id, self.channel


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelQuality:
    """All series of one channel."""

    channel: str
    series: int
    incomplete: int
    """Series that lack anything."""
    rows: int
    expected: int | None
    missing: int
    missing_percent: int
    missing_ppm: int
    severity: Severity


def judge_series(tape: Tape, question: Question, calendar: Calendar) -> tuple[SeriesQuality, ...]:
    """Judge every series that is wanted or held, the worst first."""
    held: dict[SeriesKey, dict[int, SeriesDay]] = defaultdict(dict)
    for day in tape.days:
        held[day.instrument_id, day.channel][day.day_ns] = day
    holes: dict[SeriesKey, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for hole in tape.holes:
        holes[hole.instrument_id, hole.channel][_midnight(hole.at_ns)] += hole.size
    keys = dict.fromkeys((*question.wanted, *sorted(held)))
    sessions = {
        day: tuple(calendar.sessions(day))
        for day in range(
            _midnight(question.start_ns), question.end_ns + LOOK_AHEAD_DAYS * DAY_NS, DAY_NS
        )
    }
    whole: dict[tuple[str, int], int] = {}
    found = [
        _judge_one(key, held.get(key, {}), holes.get(key, {}), question, sessions, whole)
        for key in keys
    ]
    return tuple(sorted(found, key=_worst_first))


def sum_up(series: Iterable[SeriesQuality]) -> tuple[ChannelQuality, ...]:
    """Return the sums of each channel, by name."""
    by_channel: dict[str, list[SeriesQuality]] = defaultdict(list)
    for each in series:
        by_channel[each.channel].append(each)
    return tuple(_sum_channel(channel, by_channel[channel]) for channel in sorted(by_channel))


def find_unnamed(holes: Sequence[IdHole], tape: Tape) -> tuple[IdHole, ...]:
    """Return the holes of the data of which the ledger does not name every number."""
    named: dict[SeriesKey, list[tuple[int, int]]] = defaultdict(list)
    for row in tape.gaps:
        if row.from_id is not None and row.to_id is not None:
            named[row.instrument_id, row.channel].append((row.from_id, row.to_id))
    merged = {key: merge_ranges(ranges) for key, ranges in named.items()}
    return tuple(
        hole
        for hole in holes
        if not _covered(hole, merged.get((hole.instrument_id, hole.channel), []))
    )


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of whole numbers, ends included, as few that do not touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def overdue(
    channel: str,
    newest_open_ns: int | None,
    question: Question,
    sessions: Mapping[int, Sequence[tuple[int, int]]],
) -> int | None:
    """Return for how long the bar after the newest one has been due; None where nobody can tell.

    Units: nanoseconds.
    """
    kind, _, interval = channel.partition("-")
    if kind != ChannelKind.BAR:
        return None
    seen_ns = min(question.now_ns, question.end_ns)
    if newest_open_ns is None:
        after_ns = first_open_ns(question.start_ns, interval)
    else:
        after_ns = next_open_ns(newest_open_ns, interval)
    due_ns = _next_in_session(after_ns, interval, sessions)
    if due_ns is None:
        return 0
    return max(0, seen_ns - next_open_ns(due_ns, interval))


def _judge_one(
    key: SeriesKey,
    held: Mapping[int, SeriesDay],
    holes: Mapping[int, int],
    question: Question,
    sessions: Mapping[int, Sequence[tuple[int, int]]],
    whole: dict[tuple[str, int], int],
) -> SeriesQuality:
    instrument_id, channel = key
    begin_ns = question.start_ns
    if not question.strict and held:
        begin_ns = max(begin_ns, held[min(held)].oldest_ns)
    end_ns = min(question.end_ns, settled_end_ns(channel, question.now_ns))
    sparse = instrument_id.rpartition(".")[2] in question.sparse
    span = _Span(begin_ns, end_ns, sessions, whole, sparse)
    days = tuple(
        _judge_day(channel, day, held.get(day), holes.get(day, 0), span)
        for day in range(_midnight(begin_ns), question.end_ns, DAY_NS)
        if day <= question.now_ns
    )
    known = [day for day in days if day.expected is not None]
    expected = sum(day.expected or 0 for day in known) if known else None
    rows, missing = sum(day.rows for day in days), sum(day.missing for day in days)
    nothing = not held and expected is None
    newest = held[max(held)].newest_ns if held else None
    late = None if sparse else overdue(channel, newest, question, sessions)
    return SeriesQuality(
        instrument_id=instrument_id,
        channel=channel,
        rows=rows,
        expected=expected,
        missing=missing,
        # What is wanted and has not a single row is missing altogether, however many there were.
        severity=Severity.ERROR if nothing else judge_missing(missing, expected or 0),
        overdue_ns=late,
        overdue_severity=judge_delay(late or 0),
        days=days,
    )


@dataclass(frozen=True, slots=True)
class _Span:
    begin_ns: int
    end_ns: int
    sessions: Mapping[int, Sequence[tuple[int, int]]]
    whole: dict[tuple[str, int], int]
    sparse: bool


def _judge_day(
    channel: str, day_ns: int, held: SeriesDay | None, hole: int, span: _Span
) -> DayQuality:
    rows = held.rows if held else 0
    if channel.startswith(f"{ChannelKind.BAR.value}-") and not span.sparse:
        expected = _expected_bars(channel, day_ns, span)
        return DayQuality(
            day_ns=day_ns, rows=rows, expected=expected, missing=max(0, expected - rows)
        )
    if channel in NUMBERED and held is not None and held.first_id is not None:
        return DayQuality(day_ns=day_ns, rows=rows, expected=rows + hole, missing=hole)
    return DayQuality(day_ns=day_ns, rows=rows, expected=None)


# Days wholly inside the range are alike for all instruments, so they are counted once.
def _expected_bars(channel: str, day_ns: int, span: _Span) -> int:
    low, high = max(day_ns, span.begin_ns), min(day_ns + DAY_NS, span.end_ns)
    if (low, high) != (day_ns, day_ns + DAY_NS):
        return _count_bars(channel, day_ns, low, high, span)
    key = (channel, day_ns)
    if key not in span.whole:
        span.whole[key] = _count_bars(channel, day_ns, low, high, span)
    return span.whole[key]


def _count_bars(channel: str, day_ns: int, low: int, high: int, span: _Span) -> int:
    sessions = span.sessions.get(day_ns, ())
    if sessions and channel[-1] in "dwM":
        # A bar of a day opens at its midnight, whenever the market does.
        sessions = ALL_DAY
    total = 0
    for start, end in sessions:
        first, last = max(day_ns + start, low), min(day_ns + end, high)
        if first < last:
            total += expected_rows(channel, first, last) or 0
    return total


# The first open time at or after a moment that lies in a session.
def _next_in_session(
    at_ns: int, interval: str, sessions: Mapping[int, Sequence[tuple[int, int]]]
) -> int | None:
    for day in sorted(sessions):
        if day + DAY_NS <= at_ns:
            continue
        for start, end in sessions[day]:
            opened = first_open_ns(max(day + start, at_ns), interval)
            if opened < day + end:
                return opened
    return None


def _sum_channel(channel: str, series: Sequence[SeriesQuality]) -> ChannelQuality:
    known = [each.expected for each in series if each.expected is not None]
    expected = sum(known) if known else None
    missing = sum(each.missing for each in series)
    return ChannelQuality(
        channel=channel,
        series=len(series),
        incomplete=sum(1 for each in series if each.missing or each.severity != Severity.NONE),
        rows=sum(each.rows for each in series),
        expected=expected,
        missing=missing,
        missing_percent=percent_up(missing, expected or 0),
        missing_ppm=parts_per_million(missing, expected or 0),
        severity=worst(*(each.severity for each in series), judge_missing(missing, expected or 0)),
    )


def _covered(hole: IdHole, ranges: Sequence[tuple[int, int]]) -> bool:
    place = bisect_right(ranges, (hole.first_id, hole.last_id + 1)) - 1
    return any(
        first <= hole.first_id and hole.last_id <= last
        for first, last in ranges[max(0, place) : place + 1]
    )


def _worst_first(series: SeriesQuality) -> tuple[float, int, str, str]:
    share = series.missing / series.expected if series.expected else 0.0
    if series.severity is Severity.ERROR and not series.rows:
        share = 1.0
    return -share, -(series.overdue_ns or 0) // SECOND_NS, series.instrument_id, series.channel


def _midnight(at_ns: int) -> int:
    return at_ns // DAY_NS * DAY_NS
