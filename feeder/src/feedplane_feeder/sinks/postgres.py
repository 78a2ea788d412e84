"""PostgreSQL or TimescaleDB as a sink: binary COPY into keyed tables, second copies refused.

A batch is one transaction. It goes by COPY straight into the keyed tables; when one of its keys
is known already, the same batch goes again through a staging table and ON CONFLICT DO NOTHING,
so a duplicate never costs its neighbours. Must not know venues, sessions or queues.
"""

import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import asyncpg

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.intervals import previous_open_ns
from feedplane_feeder.core.ports import NO_EPOCH, Batch, Watermark, Written
from feedplane_feeder.errors import SinkRefusedError, SinkUnavailableError
from feedplane_feeder.records import Bar, BookDelta, Gap, Metric, Quote, Record, Snapshot, Trade
from feedplane_feeder.sinks import postgres_ledger as ledger
from feedplane_feeder.sinks.postgres_encode import COPY_HEAD, COPY_TAIL, RowEncoder
from feedplane_feeder.sinks.postgres_fence import Fence
from feedplane_feeder.sinks.postgres_merge import Statements, render_statements, stage_name
from feedplane_feeder.sinks.postgres_schema import (
    BARS,
    BOOK_DELTAS,
    METRICS,
    QUOTES,
    SNAPSHOTS,
    TABLES,
    TRADES,
    Features,
    Table,
    check_features,
    check_version,
    create_schema,
    probe,
)

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
CHUNK_ROWS = 1_000
"""Rows encoded at a time, so that the server parses while the next ones are encoded."""
CLEAN_BATCHES = 2
"""After a conflict a table is staged until this many batches in a row held nothing known; ..."""
MOST_CLEAN_BATCHES = 512
"""... twice as many after each further conflict, so that lines that collide stay with staging."""

_UNWRITABLE = (ValueError, KeyError, TypeError, AttributeError, struct.error, OverflowError)
"""What encoding raises on a record that no column can hold."""
_REFUSED = (asyncpg.DataError, asyncpg.NotNullViolationError, asyncpg.CheckViolationError)
"""What the server raises on one."""

_TABLES: Mapping[type, Table] = {
    Trade: TRADES,
    Quote: QUOTES,
    Bar: BARS,
    BookDelta: BOOK_DELTAS,
    Metric: METRICS,
    Snapshot: SNAPSHOTS,
}
_BY_NAME: Mapping[str, Table] = {table.name: table for table in TABLES}
_COLUMNS = {table.name: [column for column, _ in table.columns] for table in TABLES}


_by_instrument = attrgetter("instrument_id")
_by_key = attrgetter("instrument_id", "ts_event")
"""Two lines that write the same rows take them in the same order."""


