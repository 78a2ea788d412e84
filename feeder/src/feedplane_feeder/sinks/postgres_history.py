"""PostgreSQL as the store of a backfill: what is there, bulk rows in, chunks remembered.

Rows go by COPY, in either of its forms, straight into the keyed table where nothing of their
chunks is held, and through staging and a merge otherwise, or once a key turned out to be known.
The row that says a chunk is done is written after the chunk's rows: a run killed in between writes
them again, which changes nothing. Several lanes, each a connection, write at once. Must not know
venues or how rows are fetched.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final

import asyncpg

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.chunks import Chunk
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.core.missing import Held
from feedplane_feeder.core.ports import Batch, Written
from feedplane_feeder.core.progress import ChunkResult
from feedplane_feeder.errors import (
    MalformedFrameError,
    SinkRefusedError,
    SinkUnavailableError,
)
from feedplane_feeder.records import Quarantined
from feedplane_feeder.sinks import postgres_ledger as ledger
from feedplane_feeder.sinks.postgres import PostgresSink, describe
from feedplane_feeder.sinks.postgres_chunks import (
    ADDED_COLUMNS,
    held_arguments,
    remember_arguments,
    render_chunk_statements,
    stage_table,
)
from feedplane_feeder.sinks.postgres_encode import COPY_HEAD, COPY_TAIL
from feedplane_feeder.sinks.postgres_merge import render_statements
from feedplane_feeder.sinks.postgres_text import COLUMNS, TABLE_OF

CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 300
HELD_CHUNKS: Final = 2_000
"""Chunks asked about at once."""
_LOCK_KEY: Final = 0x6665_6564_7063


class PostgresHistory:
    """One schema of one database, written by several lanes."""

    def __init__(
        self, config: PostgresSinkConfig, *, venue: str, feed_source: str, backfill: str, lanes: int
    ) -> None:
        self.name = config.name
        self.backfill = backfill
        self._config = config
        self._schema = config.schema_name
        self._venue = venue
        self._finder = ledger.Finder(feed_source=feed_source, account="backfill", shard=0)
        self._chunks = render_chunk_statements(config.schema_name)
        self._statements = render_statements(config.schema_name)
        self._lanes: asyncio.Queue[asyncpg.Connection | None] = asyncio.Queue()
        for _ in range(lanes):
            self._lanes.put_nowait(None)

    async def open(self) -> None:
        """Make sure that the tables exist.

        Raises:
            SinkUnavailableError: not reachable now.
            SinkRefusedError: can never work as it is.
        """
        sink = PostgresSink(
            self._config, venue=self._venue, feed_source=self._finder.feed_source, account=""
        )
        try:
            await sink.open()
        finally:
            await sink.close()
        async with self._lane() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK_KEY)
            columns = list(ADDED_COLUMNS)
            arguments = (len(columns), self._schema, columns)
            if not await connection.fetchval(self._chunks.extended, *arguments):
                await connection.execute(self._chunks.extend)

    async def close(self) -> None:
        """Release the connections; never raises."""
        while not self._lanes.empty():
            connection = self._lanes.get_nowait()
            if connection is not None:
                connection.terminate()

    async def held(self, chunks: Sequence[Chunk]) -> dict[int, Held]:
        """Return what is there of chunks, by number; absent where nothing is."""
        found: dict[int, Held] = {}
        by_channel: dict[str, list[Chunk]] = {}
        for chunk in chunks:
            by_channel.setdefault(chunk.channel, []).append(chunk)
        async with self._lane() as connection:
            for channel, group in by_channel.items():
                kind, _, interval = channel.partition("-")
                extra = (interval,) if interval else ()
                for start in range(0, len(group), HELD_CHUNKS):
                    arguments = held_arguments(group[start : start + HELD_CHUNKS])
                    rows = await connection.fetch(self._chunks.held[kind], *arguments, *extra)
                    for row in rows:
                        found[row["number"]] = Held(
                            rows=row["rows"], first_id=row["first_id"], last_id=row["last_id"]
                        )
        return found

    async def known(self, chunks: Sequence[Chunk]) -> dict[int, int]:
        """Return how many rows an earlier backfill counted in chunks, by number."""
        if not chunks:
            return {}
        found: dict[int, int] = {}
        async with self._lane() as connection:
            for channel in {chunk.channel for chunk in chunks}:
                group = [chunk for chunk in chunks if chunk.channel == channel]
                days = [ledger.as_time(chunk.start_ns) for chunk in group]
                rows = await connection.fetch(
                    self._chunks.known,
                    channel,
                    list({chunk.instrument_id for chunk in group}),
                    min(day for day in days if day is not None).date(),
                    max(day for day in days if day is not None).date(),
                    self.backfill,
                )
                counted = {
                    (row["instrument_id"], row["range_start"], row["range_end"]): row["rows"]
                    for row in rows
                }
                for chunk in group:
                    span = ledger.as_time(chunk.start_ns), ledger.as_time(chunk.end_ns)
                    if (rows_known := counted.get((chunk.instrument_id, *span))) is not None:
                        found[chunk.number] = rows_known
        return found

    async def done(self) -> dict[int, tuple[str, str, str]]:
        """Return the chunks this backfill has done: number -> instrument, channel, day."""
        async with self._lane() as connection:
            rows = await connection.fetch(self._chunks.recall, self.backfill)
        return {
            row["chunk"]: (row["instrument_id"], row["channel"], str(row["day"])) for row in rows
        }

    async def write(
        self,
        channel: str,
        blocks: Iterable[Rendered],
        *,
        fresh: bool,
        overwrite: bool = False,
    ) -> Written:
        """Write rows of one channel in one transaction, all of them or nothing.

        `fresh` says that nothing of their chunks was held when it was looked.

        Raises:
            SinkUnavailableError: not written; the same rows may be written again.
        """
        kind = channel.partition("-")[0]
        remembered = _Blocks(blocks)
        async with self._lane() as connection:
            if fresh and not overwrite:
                try:
                    async with connection.transaction():
                        rows = await self._copy(connection, kind, remembered, self._schema)
                        return Written(new=rows)
                except asyncpg.UniqueViolationError:
                    # Somebody else wrote there, or a row came twice: the merge can tell.
                    pass
            async with connection.transaction():
                rows = await self._copy(connection, kind, remembered, None)
                chosen = self._chunks.overwrite if overwrite else self._chunks.merge
                moved = await connection.fetchrow(chosen[kind])
                assert moved is not None  # noqa: S101 - counts are always one row
        return Written(
            new=moved["inserted"],
            updated=moved["touched"] - moved["inserted"],
            duplicate=rows - moved["touched"],
        )

    async def set_aside(self, quarantined: Sequence[Quarantined]) -> None:
        """Write rows that cannot be true to the quarantine table.

        Raises:
            SinkUnavailableError: not written.
        """
        if not quarantined:
            return
        async with self._lane() as connection:
            batch = Batch(quarantined=quarantined)
            await ledger.write(connection, self._statements, self._finder, batch)

    async def remember(self, results: Sequence[ChunkResult]) -> None:
        """Write down how chunks ended.

        Raises:
            SinkUnavailableError: not written.
        """
        if not results:
            return
        async with self._lane() as connection:
            arguments = remember_arguments(self.backfill, results)
            await connection.execute(self._chunks.remember, *arguments)

    async def _copy(
        self, connection: asyncpg.Connection, kind: str, blocks: "_Blocks", schema: str | None
    ) -> int:
        table = stage_table(kind) if schema is None else TABLE_OF[kind].name
        rows = 0
        # One COPY is of one form; a block of the other begins another.
        for form, run in groupby(blocks, key=lambda block: block.form):
            status = await connection.copy_to_table(
                table,
                schema_name=schema,
                source=_framed(form, run),
                format=form,
                columns=COLUMNS[kind],
            )
            rows += int(status.rpartition(" ")[2])
        return rows

    @asynccontextmanager
    async def _lane(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await self._lanes.get()
        try:
            with self._ours():
                if connection is None or connection.is_closed():
                    connection = await self._connect()
                yield connection
        except BaseException:
            # What a broken statement left behind is nobody's to find.
            if connection is not None:
                connection.terminate()
            connection = None
            raise
        finally:
            self._lanes.put_nowait(connection)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._dsn(),
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS + 5,
            server_settings={
                "application_name": "feedplane-backfill",
                "timezone": "UTC",
                "datestyle": "ISO, YMD",
                "statement_timeout": f"{STATEMENT_SECONDS}s",
                "idle_in_transaction_session_timeout": "60s",
                # A crash of the server takes back the newest commits first, so the word that a
                # chunk is done never outlives its rows.
                "synchronous_commit": "off",
            },
        )
        for kind, statement in self._chunks.stage.items():
            if await connection.fetchval("select to_regclass($1)", self._table_name(kind)):
                await connection.execute(statement)
        return connection

    def _table_name(self, kind: str) -> str:
        return f'"{self._schema}".{TABLE_OF[kind].name}'

    def _dsn(self) -> str:
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

    # Foreign errors become ours here, and their texts never hold a connection string.
    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.DataError as error:
            # A number that the checks let pass and the server cannot read.
            raise MalformedFrameError(describe(error), b"") from None
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
        ) as error:
            raise _ending(error) or SinkUnavailableError(self.name, describe(error)) from None


async def _framed(form: str, blocks: Iterable[Rendered]) -> AsyncIterator[bytes]:
    if form == "binary":
        yield COPY_HEAD
    for block in blocks:
        yield block.data
        # Reading blocks keeps the loop to itself; the other lane wants its turn.
        await asyncio.sleep(0)
    if form == "binary":
        yield COPY_TAIL


# A COPY that is cancelled leaves nothing to roll back, and to try hides why it ended.
def _ending(error: BaseException) -> BaseException | None:
    cause = error.__context__
    return cause if cause is not None and not isinstance(cause, Exception) else None


class _Blocks:
    """Blocks of rows that are made as they are sent, and can be sent again."""

    def __init__(self, source: Iterable[Rendered]) -> None:
        self._made: list[Rendered] = []
        self._rest = iter(source)

    def __iter__(self) -> Iterator[Rendered]:
        yield from self._made
        for block in self._rest:
            self._made.append(block)
            yield block
