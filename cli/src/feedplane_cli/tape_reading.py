"""Reading what a tape holds of a range, each table once.

Everything is counted by the database; what comes over the wire is one line per series, day and
class of delay, and the ledger.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from feedplane_cli.core.tape import (
    DELAY_BOUNDS,
    GapState,
    IdHole,
    LedgerRow,
    SeriesDay,
    SeriesKey,
    SetAside,
    Tape,
)
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres_schema import quote_name

MAX_HOLES: Final = 100_000
MAX_ROWS_FOR_LATE: Final = 3_000_000
"""More trades are not put in order to see which arrived late."""
LATE_SECONDS: Final = 1.5
"""Rows that follow so long after one behind them were missing; a hole waits two seconds before it
is named. What a Backfill put before the first row received live is not missing, but older."""
_SLOW_CLASS: Final = DELAY_BOUNDS.index(1.0) + 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_COUNT: Final = """
select instrument_id, {channel} as channel, date_trunc('day', {time}) as day,
    width_bucket(ts_recv - ts_event, $4::interval[]) as delay,
    count(*) as rows, min({id})::bigint as first_id, max({id})::bigint as last_id,
    min({time}) as oldest, max({time}) as newest
from {table}
where {time} >= $1 and {time} < $2 and ($3::text[] is null or instrument_id = any($3)) {extra}
group by 1, 2, 3, 4
"""
_HOLES: Final = """
select instrument_id, previous + 1 as first_id, trade_id - 1 as last_id, ts_event
from (
    select instrument_id, trade_id, ts_event,
        lag(trade_id) over (partition by instrument_id order by trade_id) as previous
    from {schema}.trades
    where ts_event >= $1 and ts_event < $2 and instrument_id = any($3) and trade_id >= 0
) as numbered
where trade_id > previous + 1
order by instrument_id, trade_id
limit $4
"""
_LATE: Final = """
with ordered as (
    select instrument_id, trade_id, ts_recv > $4::interval + min(ts_recv) over (
        partition by instrument_id order by trade_id desc
        rows between unbounded preceding and 1 preceding
    ) as late
    from {schema}.trades
    where ts_event >= $1 and ts_event < $2 and ($3::text[] is null or instrument_id = any($3))
        and trade_id >= 0
), began as (
    select instrument_id, min(trade_id) as trade_id
    from ordered where late is not true group by 1
)
select instrument_id, count(*) as rows
from ordered join began using (instrument_id)
where late and ordered.trade_id > began.trade_id
group by 1
"""
_GAPS: Final = """
select instrument_id, channel, cause, from_id, to_id, from_ts, to_ts, detected_at, filled_at,
    filled_by, reason
from {schema}.gaps
where coalesce(to_ts, detected_at) >= $1 and coalesce(from_ts, detected_at) < $2
    and ($3::text[] is null or instrument_id = any($3))
order by detected_at
"""
_SET_ASIDE: Final = """
select instrument_id, channel, reason, count(*) as rows
from {schema}.quarantine
where ts_recv >= $1 and ts_recv < $2 and ($3::text[] is null or instrument_id = any($3))
group by 1, 2, 3 order by 4 desc limit 200
"""


@dataclass(frozen=True, slots=True)
class _Source:
    table: str
    channel: str
    time: str
    id: str
    extra: str = ""


_SOURCES: Final = {
    # An id below zero stands in no run.
    ChannelKind.TRADE.value: _Source(
        "trades", "'trade'", "ts_event", "case when trade_id >= 0 then trade_id end"
    ),
    ChannelKind.QUOTE.value: _Source("quotes", "'quote'", "ts_event", "sequence"),
    ChannelKind.BAR.value: _Source(
        "bars", "'bar-' || interval", "ts_open", "null::bigint", "and final"
    ),
    ChannelKind.BOOK.value: _Source(
        "book_deltas", "'book'", "ts_event", "last_id", "and not snapshot"
    ),
    ChannelKind.METRIC.value: _Source("metrics", "'metric'", "ts_event", "null::bigint"),
    "snapshot": _Source("snapshots", "'snapshot'", "ts_event", "null::bigint"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which part of a tape is read."""

    schema: str
    start: datetime
    end: datetime
    instruments: tuple[str, ...] = ()
    """Identities; empty takes all."""
    channels: tuple[str, ...] = ()
    """Empty takes all."""

    @property
    def range(self) -> tuple[datetime, datetime, list[str] | None]:
        """The first three arguments of every statement."""
        return self.start, self.end, list(self.instruments) or None

    def takes(self, channel: str) -> bool:
        """Tell whether a channel is in it."""
        return not self.channels or channel in self.channels

    @property
    def kinds(self) -> list[str]:
        """The kinds of channels, each one table."""
        named = {channel.partition("-")[0] for channel in self.channels}
        return [kind for kind in _SOURCES if not named or kind in named]


