"""History in chunks: which there are in a range, what each should hold, who fetches which.

A chunk is one channel of one instrument over one UTC day; bars of an hour and longer have months
and those of a day and longer years, so that a chunk is worth its row in the table. Chunks are
numbered in one order that depends on the range alone, so a second run finds its first one's.
Pure. Must not know venues or tables.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from feedplane_feeder.core.intervals import SECOND_NS, next_open_ns, previous_open_ns
from feedplane_feeder.records import ChannelKind

HOUR_NS: Final = 3_600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
# The epoch was a Thursday; weeks open on Mondays.
_MONDAY_NS: Final = 4 * DAY_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One part of the work: fetched, checked and remembered as one."""

    number: int
    """Its place among all chunks of the range."""
    symbol: str
    instrument_id: str
    channel: str
    start_ns: int
    end_ns: int
    """First moment after it."""

    @property
    def day(self) -> str:
        """The UTC day it begins on, as `2026-11-20`."""
        return datetime.fromtimestamp(self.start_ns // SECOND_NS, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One channel of one instrument that is wanted."""

    symbol: str
    instrument_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Chunks of one series that are fetched together: a month of days, or all longer ones."""

    chunks: tuple[Chunk, ...]

    @property
    def first(self) -> Chunk:
        """Its earliest chunk."""
        return self.chunks[0]


def plan_chunks(wanted: Iterable[Series], start_ns: int, end_ns: int) -> tuple[Chunk, ...]:
    """Return the chunks of a range, its end not included, in their one order."""
    ordered = sorted(set(wanted), key=lambda series: (series.symbol, series.channel))
    channels = {series.channel for series in ordered}
    spans = {channel: tuple(_spans(channel, start_ns, end_ns)) for channel in channels}
    placed = ((series, span) for series in ordered for span in spans[series.channel])
    return tuple(
        Chunk(
            number=number,
            symbol=series.symbol,
            instrument_id=series.instrument_id,
            channel=series.channel,
            start_ns=start,
            end_ns=end,
        )
        for number, (series, (start, end)) in enumerate(placed)
    )


def group_chunks(chunks: Iterable[Chunk]) -> tuple[Piece, ...]:
    """Return chunks in the pieces they are fetched in; those of a month share an archive file."""

    def key(chunk: Chunk) -> tuple[str, str, str]:
        month = chunk.day[:7] if _span_of(chunk.channel) == "day" else ""
        return chunk.symbol, chunk.channel, month

    grouped = itertools.groupby(sorted(chunks, key=lambda each: each.number), key)
    return tuple(Piece(tuple(inside)) for _, inside in grouped)


def share_pieces(pieces: Sequence[Piece], index: int, count: int) -> tuple[Piece, ...]:
    """Return one worker's part: every `count`-th piece, so that all end at about one time."""
    return tuple(pieces[index::count])


def expected_rows(channel: str, start_ns: int, end_ns: int) -> int | None:
    """Return how many rows a complete channel has in a range; None where nobody can know."""
    kind, _, interval = channel.partition("-")
    if kind != ChannelKind.BAR:
        return None
    return max(0, _opens_before(end_ns, interval) - _opens_before(start_ns, interval))


def settled_end_ns(channel: str, now_ns: int) -> int:
    """Return the moment before which everything of a channel has happened by now.

    A bar belongs to the past once it is over, so the last whole one ends the past.
    """
    kind, _, interval = channel.partition("-")
    if kind != ChannelKind.BAR:
        return now_ns
    # The open bar, and with it everything from its open time on, is still to come.
    return first_open_ns(now_ns + 1, interval, before=True)


def first_open_ns(at_ns: int, interval: str, *, before: bool = False) -> int:
    """Return the first open time at or after a moment, or with `before` the last one before it."""
    if interval == "1M":
        moment = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
        opened = int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * SECOND_NS
        opened = opened if opened >= at_ns else next_open_ns(opened, interval)
    else:
        length, offset = _length(interval)
        opened = -(-(at_ns - offset) // length) * length + offset
    return previous_open_ns(opened, interval) if before else opened


def _opens_before(at_ns: int, interval: str) -> int:
    if interval == "1M":
        first = datetime.fromtimestamp(first_open_ns(at_ns, interval) // SECOND_NS, UTC)
        return first.year * 12 + first.month
    length, offset = _length(interval)
    return -(-(at_ns - offset) // length)


def _length(interval: str) -> tuple[int, int]:
    length = next_open_ns(0, interval)
    return length, _MONDAY_NS if interval == "1w" else 0


def _span_of(channel: str) -> str:
    kind, _, interval = channel.partition("-")
    if kind != ChannelKind.BAR or interval[-1] in "sm":
        return "day"
    return "month" if interval[-1] == "h" else "year"


def _spans(channel: str, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    span, begin = _span_of(channel), start_ns
    while begin < end_ns:
        end = min(end_ns, _next_span(span, begin))
        yield begin, end
        begin = end


def _next_span(span: str, at_ns: int) -> int:
    if span == "day":
        return (at_ns // DAY_NS + 1) * DAY_NS
    moment = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    year, month = moment.year + 1, 1
    if span == "month":
        year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND_NS
