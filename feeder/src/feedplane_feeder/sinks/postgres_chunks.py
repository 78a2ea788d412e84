"""The SQL of a backfill: what is held of a chunk, merges of bulk rows, the row of a chunk.

Text only. Must not know connections.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedplane_feeder.core.chunks import Chunk
from feedplane_feeder.core.progress import ChunkResult
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres_ledger import as_time, clean_text
from feedplane_feeder.sinks.postgres_schema import BARS, Table, quote_name
from feedplane_feeder.sinks.postgres_text import COLUMNS, TABLE_OF

LONGEST_MESSAGE = 512
_COUNTS = ("rows_updated", "rows_held", "rows_expected", "rows_missing", "tries")
ADDED_COLUMNS = {
    **dict.fromkeys(_COUNTS, "bigint not null default 0"),
    "range_start": "timestamptz",
    "range_end": "timestamptz",
}
"""Columns that tables of an earlier release lack, with their types."""


@dataclass(frozen=True, slots=True)
class ChunkStatements:
    """Statements of one schema."""

    extend: str
    """Adds the columns that tables of the first version lack."""
    extended: str
    """Tells whether they are there."""
    stage: dict[str, str]
    """Creates the session's staging table, by kind of channel."""
    merge: dict[str, str]
    """Moves staged rows into the keyed table: answers inserted and touched."""
    overwrite: dict[str, str]
    """The same, and replaces what differs."""
    held: dict[str, str]
    """Counts what is there of chunks, by kind."""
    remember: str
    recall: str
    known: str


def stage_table(kind: str) -> str:
    """Return the name of a kind's staging table in the session's temporary schema."""
    return f"feedplane_history_{kind}"


def render_chunk_statements(schema: str) -> ChunkStatements:
    """Write every statement for a schema."""
    name = quote_name(schema)
    kinds = tuple(TABLE_OF)
    added = ", ".join(
        f"add column if not exists {column} {kind}" for column, kind in ADDED_COLUMNS.items()
    )
    return ChunkStatements(
        extend=f"alter table {name}.backfill_chunks {added}",
        extended=(
            "select count(*) = $1 from information_schema.columns where table_schema = $2"
            " and table_name = 'backfill_chunks' and column_name = any($3)"
        ),
        stage={
            kind: f"create temporary table if not exists {stage_table(kind)}"
            f" (like {name}.{TABLE_OF[kind].name}) on commit delete rows"
            for kind in kinds
        },
        merge={kind: _merge(name, kind, overwrite=False) for kind in kinds},
        overwrite={kind: _merge(name, kind, overwrite=True) for kind in kinds},
        held={kind: text.format(schema=name, wanted=_WANTED) for kind, text in _HELD.items()},
        remember=_REMEMBER.format(schema=name),
        recall=_RECALL.format(schema=name),
        known=_KNOWN.format(schema=name),
    )


def held_arguments(chunks: Sequence[Chunk]) -> tuple[list[object], ...]:
    """Return the arguments of a `held` statement but for the interval."""
    return (
        [chunk.number for chunk in chunks],
        [chunk.instrument_id for chunk in chunks],
        [as_time(chunk.start_ns) for chunk in chunks],
        [as_time(chunk.end_ns) for chunk in chunks],
    )


