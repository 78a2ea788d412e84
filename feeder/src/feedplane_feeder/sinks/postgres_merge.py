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
    present_ids: str
    """Trade ids of a range that are on the tape."""
    count_bars: str
    open_gaps: str
    fill_gap: str
    split_gap: str
    """Puts parts, some of them filled, in place of an open gap."""
    settle_gap: str
    """Says of an open gap what became of it; `divide_gap` puts pieces in its place."""
    divide_gap: str
    begin_fill: str
    shard_gaps: str
    """Open gaps of some instruments, the oldest first."""
    settled_gaps: str
    give_up_gap: str
    neighbour_times: str
    """ts_event of the last trade before some number, and of the first one behind another."""
    count_ids: str
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
        present_ids=_PRESENT_IDS.format(schema=name),
        count_bars=_COUNT_BARS.format(schema=name),
        open_gaps=_OPEN_GAPS.format(schema=name),
        fill_gap=_FILL_GAP.format(schema=name),
        split_gap=_SPLIT_GAP.format(schema=name),
        settle_gap=_SETTLE_GAP.format(schema=name),
        divide_gap=_DIVIDE_GAP.format(schema=name),
        begin_fill=_BEGIN_FILL.format(schema=name),
        shard_gaps=_SHARD_GAPS.format(schema=name),
        settled_gaps=_SETTLED_GAPS.format(schema=name),
        give_up_gap=_GIVE_UP_GAP.format(schema=name),
        neighbour_times=_NEIGHBOUR_TIMES.format(schema=name),
        count_ids=_COUNT_IDS.format(schema=name),
        last={kind: text.format(schema=name) for kind, text in _LAST.items()},
    )


def _stage(schema: str, table: Table) -> str:
    return (
        f"create temporary table if not exists {stage_name(table)}"
        f" (like {schema}.{table.name}) on commit delete rows"
    )


def _merge(schema: str, table: Table) -> str:
    # Sorted by key: a little less work for the server, and two writers that merge the same rows
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
    # A final bar never changes; until then the newest version wins, of one moment the fuller one.
    updates = ", ".join(
        f"{quote_name(column)} = excluded.{quote_name(column)}"
        for column, _ in BARS.columns
        if column not in BARS.key
    )
    return (
        f"insert into {schema}.bars as held ({columns})"  # noqa: S608 - names are ours
        f" select distinct on ({key}) {columns} from {stage_name(BARS)}"
        f" order by {key}, final desc, ts_event desc, trade_count desc"
        f" on conflict ({key}) do update set {updates}"
        " where not held.final and (excluded.final or (excluded.ts_event, excluded.trade_count)"
        " > (held.ts_event, held.trade_count))"
        " returning (xmax = 0) as inserted"
    )