async def read_tape(connection: asyncpg.Connection, choice: Choice) -> Tape:
    """Read a range of a tape."""
    schema = quote_name(choice.schema)
    counted: list[asyncpg.Record] = []
    bounds = [timedelta(seconds=bound) for bound in DELAY_BOUNDS]
    for kind in choice.kinds:
        if not await connection.fetchval("select to_regclass($1)", _table(schema, kind)):
            # Made by a release before this kind of channel.
            continue
        rows = await connection.fetch(_count(schema, kind), *choice.range, bounds)
        counted += [row for row in rows if choice.takes(row["channel"])]
    days = _gather_days(counted)
    gaps = await connection.fetch(_GAPS.format(schema=schema), *choice.range)
    set_aside = await connection.fetch(_SET_ASIDE.format(schema=schema), *choice.range)
    return Tape(
        days=days,
        delays=_gather_delays(counted),
        holes=await _read_holes(connection, schema, choice, days),
        gaps=tuple(_ledger_row(row) for row in gaps if choice.takes(row["channel"])),
        set_aside=tuple(
            SetAside(row["instrument_id"], row["channel"], row["reason"], row["rows"])
            for row in set_aside
            if choice.takes(row["channel"])
        ),
        late=await _read_late(connection, schema, choice, counted),
    )


def _count(schema: str, kind: str) -> str:
    source = _SOURCES[kind]
    return _COUNT.format(
        channel=source.channel,
        time=source.time,
        id=source.id,
        table=_table(schema, kind),
        extra=source.extra,
    )


def _table(schema: str, kind: str) -> str:
    return f"{schema}.{_SOURCES[kind].table}"


def _gather_days(counted: Iterable[asyncpg.Record]) -> tuple[SeriesDay, ...]:
    grouped: dict[tuple[str, str, datetime], list[asyncpg.Record]] = defaultdict(list)
    for row in counted:
        grouped[row["instrument_id"], row["channel"], row["day"]].append(row)
    return tuple(
        SeriesDay(
            instrument_id=instrument_id,
            channel=channel,
            day_ns=as_ns(day),
            rows=sum(row["rows"] for row in rows),
            first_id=min(
                (row["first_id"] for row in rows if row["first_id"] is not None), default=None
            ),
            last_id=max(
                (row["last_id"] for row in rows if row["last_id"] is not None), default=None
            ),
            oldest_ns=min(as_ns(row["oldest"]) for row in rows),
            newest_ns=max(as_ns(row["newest"]) for row in rows),
        )
        for (instrument_id, channel, day), rows in sorted(grouped.items())
    )


def _gather_delays(counted: Iterable[asyncpg.Record]) -> dict[str, dict[int, int]]:
    delays: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in counted:
        delays[row["channel"]][row["delay"]] += row["rows"]
    return {channel: dict(counts) for channel, counts in delays.items()}


