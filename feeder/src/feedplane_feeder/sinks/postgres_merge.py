"""The SQL of the postgres sink: staging merges, ledger rows, watermarks.

Text only, built once per sink. Must not know connections.
"""

from dataclasses import dataclass

from feedplane_feeder.sinks.postgres_schema import BARS, TABLES, Table, quote_name


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements of one schema."""

    stage: dict[str, str]
    """Creates the session's staging table, by data table."""
    merge: dict[str, str]
    """Moves staged rows into the keyed table; bars answer one row per row written."""
    gaps: str
    quarantine: str
    session_start: str
    session_end: str
    last: dict[str, str]
    """Newest held record per instrument, by channel kind."""


def stage_name(table: Table) -> str:
    """Return the name of a table's staging table in the session's temporary schema."""
    return f"feedplane_stage_{table.name}"


def render_statements(schema: str) -> Statements:
    """Write every statement for a schema."""
    name = quote_name(schema)
    return Statements(
        stage={table.name: _stage(name, table) for table in TABLES},
        merge={table.name: _merge(name, table) for table in TABLES},
        gaps=_GAPS.format(schema=name),
        quarantine=_QUARANTINE.format(schema=name),
        session_start=_SESSION_START.format(schema=name),
        session_end=_SESSION_END.format(schema=name),
        last={kind: text.format(schema=name) for kind, text in _LAST.items()},
    )


def _stage(schema: str, table: Table) -> str:
    return (
        f"create temporary table if not exists {stage_name(table)}"
        f" (like {schema}.{table.name}) on commit delete rows"
    )


def _merge(schema: str, table: Table) -> str:
    # Sorted by key: a third less work for the server, and two writers that merge the same rows
    # take them in the same order, so that neither waits for the other in a circle.
    columns = ", ".join(quote_name(column) for column, _ in table.columns)
    key = ", ".join(quote_name(column) for column in table.key)
    if table is BARS:
        return _merge_bars(schema, columns, key)
    return (
        f"insert into {schema}.{table.name} ({columns})"  # noqa: S608 - names are ours
        f" select {columns} from {stage_name(table)} order by {key}"
        f" on conflict ({key}) do nothing"
    )


def _merge_bars(schema: str, columns: str, key: str) -> str:
    # A final bar never changes; until then the newest version wins.
    updates = ", ".join(
        f"{quote_name(column)} = excluded.{quote_name(column)}"
        for column, _ in BARS.columns
        if column not in BARS.key
    )
    return (
        f"insert into {schema}.bars as held ({columns})"  # noqa: S608 - names are ours
        f" select distinct on ({key}) {columns} from {stage_name(BARS)}"
        f" order by {key}, final desc, ts_event desc"
        f" on conflict ({key}) do update set {updates}"
        " where not held.final and (excluded.final or excluded.ts_event > held.ts_event)"
        " returning (xmax = 0) as inserted"
    )


_GAPS = """
insert into {schema}.gaps (instrument_id, channel, gap_key, cause, from_id, to_id, from_ts, to_ts,
    detected_at, feed_source, account)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[])
on conflict do nothing
"""
_QUARANTINE = """
insert into {schema}.quarantine (ts_recv, venue, channel, instrument_id, reason, raw, raw_digest,
    feed_source, account)
select ts_recv, venue, channel, instrument_id, reason, raw, md5(raw)::uuid, feed_source, account
from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::text[])
    as q (ts_recv, venue, channel, instrument_id, reason, raw, feed_source, account)
on conflict do nothing
"""
_SESSION_START = """
insert into {schema}.feed_sessions (feed_source, shard, account, epoch, started_at, reason)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing
"""
_SESSION_END = """
update {schema}.feed_sessions set ended_at = $5
where feed_source = $1 and shard = $2 and account = $3 and epoch = $4 and ended_at is null
"""

# `ts` is microseconds since the Unix epoch, so that nothing is rounded on the way.
_LAST = {
    "trade": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select trade_id as id, (extract(epoch from ts_event) * 1000000)::bigint as ts, true as complete
    from {schema}.trades t where t.instrument_id = w.instrument_id
    order by t.ts_event desc, t.trade_id desc limit 1) held
""",
    "quote": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select sequence as id, (extract(epoch from ts_event) * 1000000)::bigint as ts, true as complete
    from {schema}.quotes t where t.instrument_id = w.instrument_id
    order by t.sequence desc limit 1) held
""",
    "bar": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select null::bigint as id, (extract(epoch from ts_open) * 1000000)::bigint as ts,
        final as complete
    from {schema}.bars t where t.instrument_id = w.instrument_id and t.interval = $2
    order by t.ts_open desc limit 1) held
""",
    # A snapshot bears our own time where the venue prints none, so the newest rows by time are
    # looked at and the highest number among them counts.
    "book": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select max(last_id) as id, (extract(epoch from max(ts_event)) * 1000000)::bigint as ts,
        true as complete
    from (select last_id, ts_event from {schema}.book_deltas t
        where t.instrument_id = w.instrument_id order by t.ts_event desc limit 32) newest
    having max(last_id) is not null) held
""",
    "metric": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select null::bigint as id, (extract(epoch from max(ts_event)) * 1000000)::bigint as ts,
        true as complete
    from {schema}.metrics t where t.instrument_id = w.instrument_id
    having max(ts_event) is not null) held
""",
}
