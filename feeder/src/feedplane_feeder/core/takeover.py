"""Takeover: how a promoted line's tape continues the one a sink holds.

What another line wrote before is on the tape or named in the ledger, because no line lets a
record pass an unnamed hole. So a promoted line's own gaps count only beyond that, its book deltas
continue from the last committed number, and what the sink surely lacks is written first. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from msgspec.structs import replace as replace_fields

from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.core.ports import Batch, Watermark
from feedplane_feeder.core.restart import ChannelKey
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Gap,
    Quote,
    Record,
    Trade,
    is_numbered,
)

BOOK = ChannelKind.BOOK.value
TRADE = ChannelKind.TRADE.value
FLOOR_NS: Final = 5_000_000_000
"""So long after a promotion a book delta may still be one that the sink knows."""

Held = Mapping[ChannelKey, Watermark]
"""The newest record a sink holds, by channel."""


class BookFloors:
    """Per instrument, the last committed number of the book; deltas at or below it are known."""

    def __init__(self) -> None:
        self._floors: dict[str, int] = {}
        self._until_ns = 0

    def raise_to(self, held: Held, at_ns: int) -> None:
        """Take over the last committed numbers as of a promotion at that time."""
        self._until_ns = at_ns + FLOOR_NS
        for (instrument_id, channel), mark in held.items():
            if channel == BOOK and mark.sequence is not None:
                self._floors[instrument_id] = mark.sequence

    def clear(self, instrument_ids: Iterable[str] | None = None) -> None:
        """Let these books pass from now on, or all."""
        for instrument_id in list(self._floors) if instrument_ids is None else instrument_ids:
            self._floors.pop(instrument_id, None)

    def pass_records(self, records: Sequence[Record]) -> tuple[Sequence[Record], set[str]]:
        """Return the records without deltas wholly known, and whose books went beyond that."""
        floors = self._floors
        if not floors:
            return records, set()
        passed: list[Record] = []
        beyond: set[str] = set()
        for record in records:
            if type(record) is BookDelta and record.instrument_id in floors:
                known = record.last_id <= floors[record.instrument_id]
                if known and record.ts_recv <= self._until_ns:
                    continue
                beyond.add(record.instrument_id)
            passed.append(record)
        return passed, beyond


def clip_gap(gap: Gap, held: Watermark) -> Gap | None:
    """Return the part of a line's own gap that lies beyond what the sink holds, if any."""
    if gap.from_id is not None and gap.to_id is not None:
        return _clip_ids(gap, gap.from_id, gap.to_id, held)
    if gap.from_ts is None or gap.to_ts is None:
        return gap
    from_ts = max(gap.from_ts, _first_unknown(gap.channel, held))
    if gap.to_ts < from_ts or (gap.to_ts == from_ts and not gap.channel.startswith("bar-")):
        return None
    return gap if from_ts == gap.from_ts else replace_fields(gap, from_ts=from_ts)


def clip_gaps(gaps: Iterable[Gap], held: Held) -> list[Gap]:
    """Return what remains of a standby's gaps; the rest was another line's to name, or to keep."""
    clipped: list[Gap] = []
    for gap in gaps:
        mark = held.get((gap.instrument_id, gap.channel))
        left = gap if mark is None else clip_gap(gap, mark)
        if left is not None:
            clipped.append(left)
    return clipped


def split_known(batch: Batch, held: Held) -> tuple[Batch, list[Record]]:
    """Return the batch with what the sink surely lacks, and the records it probably holds."""
    beyond: list[Record] = []
    known: list[Record] = []
    marks = {key: mark for key, mark in held.items() if key[1] != BOOK}
    for record in batch.records:
        (known if _is_known(record, marks) else beyond).append(record)
    return replace(batch, records=beyond), known


def split_range(first: int, last: int, present: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of ids in `first..last` that are not among `present`, which rises."""
    parts: list[tuple[int, int]] = []
    expected = first
    for number in present:
        if number > expected:
            parts.append((expected, number - 1))
        expected = number + 1
    if expected <= last:
        parts.append((expected, last))
    return parts


def newest_recv(held: Held) -> int | None:
    """Return when the newest record a sink holds was received."""
    return max((mark.ts_recv for mark in held.values() if mark.ts_recv is not None), default=None)


def _is_known(record: Record, marks: Held) -> bool:
    if isinstance(record, Trade):
        mark = marks.get((record.instrument_id, TRADE))
        if mark is not None and not is_numbered(record):
            return record.ts_event <= mark.ts_event
        return mark is not None and mark.sequence is not None and record.trade_id <= mark.sequence
    if isinstance(record, Quote):
        mark = marks.get((record.instrument_id, ChannelKind.QUOTE.value))
        return mark is not None and mark.sequence is not None and record.sequence <= mark.sequence
    if isinstance(record, Bar):
        mark = marks.get((record.instrument_id, f"bar-{record.interval}"))
        return mark is not None and record.ts_open <= mark.ts_event
    return False


def _clip_ids(gap: Gap, from_id: int, to_id: int, held: Watermark) -> Gap | None:
    if held.sequence is None or from_id > held.sequence:
        return gap
    return None if to_id <= held.sequence else replace_fields(gap, from_id=held.sequence + 1)


def _first_unknown(channel: str, held: Watermark) -> int:
    if channel.startswith("bar-"):
        return next_open_ns(held.ts_event, channel.removeprefix("bar-"))
    return held.ts_event