async def _read_holes(
    connection: asyncpg.Connection, schema: str, choice: Choice, days: Sequence[SeriesDay]
) -> tuple[IdHole, ...]:
    spans: dict[str, list[SeriesDay]] = defaultdict(list)
    for day in days:
        if day.channel == ChannelKind.TRADE and day.first_id is not None:
            spans[day.instrument_id].append(day)
    # Numbers do not repeat, so a span as long as its rows has no hole: only others are sorted.
    broken = {
        instrument_id: _broken_days(mine)
        for instrument_id, mine in spans.items()
        if _span(mine) != sum(day.rows for day in mine)
    }
    if not broken:
        return ()
    touched = [day for mine in broken.values() for day in mine]
    start, end = _around(min(touched), max(touched), choice)
    rows = await connection.fetch(_HOLES.format(schema=schema), start, end, list(broken), MAX_HOLES)
    return tuple(
        IdHole(
            row["instrument_id"],
            ChannelKind.TRADE.value,
            row["first_id"],
            row["last_id"],
            as_ns(row["ts_event"]),
        )
        for row in rows
    )


async def _read_late(
    connection: asyncpg.Connection,
    schema: str,
    choice: Choice,
    counted: Sequence[asyncpg.Record],
) -> dict[SeriesKey, int] | None:
    # What came after rows behind it came late after its own event, too: without a row of that
    # kind there is nothing to put in order.
    trades = [
        row
        for row in counted
        if row["channel"] == ChannelKind.TRADE and row["first_id"] is not None
    ]
    slow = [row for row in trades if row["delay"] >= _SLOW_CLASS]
    if not slow:
        return {}
    instruments = {row["instrument_id"] for row in slow}
    days = [as_ns(row["day"]) for row in slow]
    size = sum(
        row["rows"]
        for row in trades
        if row["instrument_id"] in instruments and min(days) <= as_ns(row["day"]) <= max(days)
    )
    if size > MAX_ROWS_FOR_LATE:
        return None
    start, end = _around(min(days), max(days), choice)
    late = timedelta(seconds=LATE_SECONDS)
    rows = await connection.fetch(
        _LATE.format(schema=schema), start, end, sorted(instruments), late
    )
    return {(row["instrument_id"], ChannelKind.TRADE.value): row["rows"] for row in rows}


# The days whose own numbers have a hole, or between which and the next there is one; both ends.
def _broken_days(days: Sequence[SeriesDay]) -> list[int]:
    found = [day.day_ns for day in days if _span([day]) != day.rows]
    for before, after in itertools.pairwise(sorted(days, key=lambda day: day.day_ns)):
        if before.last_id is None or before.last_id + 1 != after.first_id:
            found += [before.day_ns, after.day_ns]
    return found


# A range of days with an hour before it, so that the first row of it has one behind.
def _around(first_ns: int, last_ns: int, choice: Choice) -> tuple[datetime, datetime]:
    start = _EPOCH + timedelta(microseconds=first_ns // 1000) - timedelta(hours=1)
    end = _EPOCH + timedelta(microseconds=last_ns // 1000) + timedelta(days=1)
    return max(start, choice.start), min(end, choice.end)


def _span(days: Sequence[SeriesDay]) -> int:
    first = min(day.first_id for day in days if day.first_id is not None)
    last = max(day.last_id for day in days if day.last_id is not None)
    return last - first + 1


def _ledger_row(row: asyncpg.Record) -> LedgerRow:
    state = GapState.OPEN
    if row["filled_at"] is not None:
        state = GapState.FILLED
    elif row["reason"] is not None:
        state = GapState.UNFILLABLE
    return LedgerRow(
        instrument_id=row["instrument_id"],
        channel=row["channel"],
        cause=row["cause"],
        state=state,
        detected_ns=as_ns(row["detected_at"]),
        from_id=row["from_id"],
        to_id=row["to_id"],
        from_ns=_maybe_ns(row["from_ts"]),
        to_ns=_maybe_ns(row["to_ts"]),
        filled_by=row["filled_by"],
        filled_ns=_maybe_ns(row["filled_at"]),
        reason=row["reason"],
    )


def as_ns(moment: datetime) -> int:
    """Return a database's time in nanoseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _maybe_ns(moment: datetime | None) -> int | None:
    return None if moment is None else as_ns(moment)
