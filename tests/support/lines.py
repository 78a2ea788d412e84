"""Two lines of one feed: real sockets, a real database, roles given by hand."""

import asyncio
import gc
import random  # noqa: TID251 - seeded
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry
from rig import Venue
from support_election import HandElection
from tape import Verdict, judge
from trial import DSN_ENV

from feedplane_api.worker import (
    AccountIdentity,
    BufferConfig,
    ElectionConfig,
    Endpoints,
    FailoverMode,
    FailoverPolicy,
    PostgresSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.ports import Demoted, Promoted
from feedplane_feeder.live import Live, Outside
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.transport import Engine, build_transport
from feedplane_feeder.writer import build_writers

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
CHANNELS = ("trade", "quote", "book", "bar-1m")


@dataclass
class Line:
    """One account's feeder in this process."""

    live: Live
    election: HandElection
    task: asyncio.Task[None]
    stop: asyncio.Event
    registry: CollectorRegistry

    def promote(self, epoch: int, reason: str = "LeaseExpired") -> None:
        """Make this line the one that publishes."""
        self.election.tell(Promoted(epoch, reason))

    def demote(self, epoch: int) -> None:
        """Make this line stand by."""
        self.election.tell(Demoted(epoch, "Failback"))

    async def until(self, happened: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a state of this line."""
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 - other tasks' state
                await asyncio.sleep(0.02)

    async def until_live(self) -> None:
        """Wait until every wanted channel is live."""
        await self.until(lambda: self.live.status().coverage.live == len(SYMBOLS) * len(CHANNELS))

    async def until_written(self) -> None:
        """Wait until the promotion's first batch is in the sink."""
        await self.until(lambda: self.live.status().election.last_failover_milliseconds is not None)

    async def end(self) -> None:
        """Stop in good order."""
        self.stop.set()
        await self.task

    async def kill(self) -> None:
        """End at once; nothing is drained, as with the process."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Feed:
    """A venue, a database and the lines between them."""

    venue: Venue
    dsn: str

    def config(self, account: str, mode: FailoverMode) -> WorkerConfig:
        """Return one line's configuration."""
        url = f"127.0.0.1:{self.venue.spot_port}"
        return WorkerConfig(
            venue="binance-spot",
            endpoints=Endpoints(stream=f"ws://{url}", rest=f"http://{url}"),
            account=AccountIdentity(name=account),
            wanted=tuple(Wanted(symbol=symbol, channels=CHANNELS) for symbol in SYMBOLS),
            session=SessionConfig(stale_after_seconds=5),
            sinks=(PostgresSinkConfig(dsn_env=DSN_ENV),),
            buffer=BufferConfig(queue_records=50_000),
            election=ElectionConfig(namespace="test", lease_name="test", mode=mode),
            policy=FailoverPolicy(accounts=("first", "second")),
        )

    @asynccontextmanager
    async def make_line(self, account: str, mode: FailoverMode) -> AsyncIterator[Line]:
        """Run a line of an account; its roles are the test's to give."""
        clock, election, stop = SystemClock(), HandElection(), asyncio.Event()
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        config = self.config(account, mode)
        outside = Outside(
            transport=build_transport(Engine.PICOWS, clock),
            election=election,
            clock=clock,
            rng=random.Random(1),  # noqa: S311 - the same delays each time
            metrics=metrics,
        )
        writers = build_writers(config, clock=clock, metrics=metrics)
        live = Live(config, find_adapter(config.venue), writers, outside)
        task = asyncio.create_task(live.run(stop))
        try:
            yield Line(live, election, task, stop, registry)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gc.collect()

    @asynccontextmanager
    async def make_publishing(self, mode: FailoverMode) -> AsyncIterator[Line]:
        """Run the line that publishes, of account `first`, once its tape has begun.

        The tape begins with the line that publishes, not with the one that only listens.
        """
        async with self.make_line("first", mode) as line:
            line.promote(1)
            await line.until_live()
            await self.until_held()
            yield line

    async def halt(self) -> None:
        """Stop the market and let its last frames arrive."""
        await asyncio.to_thread(self.venue.fault, "halt", market="spot")
        await asyncio.sleep(1)

    async def fetch(self, statement: str) -> list[Any]:
        """Ask the database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def until_held(self, seconds: float = 40) -> None:
        """Wait until the table has the book of every symbol, whoever wrote it."""
        async with asyncio.timeout(seconds):
            while not await self._has_books():  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.2)

    async def _has_books(self) -> bool:
        try:
            rows = await self.fetch("select distinct instrument_id from feedplane.book_deltas")
        except asyncpg.UndefinedTableError:
            return False
        return len(rows) == len(SYMBOLS)

    async def verdicts(self, channels: Sequence[str] = CHANNELS) -> list[Verdict]:
        """Judge channels from the first subscription on, and find them complete."""
        wanted = {channel: list(SYMBOLS) for channel in channels}
        found = await judge(
            self.dsn, self.venue.admin, "spot", "BINANCE-SPOT", wanted, from_first_row=False
        )
        broken = [str(verdict) for verdict in found if not verdict.complete]
        assert not broken, broken
        assert sum(verdict.kept for verdict in found) > 1_000
        return found

    async def check_books_interlock(self) -> None:
        """Assert that each delta begins where the one before it in the table ended."""
        rows = await self.fetch(
            "select instrument_id, first_id, last_id from feedplane.book_deltas where not snapshot"
            " order by instrument_id, last_id"
        )
        ends: dict[str, int] = {}
        for row in rows:
            end = ends.get(row["instrument_id"])
            assert end is None or row["first_id"] == end + 1, tuple(row)
            ends[row["instrument_id"]] = row["last_id"]
        assert len(ends) == len(SYMBOLS)


async def stall_seconds(feed: Feed, stop: asyncio.Event) -> float:
    """Watch the trades and return for how long no new one appeared, at worst."""
    connection = await asyncpg.connect(feed.dsn)
    newest, since, worst = -1, time.monotonic(), 0.0
    try:
        while not stop.is_set():
            found = await connection.fetchval(
                "select trade_id from feedplane.trades where instrument_id = 'BTCUSDT.BINANCE-SPOT'"
                " order by ts_event desc limit 1"
            )
            now = time.monotonic()
            if found != newest:
                newest, since = found, now
            worst = max(worst, now - since)
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return worst
