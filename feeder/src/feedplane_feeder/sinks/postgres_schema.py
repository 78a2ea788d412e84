"""The tables: what they are called, their columns and keys, and which versions may hold them.

Creation is idempotent and runs under an advisory lock, because several feeders start at once.
Data tables become hypertables where TimescaleDB is there and their natural key holds a time that
two copies of one record share; docs/decisions/0004-natural-keys-and-hypertables.md says why
`quotes` does not.
"""

import re
from dataclasses import dataclass
from typing import Final

import asyncpg

SCHEMA_VERSION = 2
COMPATIBLE_FROM = 1
"""Oldest feeder schema version that may still write into tables of SCHEMA_VERSION."""
OLDEST_TIMESCALE = (2, 18, 1)
OLDEST_POSTGRES = 130_000
_LOCK_KEY = 0x6665_6564_706C


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A data table: one kind of record."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """Name and type, in the order postgres_encode.py writes them."""
    key: tuple[str, ...]
    """The natural key; two copies of a record collide on it."""
    partition: str | None
    """Time column of the hypertable; None keeps it a plain table everywhere."""
    nullable: tuple[str, ...] = ()
    chunk_intervals: int = 1
    """Chunk intervals that one chunk of it spans; its rows are so much fewer."""


FEW: Final = 30
"""Years of bars lie in dozens of chunks then: each one that a write touches costs it time."""

# Keys are compared as bytes, whatever the database's own collation is.
_COLLATED = {"text": 'text collate "C"'}
_TIMES = (("ts_event", "timestamptz"), ("ts_recv", "timestamptz"))

SNAPSHOT_NUMBERS = (
    *("turnover", "open_interest", "last_price", "bid_price", "bid_size", "ask_price", "ask_size"),
    *("open", "high", "low", "average_price", "close", "settlement_price"),
    *("previous_close", "previous_settlement", "upper_limit", "lower_limit"),
)
"""Columns of a snapshot that a venue may leave open, in the order of the record's fields."""
TRADES = Table(
    name="trades",
    columns=(
        ("instrument_id", "text"),
        *_TIMES,
        ("trade_id", "bigint"),
        ("first_id", "bigint"),
        ("last_id", "bigint"),
        ("aggressor_side", "text"),
        ("price", "numeric"),
        ("size", "numeric"),
    ),
    key=("instrument_id", "ts_event", "trade_id"),
    partition="ts_event",
    nullable=("first_id", "last_id"),
)
QUOTES = Table(
    name="quotes",
    columns=(
        ("instrument_id", "text"),
        *_TIMES,
        ("sequence", "bigint"),
        ("bid_price", "numeric"),
        ("bid_size", "numeric"),
        ("ask_price", "numeric"),
        ("ask_size", "numeric"),
    ),
    key=("instrument_id", "sequence"),
    partition=None,
)
BARS = Table(
    name="bars",
    columns=(
        ("instrument_id", "text"),
        ("ts_open", "timestamptz"),
        *_TIMES,
        ("trade_count", "bigint"),
        ("final", "boolean"),
        ("interval", "text"),
        ("open", "numeric"),
        ("high", "numeric"),
        ("low", "numeric"),
        ("close", "numeric"),
        ("volume", "numeric"),
        ("quote_volume", "numeric"),
        ("taker_buy_volume", "numeric"),
        ("taker_buy_quote_volume", "numeric"),
    ),
    key=("instrument_id", "interval", "ts_open"),
    partition="ts_open",
    chunk_intervals=FEW,
)
BOOK_DELTAS = Table(
    name="book_deltas",
    columns=(
        ("instrument_id", "text"),
        *_TIMES,
        ("first_id", "bigint"),
        ("last_id", "bigint"),
        ("previous_last_id", "bigint"),
        ("snapshot", "boolean"),
        ("bids", "jsonb"),
        ("asks", "jsonb"),
    ),
    key=("instrument_id", "ts_event", "last_id", "snapshot"),
    partition="ts_event",
    nullable=("previous_last_id",),
)
METRICS = Table(
    name="metrics",
    columns=(
        ("instrument_id", "text"),
        *_TIMES,
        ("name", "text"),
        ("value", "numeric"),
    ),
    key=("instrument_id", "name", "ts_event"),
    partition="ts_event",
    chunk_intervals=FEW,
)
SNAPSHOTS = Table(
    name="snapshots",
    columns=(
        ("instrument_id", "text"),
        *_TIMES,
        ("fingerprint", "bigint"),
        ("volume", "bigint"),
        ("trading_day", "date"),
        *((name, "numeric") for name in SNAPSHOT_NUMBERS),
        ("bids", "jsonb"),
        ("asks", "jsonb"),
    ),
    key=("instrument_id", "ts_event", "fingerprint"),
    partition="ts_event",
    nullable=SNAPSHOT_NUMBERS,
)
TABLES = (TRADES, QUOTES, BARS, BOOK_DELTAS, METRICS, SNAPSHOTS)

