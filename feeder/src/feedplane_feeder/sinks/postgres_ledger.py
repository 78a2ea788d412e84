"""Rows of the control tables: gaps, quarantine and who published when.

Few and idempotent, so they go as ordinary inserts in the batch's own transaction.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from feedplane_feeder.core.ports import Batch
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    ChannelKind,
    Gap,
    Metric,
    Quarantined,
    Quote,
    Record,
    Trade,
)
from feedplane_feeder.sinks.postgres_merge import Statements

LONGEST_RAW = 4_096
UNWRITABLE_REASON = "UnwritableValue"
_CHANNELS = {
    Trade: ChannelKind.TRADE.value,
    Quote: ChannelKind.QUOTE.value,
    Bar: ChannelKind.BAR.value,
    BookDelta: ChannelKind.BOOK.value,
    Metric: ChannelKind.METRIC.value,
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


async def write(
    connection: asyncpg.Connection, statements: Statements, finder: Finder, batch: Batch
) -> None:
    """Write a batch's gaps, quarantined frames and publisher sessions."""
    if batch.gaps:
        await connection.execute(statements.gaps, *_gap_columns(batch, finder))
    if batch.quarantined:
        await connection.execute(statements.quarantine, *_quarantine_columns(batch, finder))
    for session in batch.publishers:
        key = (finder.feed_source, finder.shard, finder.account, session.epoch)
        if session.ended_at is None:
            await connection.execute(
                statements.session_start, *key, as_time(session.started_at), session.reason
            )
        else:
            await connection.execute(statements.session_end, *key, as_time(session.ended_at))


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