def remember_arguments(backfill: str, results: Sequence[ChunkResult]) -> tuple[list[object], ...]:
    """Return the arguments of the `remember` statement."""
    rows = [
        (
            backfill,
            result.chunk.number,
            result.chunk.instrument_id,
            result.chunk.channel,
            as_time(result.chunk.start_ns),
            result.state.value,
            result.source,
            result.checksum,
            result.written.new,
            result.written.updated,
            result.written.duplicate,
            result.written.quarantined,
            result.rows_held,
            result.rows_expected or 0,
            result.rows_missing,
            result.tries,
            as_time(result.started_ns),
            as_time(result.finished_ns),
            clean_text(f"{result.reason}: {result.message}"[:LONGEST_MESSAGE])
            if result.reason
            else None,
            as_time(result.chunk.start_ns),
            as_time(result.chunk.end_ns),
        )
        for result in results
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _merge(schema: str, kind: str, *, overwrite: bool) -> str:
    table = TABLE_OF[kind]
    columns = ", ".join(quote_name(column) for column in COLUMNS[kind])
    key = ", ".join(quote_name(column) for column in table.key)
    updates = ", ".join(
        f"{quote_name(column)} = excluded.{quote_name(column)}"
        for column in COLUMNS[kind]
        if column not in table.key
    )
    action = "do nothing"
    if overwrite:
        action = f"do update set {updates} where {_differs(kind, table)}"
    elif table is BARS:
        # What history brings is final; it replaces what the live tape had not finished.
        action = f"do update set {updates} where not held.final"
    return (
        f"with moved as (insert into {schema}.{table.name} as held ({columns})"  # noqa: S608
        f" select distinct on ({key}) {columns} from {stage_table(kind)} order by {key}"
        f" on conflict ({key}) {action} returning (xmax = 0) as inserted)"
        " select count(*) filter (where inserted) as inserted, count(*) as touched from moved"
    )


# Times of receipt differ each time, so they do not count as a difference.
def _differs(kind: str, table: Table) -> str:
    passed_over = {*table.key, "ts_recv", "ts_event"}
    values = [column for column in COLUMNS[kind] if column not in passed_over]
    held = ", ".join(f"held.{quote_name(column)}" for column in values)
    excluded = ", ".join(f"excluded.{quote_name(column)}" for column in values)
    return f"({held}) is distinct from ({excluded})"


_WANTED = """
from unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    as w (number, instrument_id, starts, ends)
"""
_HELD = {
    ChannelKind.BAR.value: """
select w.number, found.rows, null::bigint as first_id, null::bigint as last_id {wanted}
cross join lateral (select count(*) as rows from {schema}.bars t
    where t.instrument_id = w.instrument_id and t.interval = $5
        and t.ts_open >= w.starts and t.ts_open < w.ends and t.final) found
where found.rows > 0
""",
    ChannelKind.TRADE.value: """
select w.number, found.* {wanted}
cross join lateral (select count(*) as rows, min(trade_id) as first_id, max(trade_id) as last_id
    from {schema}.trades t
    where t.instrument_id = w.instrument_id
        and t.ts_event >= w.starts and t.ts_event < w.ends) found
where found.rows > 0
""",
    ChannelKind.METRIC.value: """
select w.number, found.rows, null::bigint as first_id, null::bigint as last_id {wanted}
cross join lateral (select count(*) as rows from {schema}.metrics t
    where t.instrument_id = w.instrument_id
        and t.ts_event >= w.starts and t.ts_event < w.ends) found
where found.rows > 0
""",
}
_REMEMBER = """
insert into {schema}.backfill_chunks (backfill, chunk, instrument_id, channel, day, state, source,
    checksum, rows_new, rows_updated, rows_duplicate, rows_quarantined, rows_held, rows_expected,
    rows_missing, tries, started_at, finished_at, error, range_start, range_end)
select backfill, chunk, instrument_id, channel, (day at time zone 'UTC')::date, state, source,
    checksum, rows_new, rows_updated, rows_duplicate, rows_quarantined, rows_held, rows_expected,
    rows_missing, tries, started_at, finished_at, error, range_start, range_end
from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
    $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::timestamptz[],
    $18::timestamptz[], $19::text[], $20::timestamptz[], $21::timestamptz[])
    as c (backfill, chunk, instrument_id, channel, day, state, source, checksum, rows_new,
        rows_updated, rows_duplicate, rows_quarantined, rows_held, rows_expected, rows_missing,
        tries, started_at, finished_at, error, range_start, range_end)
on conflict (backfill, chunk) do update set instrument_id = excluded.instrument_id,
    channel = excluded.channel, day = excluded.day, state = excluded.state,
    source = excluded.source, checksum = excluded.checksum, rows_new = excluded.rows_new,
    rows_updated = excluded.rows_updated, rows_duplicate = excluded.rows_duplicate,
    rows_quarantined = excluded.rows_quarantined, rows_held = excluded.rows_held,
    rows_expected = excluded.rows_expected, rows_missing = excluded.rows_missing,
    tries = excluded.tries, started_at = excluded.started_at,
    finished_at = excluded.finished_at, error = excluded.error,
    range_start = excluded.range_start, range_end = excluded.range_end
"""
_RECALL = """
select chunk, instrument_id, channel, day, state, source, checksum, rows_new, rows_updated,
    rows_duplicate, rows_quarantined, rows_held, rows_expected, tries
from {schema}.backfill_chunks where backfill = $1 and state = 'done'
"""
# What an earlier backfill counted, of chunks over the same time: the count of a part of a day says
# nothing about the day.
_KNOWN = """
select instrument_id, range_start, range_end, max(rows_held) as rows from {schema}.backfill_chunks
where channel = $1 and instrument_id = any($2::text[]) and day >= $3::date and day <= $4::date
    and state = 'done' and rows_missing = 0 and rows_held > 0 and backfill <> $5
    and range_start is not null and range_end is not null
group by instrument_id, range_start, range_end
"""
