"""Rows of the control tables: gaps, quarantine and who published when.

A gap that one line saw may be on the tape from another: what of it is there gets no row, or the
row is marked as filled, split where only a part is.

Few and idempotent, so they go as ordinary inserts in the batch's own transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import replace

from feedplane_feeder.core.evidence import Repaired
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.takeover import split_range
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Gap,
    Metric,
    Quarantined,
    Quote,
    Record,
    Snapshot,
    Trade,
)
from feedplane_feeder.sinks.postgres_merge import Statements

LONGEST_RAW = 4_096
LONGEST_LOOK = 200_000
"""A gap of more ids than this is not compared with the tape id by id."""
LOOK_BACK_NS = 600 * 1_000_000_000
"""How far from its finding the ids of a gap are looked for on the tape."""
UNWRITABLE_REASON = "UnwritableValue"
_CHANNELS = {
    Trade: ChannelKind.TRADE.value,
    Quote: ChannelKind.QUOTE.value,
    Bar: ChannelKind.BAR.value,
    BookDelta: ChannelKind.BOOK.value,
    Metric: ChannelKind.METRIC.value,
    Snapshot: ChannelKind.SNAPSHOT.value,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Who found a gap or set a frame aside."""

    feed_source: str
    account: str
    shard: int


def gap_key(gap: Gap) -> str:
    """Return what makes a gap the same gap whoever found it: its ids, else its times."""
    if gap.from_id is not None or gap.to_id is not None:
        return f"id:{gap.from_id}..{gap.to_id}"
    return f"ts:{_micro(gap.from_ts)}..{_micro(gap.to_ts)}"


def clean_text(text: str) -> str:
    """Replace what a text column cannot hold."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def as_time(ts_ns: int | None) -> datetime | None:
    """Return a time of ours as the driver wants it, to the microsecond."""
    return None if ts_ns is None else _EPOCH + timedelta(microseconds=ts_ns // 1000)


def as_nanoseconds(time: datetime | None) -> int | None:
    """Return a time of the driver's as ours."""
    return None if time is None else (time - _EPOCH) // timedelta(microseconds=1) * 1000


async def write(
    connection: asyncpg.Connection, statements: Statements, finder: Finder, batch: Batch
) -> None:
    """Write a batch's gaps, quarantined frames and publisher sessions."""
    if batch.gaps:
        await connection.execute(statements.gaps, *_gap_columns(batch, finder))
    if batch.quarantined:
        await connection.execute(statements.quarantine, *_quarantine_columns(batch, finder))
    for repaired in batch.repaired:
        await _settle(connection, statements, repaired)
    for session in batch.publishers:
        key = (finder.feed_source, finder.shard, finder.account, session.epoch)
        if session.ended_at is None:
            await connection.execute(
                statements.session_start, *key, as_time(session.started_at), session.reason
            )
        else:
            await connection.execute(statements.session_end, *key, as_time(session.ended_at))


async def missing_parts(
    connection: asyncpg.Connection, statements: Statements, gap: Gap
) -> list[tuple[int, int]] | None:
    """Return which ids of a trade gap the tape lacks; None where that cannot be told."""
    if gap.channel != ChannelKind.TRADE.value or gap.from_id is None or gap.to_id is None:
        return None
    if gap.to_id - gap.from_id >= LONGEST_LOOK:
        return None
    found_at = gap.detected_at
    times = (found_at - LOOK_BACK_NS, found_at + LOOK_BACK_NS, found_at)
    rows = await connection.fetch(
        statements.present_ids, gap.instrument_id, gap.from_id, gap.to_id, *map(as_time, times)
    )
    return split_range(gap.from_id, gap.to_id, [row["trade_id"] for row in rows])


async def clip(
    connection: asyncpg.Connection, statements: Statements, gaps: Sequence[Gap]
) -> tuple[list[Gap], list[Gap]]:
    """Return what of these gaps is missing indeed, and the gaps of which nothing is."""
    left: list[Gap] = []
    covered: list[Gap] = []
    for gap in gaps:
        parts = await missing_parts(connection, statements, gap)
        if parts is None:
            left.append(gap)
        elif parts:
            left += [replace(gap, from_id=first, to_id=last) for first, last in parts]
        else:
            covered.append(gap)
    return left, covered


async def open_gaps(
    connection: asyncpg.Connection, statements: Statements, finder: Finder, since_ns: int
) -> list[Gap]:
    """Return the feed source's gaps found since then and still open."""
    rows = await connection.fetch(statements.open_gaps, finder.feed_source, as_time(since_ns))
    return [read_gap(dict(row)) for row in rows]


def read_gap(row: Mapping[str, Any]) -> Gap:
    """Return a row of the ledger as a gap."""
    return Gap(
        instrument_id=row["instrument_id"],
        channel=row["channel"],
        cause=row["cause"],
        detected_at=as_nanoseconds(row["detected_at"]) or 0,
        from_id=row["from_id"],
        to_id=row["to_id"],
        from_ts=as_nanoseconds(row["from_ts"]),
        to_ts=as_nanoseconds(row["to_ts"]),
    )


