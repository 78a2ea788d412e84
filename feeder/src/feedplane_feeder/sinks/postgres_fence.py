"""Fences: what keeps a publisher that froze from writing books into its successor's tape.

A promotion is told in `feed_sessions` under an exclusive lock; a batch with book deltas looks
there under the same lock, shared, in its own transaction. So deltas are either committed before
the promotion reads where the book stands, or refused after it. Must not know records.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import asyncpg

from feedplane_feeder.sinks.postgres_ledger import Finder
from feedplane_feeder.sinks.postgres_schema import quote_name

LOCK_SECONDS: Final = 2
STALLED_SECONDS: Final = 1
"""A transaction that waits for its client this long at a promotion has a client that froze."""
_LOCK_CLASS: Final = 0x6665_6564
_SLACK_SECONDS: Final = 10
"""A session with a newer epoch counts unless it began this long before ours, as those of a Lease
that was deleted and made anew did. Clocks of feeders differ by far less."""

_FENCED = """
select exists (select from {schema}.feed_sessions newer
    where newer.feed_source = $1 and newer.shard = $2 and newer.epoch > $4
    and newer.started_at > coalesce((select max(mine.started_at) from {schema}.feed_sessions mine
        where mine.feed_source = $1 and mine.shard = $2 and mine.account = $3
        and mine.epoch = $4), '-infinity') - make_interval(secs => $5))
"""
_END_STALLED = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
    and application_name like $1 and state_change < clock_timestamp() - make_interval(secs => $2)
    and (state = 'idle in transaction' or (state = 'active' and wait_event = 'ClientRead'))
"""
_END_LOCKING = """
select count(pg_terminate_backend(pid)) from pg_locks
where locktype = 'advisory' and granted and pid <> pg_backend_pid()
    and database = (select oid from pg_database where datname = current_database())
    and classid::bigint = $1 and objid::bigint = $2 and objsubid = 2
"""


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence of one shard of one feed source in one schema."""

    schema: str
    finder: Finder

    @property
    def application_name(self) -> str:
        """What connections of this account are called on the server."""
        return f"feedplane-feeder {self._number:08x} {self.finder.account}"[:63]

    async def refuses(self, connection: asyncpg.Connection, epoch: int) -> bool:
        """Tell, until the transaction ends, whether another line publishes the books by now."""
        await connection.execute(f"select pg_advisory_xact_lock_shared({self._lock})")
        finder = self.finder
        return bool(
            await connection.fetchval(
                _FENCED.format(schema=quote_name(self.schema)),
                *(finder.feed_source, finder.shard, finder.account, epoch, _SLACK_SECONDS),
            )
        )

    async def raise_up(self, connection: asyncpg.Connection) -> None:
        """Wait, within the transaction, until no other line is about to commit book deltas."""
        await connection.execute(
            f"set local lock_timeout = '{LOCK_SECONDS}s';"
            f" select pg_advisory_xact_lock({self._lock}); set local lock_timeout = 0"
        )

    async def end_stalled(self, connection: asyncpg.Connection) -> None:
        """End transactions of this shard whose client froze: they hold keys that we will write."""
        like = f"feedplane-feeder {self._number:08x} %"
        await connection.execute(_END_STALLED, like, float(STALLED_SECONDS))

    async def end_locking(self, connection: asyncpg.Connection) -> None:
        """End the transactions that keep the lock; their batches are written again, or refused."""
        await connection.execute(_END_LOCKING, _LOCK_CLASS, self._number)

    @property
    def _lock(self) -> str:
        # The server takes two signed numbers and shows them unsigned.
        signed = self._number - (1 << 32) if self._number >= 1 << 31 else self._number
        return f"{_LOCK_CLASS}, {signed}"

    @property
    def _number(self) -> int:
        finder = self.finder
        return zlib.crc32(f"{self.schema}/{finder.feed_source}/{finder.shard}".encode())
