"""Retention of one schema: drops, deletes or compresses what is older than a person wants to keep.

Beside the tape and never in its way: a connection of its own, small statements, short waits for
locks, one feeder at a time. Must not know which days to keep, nor venues.
"""

import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import asyncpg

from feedplane_feeder.core.ports import Clock
from feedplane_feeder.core.retention import Step, Terms, Way, plan_retention
from feedplane_feeder.errors import FeederError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_ledger import as_nanoseconds, as_time
from feedplane_feeder.sinks.postgres_schema import TABLES, Table, quote_name

FIRST_SECONDS: Final = 60.0
EVERY_SECONDS: Final = 3_600.0
AGAIN_SECONDS: Final = 60.0
"""While another feeder publishes, or when a turn did not get to the end."""
MOST_STATEMENTS: Final = 500
"""Statements of one turn that removed something; what is left waits for the next."""
ROWS_A_STATEMENT: Final = 20_000
CHUNKS_A_STATEMENT: Final = 20
PAUSE_SECONDS: Final = 0.05
"""Between statements, so that the tape's own writes come first."""
LOCK_SECONDS: Final = 2
COMPRESS_SECONDS: Final = 600
COMMUNITY: Final = "timescale"
_LOCK_CLASS: Final = 0x6B65_6570

_HYPERTABLES = """
select hypertable_name from timescaledb_information.hypertables where hypertable_schema = $1
"""
_OLDEST_CHUNKS = """
select max(range_end) from (select range_end from timescaledb_information.chunks
    where hypertable_schema = $1 and hypertable_name = $2 and range_end <= $3
    order by range_end limit $4) oldest
"""
_DROP = "select count(*) from drop_chunks($1::text::regclass, older_than => $2::timestamptz)"
_UNCOMPRESSED = """
select format('%I.%I', chunk_schema, chunk_name) from timescaledb_information.chunks
where hypertable_schema = $1 and hypertable_name = $2 and range_end <= $3 and not is_compressed
order by range_end limit $4
"""
_COMPRESSES = """
select compression_enabled from timescaledb_information.hypertables
where hypertable_schema = $1 and hypertable_name = $2
"""
_COMPRESS = "select compress_chunk($1::text::regclass, if_not_compressed => true)"

_BY_NAME: Mapping[str, Table] = {table.name: table for table in TABLES}


class PostgresRetention(PostgresSink):
    """Old rows of one schema."""

    def __init__(self, *arguments: object, clock: Clock, **fields: object) -> None:
        super().__init__(*arguments, **fields)  # type: ignore[arg-type]  # those of the sink
        self._clock = clock
        self._left = 0
        self.removed: Counter[str] = Counter()
        """What the last turn did: `rows` deleted, `chunks` dropped, chunks `compressed`."""

    @property
    def venue(self) -> str:
        """Whose feeder this is, for metrics."""
        return self._venue

    @property
    def terms(self) -> Terms:
        """What is asked for."""
        config = self._config
        return Terms(
            retention_days=config.retention_days, compress_after_days=config.compress_after_days
        )

    @property
    def can_compress(self) -> bool:
        """Whether the database, as last seen, has compression."""
        return self.features is not None and self.features.license == COMMUNITY

    async def keep(self) -> bool:
        """Do one turn of the work; return whether it got to the end.

        Raises:
            SinkUnavailableError: not reachable now, or refused.
        """
        self.removed = Counter()
        self._left = MOST_STATEMENTS
        with self._ours():
            connection = self._open_connection()
            if not await connection.fetchval(f"select pg_try_advisory_lock({self._lock})"):
                # Another feeder is at it; there will be nothing left to do.
                return True
            await connection.execute(f"set lock_timeout = '{LOCK_SECONDS}s'")
            for step in await self._plan(connection):
                await self._carry_out(connection, step)
        return self._left > 0

    async def _plan(self, connection: asyncpg.Connection) -> tuple[Step, ...]:
        hypertables: set[str] = set()
        if self.features is not None and self.features.timescale is not None:
            rows = await connection.fetch(_HYPERTABLES, self._config.schema_name)
            hypertables = {row["hypertable_name"] for row in rows}
        theirs: datetime = await connection.fetchval("select clock_timestamp()")
        now_ns = self._clock.now_ns()
        return plan_retention(
            self.terms,
            [table.name for table in TABLES],
            hypertables,
            [now_ns, as_nanoseconds(theirs) or now_ns],
            can_compress=self.can_compress,
        )

    async def _carry_out(self, connection: asyncpg.Connection, step: Step) -> None:
        before = as_time(step.before_ns)
        assert before is not None  # noqa: S101 - a time for a time
        ways: Mapping[Way, Callable[..., Awaitable[None]]] = {
            Way.DROP_CHUNKS: self._drop_chunks,
            Way.DELETE_ROWS: self._delete_rows,
            Way.COMPRESS_CHUNKS: self._compress_chunks,
        }
        await ways[step.way](connection, _BY_NAME[step.table], before)

    # A few at a time: each chunk dropped costs the server locks until the statement ends.
    async def _drop_chunks(
        self, connection: asyncpg.Connection, table: Table, before: datetime
    ) -> None:
        place = (self._config.schema_name, table.name, before, CHUNKS_A_STATEMENT)
        while self._left > 0:
            oldest = await connection.fetchval(_OLDEST_CHUNKS, *place)
            if oldest is None:
                return
            dropped = await connection.fetchval(_DROP, self._full_name(table), oldest)
            if not dropped:
                return
            await self._note("chunks", dropped)

    async def _delete_rows(
        self, connection: asyncpg.Connection, table: Table, before: datetime
    ) -> None:
        if table.partition is None:
            # Its key holds no time; the index on the time serves all instruments together.
            await self._delete(connection, table, before)
            return
        query = f"select min(instrument_id) from {self._full_name(table)} where instrument_id > $1"  # noqa: S608
        instrument_id = await connection.fetchval(query, "")
        while instrument_id is not None and self._left > 0:
            await self._delete(connection, table, before, instrument_id)
            instrument_id = await connection.fetchval(query, instrument_id)

    async def _delete(
        self,
        connection: asyncpg.Connection,
        table: Table,
        before: datetime,
        instrument_id: str | None = None,
    ) -> None:
        name, time = self._full_name(table), quote_name(table.partition or "ts_event")
        whose = "" if instrument_id is None else " and instrument_id = $2"
        statement = (
            f"delete from {name} where ctid = any(array(select ctid from {name}"  # noqa: S608
            f" where {time} < $1{whose} limit {ROWS_A_STATEMENT}))"
        )
        which = (before,) if instrument_id is None else (before, instrument_id)
        while self._left > 0:
            status = await connection.execute(statement, *which)
            deleted = int(status.rpartition(" ")[2])
            if deleted:
                await self._note("rows", deleted)
            if deleted < ROWS_A_STATEMENT:
                return

    async def _compress_chunks(
        self, connection: asyncpg.Connection, table: Table, before: datetime
    ) -> None:
        place = (self._config.schema_name, table.name)
        if not await connection.fetchval(_COMPRESSES, *place):
            await connection.execute(render_compression(self._config.schema_name, table))
        await connection.execute(f"set statement_timeout = '{COMPRESS_SECONDS}s'")
        rows = await connection.fetch(_UNCOMPRESSED, *place, before, MOST_STATEMENTS)
        for row in rows:
            if self._left <= 0:
                return
            await connection.execute(_COMPRESS, row[0], timeout=COMPRESS_SECONDS + 5)
            await self._note("compressed", 1)

    # Looking and finding nothing is cheap, and is not counted.
    async def _note(self, what: str, count: int) -> None:
        self.removed[what] += count
        self._left -= 1
        await self._clock.sleep(PAUSE_SECONDS)

    def _full_name(self, table: Table) -> str:
        return f"{quote_name(self._config.schema_name)}.{table.name}"

    @property
    def _lock(self) -> str:
        # The server takes two signed numbers.
        number = zlib.crc32(self._config.schema_name.encode())
        return f"{_LOCK_CLASS}, {number - (1 << 32) if number >= 1 << 31 else number}"


