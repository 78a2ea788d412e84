"""A backfill that is killed, repeated, or meets what is there already: the rows stay the same."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from feedplane_api.backfill_worker import BackfillConfig, render_backfill_config
from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder import backfill_process
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.core.ports import Batch, Channel, ConnectionPlan, Written
from feedplane_feeder.core.progress import ChunkResult
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.sinks.factory import build_history_store
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_history import PostgresHistory
from feedplane_simulator.config import Market
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.past import DAY_MS
from feedplane_simulator.violations import Rule

HOUR_MS = 3_600_000
INSTRUMENTS = ("BTCUSDT.BINANCE-SPOT", "ETHUSDT.BINANCE-SPOT")
WANTED = [
    {"symbol": "BTCUSDT", "channels": ["bar-1m", "trade"]},
    {"symbol": "ETHUSDT", "channels": ["bar-1m", "trade"]},
]
CRASH_POINTS = 20


class CrashError(BaseException):
    """The end of the process, as far as the code under test can tell."""


class CrashingStore(PostgresHistory):
    """Ends the process at the n-th point where something was begun, half done or done."""

    left = 0

    def point(self) -> None:
        type(self).left -= 1
        if type(self).left == 0:
            raise CrashError

    async def write(
        self, channel: str, blocks: Iterable[Rendered], *, fresh: bool, overwrite: bool = False
    ) -> Written:
        def torn() -> Iterator[Rendered]:
            for block in blocks:
                middle = len(block.data) // 2
                yield Rendered(block.data[:middle], block.form)
                self.point()
                yield Rendered(block.data[middle:], block.form)

        self.point()
        written = await super().write(channel, torn(), fresh=fresh, overwrite=overwrite)
        self.point()
        return written

    async def remember(self, results: Sequence[ChunkResult]) -> None:
        self.point()
        await super().remember(results)
        self.point()


async def read_all(trial: Any) -> list[list[tuple[Any, ...]]]:
    tables = [await trial.bars(name) for name in INSTRUMENTS]
    return tables + [await trial.trades(name) for name in INSTRUMENTS]


async def forget(trial: Any) -> None:
    names = ", ".join(f"{trial.schema}.{t}" for t in ("bars", "trades", "backfill_chunks"))
    await trial.ask.execute(f"truncate {names}")


def around_midnight(trial: Any) -> dict[str, Any]:
    middle = trial.today_ms - DAY_MS
    return {
        "wanted": WANTED,
        "start": (middle - 2 * HOUR_MS) / 1000,
        "end": (middle + 2 * HOUR_MS) / 1000,
    }


@pytest.mark.timeout(240)
async def test_run_that_crashed_at_any_point_ends_with_the_same_rows(
    trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = around_midnight(trial)
    await trial.run(**fields)
    whole = await read_all(trial)
    assert [len(rows) for rows in whole] == [240, 240, 480, 480]

    def build_crashing(config: BackfillConfig) -> PostgresHistory:
        store = build_history_store(config)
        store.__class__ = CrashingStore
        return store

    for point in range(1, CRASH_POINTS + 1):
        await forget(trial)
        monkeypatch.setattr(backfill_process, "build_history_store", build_crashing)
        CrashingStore.left = point
        with pytest.raises(BaseExceptionGroup):
            await trial.run(**fields)
        # Once more at the same point, where the rest of the work still reaches it.
        CrashingStore.left = point
        with contextlib.suppress(BaseExceptionGroup):
            await trial.run(**fields)
        monkeypatch.setattr(backfill_process, "build_history_store", build_history_store)
        report = await trial.run(**fields)
        assert await read_all(trial) == whole
        assert (report.chunks_done, report.rows_missing) == (8, 0)


@pytest.mark.timeout(120)
async def test_process_killed_twice_ends_with_the_same_rows(trial: Any) -> None:
    await trial.run(wanted=WANTED, name="reference")
    whole = await read_all(trial)
    await forget(trial)
    await trial.fault("slow", delay_seconds=0.3)
    path = trial.folder / "backfill.yaml"
    path.write_text(render_backfill_config(trial.config(wanted=WANTED, fetches=1)))
    kills = 0
    while True:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "feedplane_feeder", "backfill", "--config", str(path)),
            env=dict(os.environ),
            stderr=asyncio.subprocess.DEVNULL,
        )
        rows = await rows_beyond(trial, process, 1_500 * (kills + 1)) if kills < 2 else 0
        if rows and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if await process.wait() == 0:
            break
    assert kills >= 1
    assert await read_all(trial) == whole
    assert {chunk["state"] for chunk in await trial.chunks()} == {"done"}


async def rows_beyond(trial: Any, process: asyncio.subprocess.Process, count: int) -> int:
    bars, trades = f"{trial.schema}.bars", f"{trial.schema}.trades"
    query = f"select (select count(*) from {bars}) + (select count(*) from {trades})"  # noqa: S608
    while process.returncode is None:
        rows = int(await trial.ask.fetchval(query))
        if rows > count:
            return rows
        await asyncio.sleep(0.01)
    return 0


async def test_workers_of_one_run_share_the_chunks(trial: Any) -> None:
    reports = [await trial.run(index, wanted=WANTED, workers=3) for index in range(3)]
    assert sum(report.chunks_total for report in reports) == 8
    assert all(report.chunks_total for report in reports)
    assert [len(rows) for rows in await read_all(trial)] == [2_880, 2_880, 5_760, 5_760]


async def test_missing_only_fetches_what_is_missing(trial: Any) -> None:
    await trial.run(wanted=WANTED, name="first")
    whole = await read_all(trial)
    await trial.ask.execute(
        f"delete from {trial.schema}.bars where instrument_id = $1 and ts_open >= $2"  # noqa: S608
        " and ts_open < $2 + interval '5 minutes'",
        INSTRUMENTS[0],
        await trial.ask.fetchval("select date_trunc('day', now()) - interval '1 day'"),
    )
    report = await trial.run(wanted=WANTED, name="second")
    assert (report.rows_new, report.chunks_present, report.chunks_done) == (5, 7, 8)
    fetched = [c for c in await trial.chunks() if "second" in c["backfill"] and c["rows_new"]]
    assert [(c["instrument_id"], c["channel"]) for c in fetched] == [(INSTRUMENTS[0], "bar-1m")]
    assert await read_all(trial) == whole


async def test_part_of_a_day_proves_nothing_about_the_day(trial: Any) -> None:
    bars = [{"symbol": "BTCUSDT", "channels": ["bar-1m"]}]
    day = (trial.today_ms - DAY_MS) / 1000
    part = await trial.run(wanted=bars, name="part", start=day, end=day + 600)
    assert part.rows_new == 10
    report = await trial.run(wanted=bars, name="whole", start=day, end=day + 86_400)
    assert (report.chunks_present, report.rows_new) == (0, 1_440 - 10)


async def test_overwrite_replaces_what_differs_and_nothing_else(trial: Any) -> None:
    await trial.run(wanted=WANTED, name="first")
    whole = await read_all(trial)
    await trial.ask.execute(
        f"update {trial.schema}.bars set close = close + 1 where extract(minute from ts_open) = 7"  # noqa: S608
    )
    report = await trial.run(wanted=WANTED, name="second", mode="Overwrite")
    assert (report.rows_updated, report.rows_new) == (2 * 48, 0)
    assert await read_all(trial) == whole


async def test_rows_of_the_live_tape_are_not_doubled(make_trial: Any) -> None:
    trial = await make_trial(rate=400.0, archive_delay_seconds=-1.0)
    truth = trial.venue.truth
    while len(truth.events((Market.SPOT, "aggTrade", "BTCUSDT"))) < 200:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)
    trial.venue.markets[Market.SPOT].halted = True
    await trial.run(start=(trial.today_ms - HOUR_MS) / 1000)  # makes the tables
    adapter = find_adapter("binance-spot")
    channels = (Channel("BTCUSDT", "trade"), Channel("BTCUSDT", "bar-1m"))
    plan = ConnectionPlan(key="stream-0", url="", channels=channels)
    session = adapter.session(plan, adapter.capabilities.limits)
    frames = [
        b'{"stream":"btcusdt@%b","data":%b}' % (stream.encode(), payload)
        for stream in ("aggTrade", "kline_1m")
        for _, _, payload in truth.events((Market.SPOT, stream, "BTCUSDT"))
    ]
    records = session.receive(frames, 10**18).records
    sink = PostgresSink(
        PostgresSinkConfig(dsn_env="FEEDPLANE_BACKFILL_DSN", schema_name=trial.schema),
        venue="binance-spot",
        feed_source="a/b",
        account="c",
    )
    await sink.open()
    await sink.write(Batch(records=records))
    await sink.close()
    live = len(await trial.trades())
    assert live >= 200
    now_ms = trial.venue.markets[Market.SPOT].now_ms()
    wanted = [{"symbol": "BTCUSDT", "channels": ["trade", "bar-1m"]}]
    await trial.run(
        wanted=wanted, start=trial.today_ms / 1000, end=(now_ms + DAY_MS) / 1000, name="today"
    )
    rows = await trial.trades()
    numbers = [row[0] for row in rows]
    assert len(numbers) == len(set(numbers)) == numbers[-1] - numbers[0] + 1
    assert len(numbers) > live


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_rest_that_refuses_for_a_while_is_asked_again_in_time(
    trial: Any, status: int
) -> None:
    await trial.venue.inject(
        Fault(kind=FaultKind.REST, status=status, retry_after_seconds=1, count=1)
    )
    report = await trial.run(sources=["Rest"])
    assert (report.chunks_done, report.chunks_failed) == (2, 0)
    assert len(await trial.bars()) == 2_880
    broken = trial.venue.violations.counts
    assert broken[Rule.REST_WHILE_LIMITED] == broken[Rule.REST_WHILE_BANNED] == 0


async def test_chunks_before_the_listing_expect_nothing(trial: Any) -> None:
    start = (trial.today_ms - 9 * DAY_MS) / 1000
    report = await trial.run(start=start)
    assert report.chunks_done == 9
    assert (report.chunks_failed, report.rows_missing) == (0, 0)
    assert 6 * 1_440 <= report.rows_new <= 8 * 1_440