_CONTROL_TABLES = """
create table if not exists {schema}.gaps (
    instrument_id text not null,
    channel text not null,
    gap_key text not null,
    cause text not null,
    from_id bigint,
    to_id bigint,
    from_ts timestamptz,
    to_ts timestamptz,
    detected_at timestamptz not null,
    filled_at timestamptz,
    filled_by text,
    reason text,
    feed_source text not null,
    account text not null,
    primary key (instrument_id, channel, gap_key)
);
alter table {schema}.gaps add column if not exists filling_since timestamptz;
alter table {schema}.gaps add column if not exists rows bigint;
alter table {schema}.gaps add column if not exists state text generated always as (case
    when filled_at is not null then 'filled' when reason is not null then 'unfillable'
    when filling_since is not null then 'filling' else 'open' end) stored;
create index if not exists gaps_open on {schema}.gaps (instrument_id, channel)
    where filled_at is null and reason is null;
create table if not exists {schema}.quarantine (
    ts_recv timestamptz not null,
    venue text not null,
    channel text not null,
    instrument_id text not null,
    reason text not null,
    raw text not null,
    raw_digest uuid not null,
    feed_source text not null,
    account text not null,
    primary key (instrument_id, channel, ts_recv, reason, raw_digest)
);
create table if not exists {schema}.feed_sessions (
    feed_source text not null,
    shard integer not null,
    account text not null,
    epoch bigint not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    reason text not null,
    primary key (feed_source, shard, account, epoch, started_at)
);
create table if not exists {schema}.backfill_chunks (
    backfill text not null,
    chunk integer not null,
    instrument_id text not null,
    channel text not null,
    day date not null,
    state text not null,
    source text,
    checksum text,
    rows_new bigint not null default 0,
    rows_duplicate bigint not null default 0,
    rows_quarantined bigint not null default 0,
    started_at timestamptz,
    finished_at timestamptz,
    error text,
    rows_updated bigint not null default 0,
    rows_held bigint not null default 0,
    rows_expected bigint not null default 0,
    rows_missing bigint not null default 0,
    tries bigint not null default 0,
    range_start timestamptz,
    range_end timestamptz,
    primary key (backfill, chunk)
);
create table if not exists {schema}.request_budgets (
    address text primary key,
    minute bigint not null default 0,
    seen bigint not null default 0,
    flying bigint not null default 0,
    before bigint not null default 0,
    before_flying bigint not null default 0,
    paused_until_ns bigint not null default 0,
    banned_until_ns bigint not null default 0,
    changed_at timestamptz not null default now()
);
create table if not exists {schema}.schema_version (
    version integer primary key,
    compatible_from integer not null,
    applied_at timestamptz not null default now()
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a database can do, as probed."""

    postgres: int
    """`server_version_num`."""
    timescale: str | None
    """Version of the extension; None where it is not installed."""
    license: str | None
    """`apache` or `timescale`; compression and policies exist only in the latter."""