_GAPS = """
insert into {schema}.gaps (instrument_id, channel, gap_key, cause, from_id, to_id, from_ts, to_ts,
    detected_at, feed_source, account)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[])
on conflict do nothing
"""
# Only from about the neighbours of the ids on: the whole window may hold a hundred times as much.
# Times rise with the ids, but for what a venue prints a little out of order.
_PRESENT_IDS = """
with low as (select coalesce((select ts_event - interval '10 seconds' from {schema}.trades
        where instrument_id = $1 and trade_id < $2 and ts_event between $4 and $6
        order by ts_event desc, trade_id desc limit 1), $4) as ts),
    high as (select coalesce((select ts_event + interval '10 seconds' from {schema}.trades
        where instrument_id = $1 and trade_id > $3 and ts_event between (select ts from low) and $5
        order by ts_event, trade_id limit 1), $5) as ts)
select trade_id from {schema}.trades where instrument_id = $1 and trade_id between $2 and $3
    and ts_event between $4 and $5
    and ts_event between (select ts from low) and (select ts from high) order by trade_id
"""
_COUNT_BARS = """
select count(*) from {schema}.bars where instrument_id = $1 and interval = $2
    and ts_open between $3 and $4 and final
"""
_OPEN_GAPS = """
select * from {schema}.gaps where filled_at is null and reason is null and feed_source = $1
    and detected_at >= $2 order by detected_at limit 1000
"""
_FILL_GAP = """
update {schema}.gaps set filled_at = now(), filled_by = $4
where instrument_id = $1 and channel = $2 and gap_key = $3 and filled_at is null and reason is null
"""
_SPLIT_GAP = """
with whole as (delete from {schema}.gaps where instrument_id = $1 and channel = $2
    and gap_key = $3 and filled_at is null and reason is null returning *)
insert into {schema}.gaps (instrument_id, channel, gap_key, cause, from_id, to_id, detected_at,
    filled_at, filled_by, feed_source, account)
select whole.instrument_id, whole.channel, part.gap_key, whole.cause, part.from_id, part.to_id,
    whole.detected_at, case when part.filled_by is not null then now() end, part.filled_by,
    whole.feed_source, whole.account
from whole cross join unnest($4::text[], $5::bigint[], $6::bigint[], $7::text[])
    as part (gap_key, from_id, to_id, filled_by)
on conflict do nothing
"""
_SETTLE_GAP = """
update {schema}.gaps set filled_by = $4, filled_at = case when $4::text is not null then now() end,
    reason = $5, rows = $6
where instrument_id = $1 and channel = $2 and gap_key = $3 and filled_at is null and reason is null
"""
_DIVIDE_GAP = """
with whole as (delete from {schema}.gaps where instrument_id = $1 and channel = $2
    and gap_key = $3 and filled_at is null and reason is null returning *)
insert into {schema}.gaps (instrument_id, channel, gap_key, cause, from_id, to_id, from_ts, to_ts,
    detected_at, filled_at, filled_by, reason, rows, feed_source, account)
select whole.instrument_id, whole.channel, piece.gap_key, whole.cause, piece.from_id, piece.to_id,
    piece.from_ts, piece.to_ts, whole.detected_at,
    case when piece.filled_by is not null then now() end, piece.filled_by, piece.reason, piece.rows,
    whole.feed_source, whole.account
from whole cross join unnest($4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[],
    $8::timestamptz[], $9::text[], $10::text[], $11::bigint[])
    as piece (gap_key, from_id, to_id, from_ts, to_ts, filled_by, reason, rows)
on conflict do nothing
"""
_BEGIN_FILL = """
update {schema}.gaps set filling_since = now() where filling_since is null and filled_at is null
    and reason is null and (instrument_id, channel, gap_key) in
    (select * from unnest($1::text[], $2::text[], $3::text[]))
"""
_SHARD_GAPS = """
select * from {schema}.gaps where filled_at is null and reason is null
    and instrument_id = any($1::text[]) and feed_source = $2 order by detected_at limit $3
"""
_SETTLED_GAPS = """
select instrument_id, channel, count(filled_at) as filled,
    count(*) filter (where filled_at is null) as given_up,
    coalesce(sum(to_id - from_id + 1) filter (where filled_at is null), 0)::bigint as ids
from {schema}.gaps where (filled_at is not null or reason is not null)
    and instrument_id = any($1::text[]) and feed_source = $2 group by instrument_id, channel
"""
_GIVE_UP_GAP = """
update {schema}.gaps set reason = gone.reason
from unnest($1::text[], $2::text[], $3::text[], $4::text[])
    as gone (instrument_id, channel, gap_key, reason)
where gaps.instrument_id = gone.instrument_id and gaps.channel = gone.channel
    and gaps.gap_key = gone.gap_key and gaps.filled_at is null and gaps.reason is null
"""
_NEIGHBOUR_TIMES = """
select (select ts_event from {schema}.trades where instrument_id = $1 and trade_id < $2
        and ts_event <= $4 order by ts_event desc, trade_id desc limit 1) as before,
    (select ts_event from {schema}.trades where instrument_id = $1 and trade_id > $3
        and ts_event >= $5 order by ts_event, trade_id limit 1) as behind
"""
_COUNT_IDS = """
select count(*) from {schema}.trades where instrument_id = $1 and trade_id between $2 and $3
    and ts_event between $4 and $5
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
    select trade_id as id, (extract(epoch from ts_event) * 1000000)::bigint as ts,
        true as complete, (extract(epoch from ts_recv) * 1000000)::bigint as recv
    from {schema}.trades t where t.instrument_id = w.instrument_id
    order by t.ts_event desc, t.trade_id desc limit 1) held
""",
    "quote": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select sequence as id, (extract(epoch from ts_event) * 1000000)::bigint as ts,
        true as complete, (extract(epoch from ts_recv) * 1000000)::bigint as recv
    from {schema}.quotes t where t.instrument_id = w.instrument_id
    order by t.sequence desc limit 1) held
""",
    "bar": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select null::bigint as id, (extract(epoch from ts_open) * 1000000)::bigint as ts,
        final as complete, (extract(epoch from ts_recv) * 1000000)::bigint as recv
    from {schema}.bars t where t.instrument_id = w.instrument_id and t.interval = $2
    order by t.ts_open desc limit 1) held
""",
    # A snapshot bears our own time where the venue prints none, so the newest rows by time are
    # looked at and the highest number among them counts.
    "book": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select max(last_id) as id, (extract(epoch from max(ts_event)) * 1000000)::bigint as ts,
        true as complete, (extract(epoch from max(ts_recv)) * 1000000)::bigint as recv
    from (select last_id, ts_event, ts_recv from {schema}.book_deltas t
        where t.instrument_id = w.instrument_id order by t.ts_event desc limit 32) newest
    having max(last_id) is not null) held
""",
    "snapshot": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select null::bigint as id, (extract(epoch from ts_event) * 1000000)::bigint as ts,
        true as complete, (extract(epoch from ts_recv) * 1000000)::bigint as recv
    from {schema}.snapshots t where t.instrument_id = w.instrument_id
    order by t.ts_event desc limit 1) held
""",
    "metric": """
select w.instrument_id, held.* from unnest($1::text[]) as w (instrument_id)
cross join lateral (
    select null::bigint as id, (extract(epoch from max(ts_event)) * 1000000)::bigint as ts,
        true as complete, (extract(epoch from max(ts_recv)) * 1000000)::bigint as recv
    from {schema}.metrics t where t.instrument_id = w.instrument_id
    having max(ts_event) is not null) held
""",
}
