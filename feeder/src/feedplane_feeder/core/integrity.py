"""Is the tape complete: what should be there by calendar and listing against what is there.

Decides for thousands of instruments at once from counts per instrument and day; a day without
trading is no hole, and neither is one before the listing. What a backfill has looked for already
is told from what nobody has tried. Pure: the calendar and the counts are arguments. Must not know
tables or venues.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from feedplane_feeder.core.chunks import DAY_NS, expected_rows
from feedplane_feeder.records import ChannelKind

ALL_DAY: Final = ((0, DAY_NS),)
_DAYS_AND_LONGER: Final = "dwM"


class Calendar(Protocol):
    """When a market trades."""

    def sessions(self, day_ns: int) -> Sequence[tuple[int, int]]:
        """Return the sessions of a UTC day as nanoseconds after its midnight; none when shut."""


class AlwaysOpen:
    """A market that never closes."""

    def sessions(self, day_ns: int) -> Sequence[tuple[int, int]]:
        """See `Calendar`."""
        del day_ns
        return ALL_DAY


@dataclass(frozen=True, slots=True)
class Listed:
    """One channel of one instrument, and since when it can have anything."""

    instrument_id: str
    channel: str
    listed_ns: int = 0
    delisted_ns: int | None = None


@dataclass(frozen=True, slots=True)
class MissingDay:
    """A day of an instrument that is not wholly there."""

    instrument_id: str
    channel: str
    day_ns: int
    rows: int
    expected: int | None
    """None where nobody can know, as with trades: then nothing at all is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a backfill did about one channel of one instrument over one time."""

    instrument_id: str
    channel: str
    start_ns: int
    end_ns: int
    held: int | None
    """Rows the tape held after all sources had been asked; None where they were not."""
    finished_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Neighbouring missing days of one channel, fetched as one."""

    instrument_id: str
    channel: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairGroup:
    """Instruments that lack the same channels over the same days."""

    instrument_ids: tuple[str, ...]
    channels: tuple[str, ...]
    start_ns: int
    end_ns: int


def check_days(
    listed: Iterable[Listed],
    days: Sequence[int],
    counts: Mapping[tuple[str, str], Mapping[int, int]],
    calendar: Calendar,
    *,
    dense: bool = True,
) -> Iterator[MissingDay]:
    """Yield the days that lack rows, in the order of what is listed.

    `days` are midnights in nanoseconds; `counts` holds rows by (instrument_id, channel) and
    midnight, absent where there are none. Where bars are not `dense`, as the venue makes none
    without a trade, a day with any of them is there.
    """
    sessions = {day: tuple(calendar.sessions(day)) for day in days}
    whole: dict[tuple[str, int], int | None] = {}
    nothing: Mapping[int, int] = {}
    for each in listed:
        held = counts.get((each.instrument_id, each.channel), nothing)
        for day in days:
            expected = _expected(each, day, sessions[day], whole)
            if expected == 0:
                continue
            if not dense:
                expected = None
            rows = held.get(day, 0)
            if rows < (1 if expected is None else expected):
                yield MissingDay(each.instrument_id, each.channel, day, rows, expected)


def plan_repairs(missing: Iterable[MissingDay]) -> tuple[Repair, ...]:
    """Return missing days as ranges, those side by side as one."""
    ordered = sorted(missing, key=lambda each: (each.instrument_id, each.channel, each.day_ns))
    repairs: list[Repair] = []
    for each in ordered:
        last = repairs[-1] if repairs else None
        start_ns, end_ns = each.day_ns, each.day_ns + DAY_NS
        if (
            last is not None
            and (last.instrument_id, last.channel) == (each.instrument_id, each.channel)
            and last.end_ns == start_ns
        ):
            repairs.pop()
            start_ns = last.start_ns
        repairs.append(
            Repair(
                instrument_id=each.instrument_id,
                channel=each.channel,
                start_ns=start_ns,
                end_ns=end_ns,
            )
        )
    return tuple(repairs)


def group_repairs(repairs: Iterable[Repair]) -> tuple[RepairGroup, ...]:
    """Return ranges so that each group is whole: all of it is missing. The oldest come first."""
    channels: dict[tuple[int, int, str], set[str]] = {}
    for repair in repairs:
        key = (repair.start_ns, repair.end_ns, repair.instrument_id)
        channels.setdefault(key, set()).add(repair.channel)
    instruments: dict[tuple[int, int, tuple[str, ...]], list[str]] = {}
    for (start_ns, end_ns, instrument_id), names in sorted(channels.items()):
        group = (start_ns, end_ns, tuple(sorted(names)))
        instruments.setdefault(group, []).append(instrument_id)
    return tuple(
        RepairGroup(
            instrument_ids=tuple(instruments[key]), channels=key[2], start_ns=key[0], end_ns=key[1]
        )
        for key in sorted(instruments)
    )


def drop_tried(
    missing: Iterable[MissingDay], tried: Iterable[Tried], since_ns: int
) -> tuple[MissingDay, ...]:
    """Return the days that are still worth fetching.

    Not those that all sources were asked about and that hold no less than after it, nor those
    that somebody tried to fetch since a moment, whatever came of it.
    """
    known: dict[tuple[str, str], list[Tried]] = {}
    for each in tried:
        known.setdefault((each.instrument_id, each.channel), []).append(each)
    return tuple(
        day
        for day in missing
        if not any(
            _settles(each, day, since_ns)
            for each in known.get((day.instrument_id, day.channel), ())
        )
    )


# What was held of a longer time than the day says only that the day was asked for.
def _settles(tried: Tried, day: MissingDay, since_ns: int) -> bool:
    if tried.start_ns > day.day_ns or tried.end_ns < day.day_ns + DAY_NS:
        return False
    if tried.finished_ns >= since_ns:
        return True
    alone = tried.end_ns - tried.start_ns == DAY_NS
    return tried.held is not None and (not alone or day.rows >= tried.held)


# Days within the listing are alike for all instruments of a channel, so they are counted once.
def _expected(
    each: Listed,
    day_ns: int,
    sessions: tuple[tuple[int, int], ...],
    whole: dict[tuple[str, int], int | None],
) -> int | None:
    if not sessions or day_ns + DAY_NS <= each.listed_ns:
        return 0
    if each.delisted_ns is not None and day_ns >= each.delisted_ns:
        return 0
    low = each.listed_ns
    high = each.delisted_ns if each.delisted_ns is not None else day_ns + DAY_NS
    if low <= day_ns and high >= day_ns + DAY_NS:
        key = (each.channel, day_ns)
        if key not in whole:
            whole[key] = _count(each.channel, day_ns, sessions, day_ns, day_ns + DAY_NS)
        return whole[key]
    return _count(each.channel, day_ns, sessions, low, high)


def _count(
    channel: str, day_ns: int, sessions: tuple[tuple[int, int], ...], low: int, high: int
) -> int | None:
    if channel.startswith(ChannelKind.BAR) and channel[-1] in _DAYS_AND_LONGER:
        # Such a bar opens at midnight, whenever its market does.
        traded = any(day_ns + start < high and day_ns + end > low for start, end in sessions)
        return expected_rows(channel, max(day_ns, low), min(day_ns + DAY_NS, high)) if traded else 0
    total = 0
    for start, end in sessions:
        first, last = max(day_ns + start, low), min(day_ns + end, high)
        if first >= last:
            continue
        expected = expected_rows(channel, first, last)
        if expected is None:
            return None
        total += expected
    return total