def quote_name(name: str) -> str:
    """Return an SQL identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def check_features(features: Features) -> str | None:
    """Return why these versions cannot hold the tape, or None when they can."""
    if features.postgres < OLDEST_POSTGRES:
        return f"PostgreSQL {features.postgres // 10_000} is older than 13"
    if features.timescale is None:
        return None
    numbers = tuple(int(part) for part in re.findall(r"\d+", features.timescale)[:3])
    if numbers < OLDEST_TIMESCALE:
        return (
            f"TimescaleDB {features.timescale} is older than 2.18.1; before it, inserts beside a"
            " conflict in a compressed chunk lost rows in silence (timescaledb#7672)"
        )
    return None


async def probe(connection: asyncpg.Connection) -> Features:
    """Ask a database what it is."""
    row = await connection.fetchrow(
        "select current_setting('server_version_num')::int as postgres,"
        " (select extversion from pg_extension where extname = 'timescaledb') as timescale,"
        " current_setting('timescaledb.license', true) as license"
    )
    assert row is not None  # noqa: S101 - a select without from has one row
    return Features(
        postgres=row["postgres"],
        timescale=row["timescale"],
        license=row["license"] if row["timescale"] else None,
    )


async def create_schema(
    connection: asyncpg.Connection, schema: str, features: Features, chunk_hours: int
) -> None:
    """Create what is missing; harmless when all is there and when many do it at once."""
    name = quote_name(schema)
    if await _version(connection, schema) >= SCHEMA_VERSION:
        return
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK_KEY)
        if await _version(connection, schema) >= SCHEMA_VERSION:
            return
        await connection.execute(f"create schema if not exists {name}")
        for table in TABLES:
            await connection.execute(_render_table(name, table))
            if table.partition is None:
                await connection.execute(
                    f"create index if not exists {table.name}_ts_event"
                    f" on {name}.{table.name} using brin (ts_event)"
                )
            elif features.timescale is not None:
                await _make_hypertable(connection, schema, table, chunk_hours)
        await connection.execute(_CONTROL_TABLES.format(schema=name))
        await connection.execute(
            f"insert into {name}.schema_version (version, compatible_from) values ($1, $2)"  # noqa: S608
            " on conflict do nothing",
            SCHEMA_VERSION,
            COMPATIBLE_FROM,
        )


async def check_version(connection: asyncpg.Connection, schema: str) -> str | None:
    """Return why the tables found are too new for this feeder, or None."""
    name = quote_name(schema)
    row = await connection.fetchrow(
        f"select version, compatible_from from {name}.schema_version"  # noqa: S608
        " order by version desc limit 1"
    )
    if row is not None and row["compatible_from"] > SCHEMA_VERSION:
        return (
            f"its tables have version {row['version']} and need a feeder of version"
            f" {row['compatible_from']} or newer, this one knows {SCHEMA_VERSION}"
        )
    return None


async def _version(connection: asyncpg.Connection, schema: str) -> int:
    table = f"{quote_name(schema)}.schema_version"
    if await connection.fetchval("select to_regclass($1)", table) is None:
        return 0
    return int(await connection.fetchval(f"select coalesce(max(version), 0) from {table}"))  # noqa: S608


async def _make_hypertable(
    connection: asyncpg.Connection, schema: str, table: Table, chunk_hours: int
) -> None:
    # A table that already holds rows (TimescaleDB came later) stays as it is: moving its rows
    # is a person's decision.
    name = f"{quote_name(schema)}.{table.name}"
    if await connection.fetchval(f"select exists (select from {name})"):  # noqa: S608
        return
    await connection.execute(
        "select create_hypertable($1::text::regclass, by_range($2::name,"
        " make_interval(hours => $3)), create_default_indexes => false, if_not_exists => true)",
        name,
        table.partition,
        chunk_hours * table.chunk_intervals,
    )


def _render_table(schema: str, table: Table) -> str:
    columns = ", ".join(
        f"{quote_name(column)} {_COLLATED.get(kind, kind)}"
        + ("" if column in table.nullable else " not null")
        for column, kind in table.columns
    )
    key = ", ".join(quote_name(column) for column in table.key)
    return (
        f"create table if not exists {schema}.{table.name} ({columns},"
        f" constraint {table.name}_key unique ({key}))"
    )