class Housekeeper:
    """When retention has its turn: soon after the start and then hourly, while we publish."""

    def __init__(
        self,
        store: PostgresRetention,
        is_active: Callable[[], bool],
        clock: Clock,
        metrics: Metrics,
        log: FieldLog,
    ) -> None:
        self._store = store
        self._is_active = is_active
        self._clock = clock
        self._removed = metrics.retention_removed_total
        self._log = log.bind(sink=store.name)
        self._told = False

    async def run(self) -> None:
        """Keep house until cancelled."""
        wait = FIRST_SECONDS
        while True:
            await self._clock.sleep(wait)
            wait = await self._turn() if self._is_active() else AGAIN_SECONDS

    async def _turn(self) -> float:
        store = self._store
        try:
            await store.open()
            self._tell_missing_edition()
            ended = await store.keep()
        except FeederError as error:
            self._log.warning(Event.RETENTION_FAILED, error=error)
            return EVERY_SECONDS
        finally:
            # The lock goes with the connection.
            await store.close()
            self._tell()
        return EVERY_SECONDS if ended else AGAIN_SECONDS

    def _tell(self) -> None:
        removed = self._store.removed
        for result in ("rows", "chunks"):
            labels = (self._store.venue, self._store.name, result)
            self._removed.labels(*labels).inc(removed[result])
        if any(removed.values()):
            self._log.info(
                Event.RETENTION_APPLIED,
                row_count=removed["rows"],
                dropped_count=removed["chunks"],
                compressed_count=removed["compressed"],
            )
        removed.clear()

    def _tell_missing_edition(self) -> None:
        store = self._store
        if store.terms.compress_after_days is None or store.can_compress or self._told:
            return
        self._told = True
        license_name = store.features.license if store.features is not None else None
        self._log.warning(Event.COMPRESSION_REFUSED, license=license_name or "none")


def render_compression(schema: str, table: Table) -> str:
    """Return the statement that lets a hypertable's chunks be compressed.

    Every column of the key is named, or a unique key could not be kept up.
    """
    time = table.partition or "ts_event"
    segments = [quote_name(column) for column in table.key if column in _SEGMENTS]
    order = [quote_name(c) for c in table.key if c not in _SEGMENTS and c != time]
    ordered = ", ".join([f"{quote_name(time)} desc", *order])
    return (
        f"alter table {quote_name(schema)}.{table.name} set (timescaledb.compress,"
        f" timescaledb.compress_segmentby = '{', '.join(segments)}',"
        f" timescaledb.compress_orderby = '{ordered}')"
    )


_SEGMENTS: Final = frozenset({"instrument_id", "interval", "name"})
"""Columns of keys that many rows of a chunk share."""