async def fill(
    connection: asyncpg.Connection, statements: Statements, gaps: Sequence[Gap], filled_by: str
) -> int:
    """Mark what of these gaps is on the tape as filled; return how many rows changed."""
    filled = 0
    for gap in gaps:
        async with connection.transaction():
            filled += await _fill(connection, statements, gap, filled_by)
    return filled


async def _fill(
    connection: asyncpg.Connection, statements: Statements, gap: Gap, filled_by: str
) -> int:
    key = (gap.instrument_id, gap.channel, gap_key(gap))
    parts = await missing_parts(connection, statements, gap)
    if gap.channel.startswith("bar-") and not await _has_bars(connection, statements, gap):
        return 0
    if not parts:
        if parts is None and gap.from_id is not None:
            return 0
        status = await connection.execute(statements.fill_gap, *key, filled_by)
        return int(status.rpartition(" ")[2])
    assert gap.from_id is not None  # noqa: S101 - only gaps with ids have parts
    assert gap.to_id is not None  # noqa: S101
    if parts == [(gap.from_id, gap.to_id)]:
        return 0
    there = [(first, last) for first, last in _between(gap.from_id, gap.to_id, parts)]
    pieces: list[tuple[str, int, int, str | None]] = [
        (f"id:{first}..{last}", first, last, None) for first, last in parts
    ]
    pieces += [(f"id:{first}..{last}", first, last, filled_by) for first, last in there]
    columns = (list(column) for column in zip(*pieces, strict=True))
    status = await connection.execute(statements.split_gap, *key, *columns)
    return int(status.rpartition(" ")[2])


async def _has_bars(connection: asyncpg.Connection, statements: Statements, gap: Gap) -> bool:
    interval = gap.channel.removeprefix("bar-")
    if gap.from_ts is None or gap.to_ts is None:
        return False
    expected = 0
    at_ns = gap.from_ts
    while at_ns <= gap.to_ts and expected <= LONGEST_LOOK:
        at_ns = next_open_ns(at_ns, interval)
        expected += 1
    times = (as_time(gap.from_ts), as_time(gap.to_ts))
    found = await connection.fetchval(statements.count_bars, gap.instrument_id, interval, *times)
    return bool(found == expected)


# What became of a gap; where it is not one thing, a row for each piece in its place.
async def _settle(
    connection: asyncpg.Connection, statements: Statements, repaired: Repaired
) -> None:
    gap, pieces = repaired.gap, repaired.pieces
    key = (gap.instrument_id, gap.channel, gap_key(gap))
    if len(pieces) == 1:
        (piece,) = pieces
        if not piece.open:
            await connection.execute(
                statements.settle_gap, *key, piece.filled_by, piece.reason, piece.rows
            )
        return
    rows = [
        (
            gap_key(piece.gap),
            piece.gap.from_id,
            piece.gap.to_id,
            as_time(piece.gap.from_ts),
            as_time(piece.gap.to_ts),
            piece.filled_by,
            piece.reason,
            piece.rows,
        )
        for piece in pieces
    ]
    columns = (list(column) for column in zip(*rows, strict=True))
    await connection.execute(statements.divide_gap, *key, *columns)


def _between(first: int, last: int, parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    edges = [first - 1, *(edge for part in parts for edge in part), last + 1]
    there = [(low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]
    return [(low, high) for low, high in there if low <= high]


def quarantine(record: Record, venue: str, cause: Exception) -> Quarantined:
    """Return a record that no column can hold as a row of the quarantine table."""
    return Quarantined(
        ts_recv=record.ts_recv,
        venue=venue,
        channel=_CHANNELS[type(record)],
        instrument_id=str(record.instrument_id),
        reason=UNWRITABLE_REASON,
        raw=f"{msgspec.json.encode(record).decode(errors='replace')} ({type(cause).__name__})",
    )


def _gap_columns(batch: Batch, finder: Finder) -> tuple[list[object], ...]:
    rows = [
        (
            gap.instrument_id,
            gap.channel,
            gap_key(gap),
            gap.cause,
            gap.from_id,
            gap.to_id,
            as_time(gap.from_ts),
            as_time(gap.to_ts),
            as_time(gap.detected_at),
            finder.feed_source,
            finder.account,
        )
        for gap in batch.gaps
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _quarantine_columns(batch: Batch, finder: Finder) -> tuple[list[object], ...]:
    rows = [
        (
            as_time(item.ts_recv),
            item.venue,
            item.channel,
            clean_text(item.instrument_id),
            item.reason,
            clean_text(item.raw[:LONGEST_RAW]),
            finder.feed_source,
            finder.account,
        )
        for item in batch.quarantined
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _micro(ts_ns: int | None) -> str:
    return "" if ts_ns is None else str(ts_ns // 1000)
