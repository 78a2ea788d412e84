"""A worker process killed at twenty places of its life, twice at each: the same rows in the end.

Nothing inside the worker is changed. It is held where it shall die by what it meets: a table that
somebody locks, a row somebody else has written and not yet committed, a file that does not come,
a request that is refused. Two lanes go through the places at once: in one the database hears of
the death before what the worker waited for is free, in the other only after, and so finishes the
statement of a client that is gone.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import pytest

from feedplane_api.backfill_worker import render_backfill_config
from feedplane_simulator.faults import ActiveFault, Fault, FaultKind
from feedplane_simulator.past import DAY_MS

HOUR_MS = 3_600_000
BTC, ETH = "BTCUSDT.BINANCE-SPOT", "ETHUSDT.BINANCE-SPOT"
WANTED = [{"symbol": name, "channels": ["bar-1m", "trade"]} for name in ("BTCUSDT", "ETHUSDT")]
TABLES = ("bars", "trades", "backfill_chunks")
STALL_SECONDS = 5.0
# Rows by their order, one in three: the first third may be there before, the second is held.
ORDER = {
    "bars": ("ts_open", "extract(minute from ts_open)::int % 3"),
    "trades": ("trade_id", "trade_id % 3"),
}
WAITING = """
select pid, lower(query) as query from pg_stat_activity
where $1 = any(pg_blocking_pids(pid)) and backend_type = 'client backend'
"""
NOBODY = 0
"""The worker is where it shall be, and no session of the database waits for it."""
Reached = Callable[[], Awaitable[int | None]]


@dataclass
class Lane:
    """A backfill that is killed again and again, and the rows it has to end with."""

    trial: Any
    fields: dict[str, Any]
    days: tuple[str, str]
    ask: asyncpg.Connection
    hold: asyncpg.Connection
    heard_first: bool
    whole: list[Any]
    said: str = ""

    async def rows(self) -> list[Any]:
        """Return every row, and how each chunk is remembered."""
        tables = [await self.trial.bars(name) for name in (BTC, ETH)]
        tables += [await self.trial.trades(name) for name in (BTC, ETH)]
        remembered = [
            (chunk["chunk"], chunk["state"], chunk["rows_held"], chunk["rows_missing"])
            for chunk in await self.trial.chunks()
        ]
        return [*tables, remembered]

    async def execute(self, statement: str, *arguments: Any, by: Any = None) -> None:
        """Run a statement whose tables are those of the lane."""
        await (by or self.ask).execute(statement.format(schema=self.trial.schema), *arguments)

    async def forget(self) -> None:
        """Remove every row; where they were in the database, there is room for them still."""
        for table in TABLES:
            await self.execute(f"delete from {{schema}}.{table}")  # noqa: S608 - a name of ours

    async def waiting(self, words: str) -> int | None:
        """Return the session that waits for what is held, which is in such a statement."""
        row = await self.ask.fetchrow(WAITING, self.hold.get_server_pid())
        if row is None:
            return None
        assert words in row["query"]
        return int(row["pid"])

    async def see_off(self, session: int) -> None:
        """Wait until a session has ended."""
        query = "select exists (select from pg_stat_activity where pid = $1)"
        async with asyncio.timeout(20):
            while await self.ask.fetchval(query, session):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


Obstacle = Callable[[Lane], AbstractAsyncContextManager[Reached]]


@asynccontextmanager
async def held(lane: Lane, statement: str, words: str, *arguments: Any) -> AsyncIterator[Reached]:
    transaction = lane.hold.transaction()
    await transaction.start()
    try:
        await lane.execute(statement, *arguments, by=lane.hold)
        yield partial(lane.waiting, words)
    finally:
        await transaction.rollback()


def table(name: str, mode: str, words: str) -> Obstacle:
    return lambda lane: held(lane, f"lock table {{schema}}.{name} in {mode} mode", words)


def row(name: str, instrument: str, place: int, words: str = "copy") -> Obstacle:
    order, third = ORDER[name]
    statement = (
        f"insert into {{schema}}.{name} select * from {{schema}}.whole_{name}"  # noqa: S608
        f" where instrument_id = $1 and {third} = 1 order by {order} offset {place} limit 1"
    )
    return lambda lane: held(lane, statement, words, instrument)


def merged(obstacle: Obstacle, name: str, instrument: str) -> Obstacle:
    """Return an obstacle before which a third of the rows is there, as if from the live tape."""
    statement = (
        f"insert into {{schema}}.{name} select * from {{schema}}.whole_{name}"  # noqa: S608
        f" where instrument_id = $1 and {ORDER[name][1]} = 0"
    )

    @asynccontextmanager
    async def after(lane: Lane) -> AsyncIterator[Reached]:
        await lane.execute(statement, instrument)
        async with obstacle(lane) as reached:
            yield reached

    return after


def checkpoint(number: int) -> Obstacle:
    statement = (
        "insert into {schema}.backfill_chunks"
        " select * from {schema}.whole_backfill_chunks where chunk = $1"
    )
    return lambda lane: held(lane, statement, "insert into", number)


@asynccontextmanager
async def faulty(lane: Lane, fault: Fault) -> AsyncIterator[Reached]:
    active: ActiveFault = await lane.trial.venue.inject(fault)

    async def reached() -> int | None:
        return NOBODY if active.applied else None

    try:
        yield reached
    finally:
        lane.trial.venue.clear(active.number)


def download(prefix: str, day: int) -> Obstacle:
    def obstacle(lane: Lane) -> AbstractAsyncContextManager[Reached]:
        path = f"*/{prefix}-{lane.days[day]}.zip"
        fault = Fault(
            kind=FaultKind.ARCHIVE, streams=path, damage="slow", delay_seconds=STALL_SECONDS
        )
        return faulty(lane, fault)

    return obstacle


def refused(lane: Lane) -> AbstractAsyncContextManager[Reached]:
    return faulty(lane, Fault(kind=FaultKind.REST, status=503))


EXCLUSIVE, SHARE = "access exclusive", "share"
PLACES: dict[str, Obstacle] = {
    "while it looks for its tables": table("bars", EXCLUSIVE, "create temporary table"),
    "before it knows what is done": table("backfill_chunks", EXCLUSIVE, "select chunk"),
    "in the first download": download("BTCUSDT-1m", 0),
    "with a day written, in the next download": download("BTCUSDT-1m", 1),
    "with a piece remembered, before the next": download("BTCUSDT-aggTrades", 0),
    "with a day of trades written": download("BTCUSDT-aggTrades", 1),
    "with an instrument done, before the next": download("ETHUSDT-1m", 0),
    "in the last download": download("ETHUSDT-aggTrades", 1),
    "in the pause after a refused page": refused,
    "before the first row": table("bars", SHARE, "copy"),
    "among the bars of the first day": row("bars", BTC, 20),
    "near the end of the last day's bars": row("bars", ETH, 78),
    "at the first trades": row("trades", BTC, 0),
    "among the last trades": row("trades", ETH, 120),
    "staged, before the merge": merged(table("bars", SHARE, "with moved"), "bars", BTC),
    "among the bars of a merge": merged(row("bars", BTC, 60, "with moved"), "bars", BTC),
    "among the trades of a merge": merged(row("trades", BTC, 60, "with moved"), "trades", BTC),
    "merged, before the first checkpoint": checkpoint(0),
    "written, before a checkpoint on the way": checkpoint(3),
    "written, before the last checkpoint": checkpoint(7),
}


async def kill_at(lane: Lane, obstacle: Obstacle) -> None:
    """Start a worker, kill it where it is held, and let the database find out."""
    path = lane.trial.folder / "worker.yaml"
    path.write_text(render_backfill_config(lane.trial.config(**lane.fields, fetches=1)))
    async with obstacle(lane) as reached:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "feedplane_feeder", "backfill", "--config", str(path)),
            env=dict(os.environ),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            while (session := await reached()) is None:
                assert process.returncode is None
                await asyncio.sleep(0.02)
        finally:
            if process.returncode is None:
                process.kill()
            lane.said = (await process.communicate())[1].decode()
        assert process.returncode == -signal.SIGKILL
        if session and lane.heard_first:
            await lane.ask.execute("select pg_terminate_backend($1)", session)
            await lane.see_off(session)
    if session:
        await lane.see_off(session)


async def go_through(lane: Lane) -> list[str]:
    """Kill and resume at each place; where the rows differed in the end."""
    differing = []
    for name, obstacle in PLACES.items():
        await lane.forget()
        try:
            async with asyncio.timeout(30):
                await kill_at(lane, obstacle)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"{name}; the worker said: {lane.said}")
            raise
        report = await lane.trial.run(**lane.fields)
        settled = (report.chunks_done, report.chunks_failed, report.rows_missing) == (8, 0, 0)
        if not settled or await lane.rows() != lane.whole:
            differing.append(name)
    return differing


@asynccontextmanager
async def lane_of(trial: Any, dsn: str, *, heard_first: bool) -> AsyncIterator[Lane]:
    ask, hold = [await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}) for _ in range(2)]
    folder = trial.folder / trial.schema
    folder.mkdir()
    # Around a midnight inside a month, whose days are files of their own.
    days = (trial.today_ms - back * DAY_MS for back in (1, 2))
    middle = next(day for day in days if datetime.fromtimestamp(day / 1000, UTC).day > 1)
    names = [
        datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")
        for at in (middle - DAY_MS, middle)
    ]
    lane = Lane(
        trial=replace(trial, ask=ask, folder=folder),
        fields={
            "wanted": WANTED,
            "start": (middle - 2 * HOUR_MS) / 1000,
            "end": (middle + 2 * HOUR_MS) / 1000,
        },
        days=(names[0], names[1]),
        ask=ask,
        hold=hold,
        heard_first=heard_first,
        whole=[],
    )
    try:
        await lane.trial.run(**lane.fields)
        lane.whole = await lane.rows()
        for name in TABLES:
            await lane.execute(f"create table {{schema}}.whole_{name} as table {{schema}}.{name}")
        yield lane
    finally:
        ask.terminate()
        hold.terminate()


@pytest.mark.timeout(240)
async def test_worker_killed_at_any_place_ends_with_the_same_rows(
    make_trial: Callable[..., Any], dsn: str
) -> None:
    assert len(PLACES) == 20
    first, second = await make_trial(), await make_trial()
    async with (
        lane_of(first, dsn, heard_first=True) as soon,
        lane_of(second, dsn, heard_first=False) as late,
    ):
        for lane in (soon, late):
            assert [len(rows) for rows in lane.whole] == [240, 240, 480, 480, 8]
        async with asyncio.TaskGroup() as tasks:
            lanes = [tasks.create_task(go_through(lane)) for lane in (soon, late)]
        assert [lane.result() for lane in lanes] == [[], []]