class PostgresSink:
    """One connection to one schema of one database."""

    kind = "postgres"

    def __init__(
        self,
        config: PostgresSinkConfig,
        *,
        venue: str,
        feed_source: str,
        account: str,
        shard: int = 0,
    ) -> None:
        self.name = config.name
        self._venue = venue
        self.features: Features | None = None
        self._config = config
        self._finder = ledger.Finder(feed_source=feed_source, account=account, shard=shard)
        self._fence = Fence(config.schema_name, self._finder)
        self._connection: asyncpg.Connection | None = None
        self._encoder = RowEncoder()
        self._encode: Mapping[str, Callable[..., bytes]] = {
            "trades": self._encoder.trades,
            "quotes": self._encoder.quotes,
            "bars": self._encoder.bars,
            "book_deltas": self._encoder.book_deltas,
            "metrics": self._encoder.metrics,
            "snapshots": self._encoder.snapshots,
        }
        self._statements: Statements = render_statements(config.schema_name)
        self._clean_batches: dict[str, int] = {}
        self._patience: dict[str, int] = {}
        self.failed_copies = 0
        """Direct copies that met a known row, so that the batch had to go again."""

    @property
    def staged_tables(self) -> set[str]:
        """Tables whose batches go through staging for now, because of known rows."""
        return {name for name in self._clean_batches if self._is_staged(name)}

    async def open(self) -> None:
        """Connect and make sure the tables exist; may be called again after a failure."""
        await self.close()
        with self._ours():
            connection = await asyncpg.connect(
                self._dsn(),
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS + 5,
                server_settings={
                    "application_name": self._fence.application_name,
                    "timezone": "UTC",
                    "statement_timeout": f"{STATEMENT_SECONDS}s",
                    "idle_in_transaction_session_timeout": "60s",
                },
            )
            self._connection = connection
            self.features = await probe(connection)
            reason = check_features(self.features)
            if reason is None:
                await create_schema(
                    connection,
                    self._config.schema_name,
                    self.features,
                    self._config.chunk_interval_hours,
                )
                reason = await check_version(connection, self._config.schema_name)
            if reason is not None:
                await self.close()
                raise SinkRefusedError(self.name, reason)
            for statement in self._statements.stage.values():
                await connection.execute(statement)

    async def close(self) -> None:
        """Release the connection; never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # A graceful goodbye would wait for a server that may be gone.
            connection.terminate()

    async def write(self, batch: Batch) -> Written:
        """Write a batch in one transaction, all of it or nothing."""
        parts = _partition(batch.records)
        covered: Sequence[Gap] = ()
        with self._ours():
            try:
                if batch.epoch and any(each.ended_at is None for each in batch.publishers):
                    await self._open_session(batch)
                if batch.contested and batch.gaps:
                    # Before any row is written: the other line would wait for ours meanwhile.
                    connection = self._open_connection()
                    left, covered = await ledger.clip(connection, self._statements, batch.gaps)
                    batch = replace(batch, gaps=left)
                written = await self._write_keyed(parts, batch)
            except (*_UNWRITABLE, *_REFUSED) as error:
                written = await self._write_without_unwritable(parts, batch, error)
        return written + Written(covered=tuple(covered))

    # Told before anything else of a promotion, in a transaction of its own: once it is committed,
    # the books of whoever published before end where they end.
    async def _open_session(self, batch: Batch) -> None:
        connection = self._open_connection()
        await self._fence.end_stalled(connection)
        session = Batch(publishers=batch.publishers)
        try:
            await self._tell_session(connection, session)
        except asyncpg.LockNotAvailableError:
            await self._fence.end_locking(connection)
            await self._tell_session(connection, session)

    async def _tell_session(self, connection: asyncpg.Connection, session: Batch) -> None:
        async with connection.transaction():
            await self._fence.raise_up(connection)
            await ledger.write(connection, self._statements, self._finder, session)

    async def last(
        self, channels: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Watermark]:
        """Return the newest held record of each (instrument_id, channel name) that has one."""
        wanted: dict[str, list[str]] = {}
        for instrument_id, channel in channels:
            wanted.setdefault(channel, []).append(instrument_id)
        held: dict[tuple[str, str], Watermark] = {}
        with self._ours():
            for channel, instrument_ids in wanted.items():
                kind, _, interval = channel.partition("-")
                arguments = (instrument_ids, interval) if kind == "bar" else (instrument_ids,)
                rows = await self._open_connection().fetch(self._statements.last[kind], *arguments)
                for row in rows:
                    ts = row["ts"] * 1000
                    if not row["complete"]:
                        # An unfinished bar is not held: what is complete ends before it.
                        ts = previous_open_ns(ts, interval)
                    held[row["instrument_id"], channel] = Watermark(
                        sequence=row["id"], ts_event=ts, ts_recv=row["recv"] * 1000
                    )
        return held

    async def open_gaps(self, since_ns: int) -> Sequence[Gap]:
        """Return the feed source's gaps found since then and still open."""
        with self._ours():
            connection = self._open_connection()
            return await ledger.open_gaps(connection, self._statements, self._finder, since_ns)

    async def fill(self, gaps: Sequence[Gap], filled_by: str) -> int:
        """Mark what of these gaps is on the tape by now as filled; return how many changed."""
        with self._ours():
            return await ledger.fill(self._open_connection(), self._statements, gaps, filled_by)

    def _open_connection(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            raise SinkUnavailableError(self.name, "not connected")
        return self._connection

    def _dsn(self) -> str:
        # Read at every open, so a rotated Secret is taken over by the next connection.
        if self._config.dsn_path is not None:
            dsn = Path(self._config.dsn_path).read_text(encoding="utf-8").strip()
        elif self._config.dsn_env is not None:
            dsn = os.environ.get(self._config.dsn_env, "")
        else:
            raise SinkRefusedError(
                self.name, "neither dsnPath nor dsnEnv names a connection string"
            )
        if not dsn:
            raise SinkUnavailableError(self.name, "the connection string is empty")
        return dsn

    def _is_staged(self, name: str) -> bool:
        if name == BARS.name:
            return True
        patience = self._patience.get(name, CLEAN_BATCHES)
        return self._clean_batches.get(name, patience) < patience

    async def _write_keyed(self, parts: Mapping[str, list[Record]], batch: Batch) -> Written:
        staged = {name for name in parts if batch.replayed or self._is_staged(name)}
        for records in parts.values():
            # Neighbours in the table and in its key: a fifth less work for the server.
            records.sort(key=_by_key if batch.contested else _by_instrument)
        try:
            return await self._write_parts(parts, staged, batch)
        except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
            self.failed_copies += 1
            self._clean_batches.update(dict.fromkeys(parts, 0))
            # The server names a chunk, not the table; what went the direct way is enough.
            for name in parts.keys() - staged if batch.contested else ():
                patience = 2 * self._patience.get(name, CLEAN_BATCHES)
                self._patience[name] = min(patience, MOST_CLEAN_BATCHES)
            return await self._write_parts(parts, set(parts), batch)

    async def _write_parts(
        self, parts: Mapping[str, list[Record]], staged: set[str], batch: Batch
    ) -> Written:
        connection = self._open_connection()
        written = Written()
        async with connection.transaction():
            # All of it first: from its first row in a table on, another line waits for this one.
            for name in staged:
                await self._copy(connection, name, parts[name], None)
            for name, records in parts.items():
                if name == BOOK_DELTAS.name and await self._is_fenced(connection, batch.epoch):
                    written += Written(fenced=len(records))
                    continue
                if name in staged:
                    written += await self._merge(connection, name, records)
                else:
                    await self._copy(connection, name, records, self._config.schema_name)
                    written += Written(new=len(records))
            await ledger.write(connection, self._statements, self._finder, batch)
        return written + Written(quarantined=len(batch.quarantined))

    async def _is_fenced(self, connection: asyncpg.Connection, epoch: int) -> bool:
        return epoch != NO_EPOCH and await self._fence.refuses(connection, epoch)

    async def _copy(
        self, connection: asyncpg.Connection, name: str, records: list[Record], schema: str | None
    ) -> None:
        encode = self._encode[name]

        async def rows() -> AsyncIterator[bytes]:
            yield COPY_HEAD
            for start in range(0, len(records), CHUNK_ROWS):
                yield encode(records[start : start + CHUNK_ROWS])
            yield COPY_TAIL

        table = name if schema is not None else stage_name(_BY_NAME[name])
        await connection.copy_to_table(
            table, schema_name=schema, source=rows(), format="binary", columns=_COLUMNS[name]
        )

    async def _merge(
        self, connection: asyncpg.Connection, name: str, records: list[Record]
    ) -> Written:
        if name == BARS.name:
            rows = await connection.fetch(self._statements.merge[name])
            inserted = sum(row["inserted"] for row in rows)
            bars = (record for record in records if isinstance(record, Bar))
            keys = len({(bar.instrument_id, bar.interval, bar.ts_open) for bar in bars})
            # Older versions beside a newer one in the same batch were replaced on the way.
            replaced = len(rows) - inserted + len(records) - keys
            return Written(new=inserted, updated=replaced, duplicate=keys - len(rows))
        status = await connection.execute(self._statements.merge[name])
        new = int(status.rpartition(" ")[2])
        duplicate = len(records) - new
        self._clean_batches[name] = 0 if duplicate else self._clean_batches.get(name, 0) + 1
        return Written(new=new, duplicate=duplicate)

    async def _write_without_unwritable(
        self, parts: Mapping[str, list[Record]], batch: Batch, cause: Exception
    ) -> Written:
        # One record that no column can hold must not stop the tape: it goes to quarantine.
        writable: dict[str, list[Record]] = {}
        quarantined = list(batch.quarantined)
        for name, records in parts.items():
            unwritable = await self._find_unwritable(name, records)
            kept = [record for record in records if id(record) not in unwritable]
            quarantined += [
                ledger.quarantine(record, self._venue, cause)
                for record in records
                if id(record) in unwritable
            ]
            if kept:
                writable[name] = kept
        if len(quarantined) == len(batch.quarantined):
            # Nothing was found: what failed is not a record of this batch.
            raise SinkUnavailableError(self.name, describe(cause)) from cause
        cleaned = replace(batch, records=(), quarantined=quarantined)
        return await self._write_parts(writable, set(writable), cleaned)

    async def _find_unwritable(self, name: str, records: list[Record]) -> set[int]:
        if await self._is_writable(name, records):
            return set()
        if len(records) == 1:
            return {id(records[0])}
        middle = len(records) // 2
        first = await self._find_unwritable(name, records[:middle])
        return first | await self._find_unwritable(name, records[middle:])

    async def _is_writable(self, name: str, records: list[Record]) -> bool:
        connection = self._open_connection()
        trial = connection.transaction()
        await trial.start()
        try:
            await self._copy(connection, name, records, None)
        except (*_UNWRITABLE, *_REFUSED):
            return False
        finally:
            await trial.rollback()
        return True

    # Foreign errors become ours here, and their texts never hold a connection string.
    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.PostgresError as error:
            raise SinkUnavailableError(self.name, describe(error)) from None
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise SinkUnavailableError(self.name, describe(error)) from None
        except ValueError as error:
            # A connection string that cannot be read; its text may hold the password.
            raise SinkUnavailableError(self.name, type(error).__name__) from None


def describe(error: BaseException) -> str:
    """Say what went wrong without anything that was written or how to log in."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} (SQLSTATE {error.sqlstate}): {error.message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or 'connection failed'}"
    return type(error).__name__


def _partition(records: Sequence[Record]) -> dict[str, list[Record]]:
    # Always in the same order: two lines that write the same must not wait for each other.
    found = set(map(type, records))
    kinds = [kind for kind in _TABLES if kind in found]
    if len(kinds) == 1:
        return {_TABLES[kinds[0]].name: list(records)}
    parts: dict[str, list[Record]] = {_TABLES[kind].name: [] for kind in kinds}
    by_kind = {kind: parts[_TABLES[kind].name].append for kind in kinds}
    for record in records:
        by_kind[type(record)](record)
    return parts
