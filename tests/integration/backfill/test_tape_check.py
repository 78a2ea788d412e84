"""Days a tape lacks, found in a real database and fetched, and nothing else."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from feedplane_api.backfill_worker import parse_backfill_config
from feedplane_api.worker import PostgresSinkConfig, WorkerConfig, render_worker_config
from feedplane_feeder import tape_watch
from feedplane_feeder.__main__ import app
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.events import Event
from feedplane_feeder.records import Quote
from feedplane_feeder.run import RunOptions, build_process
from feedplane_feeder.settings import Settings
from feedplane_feeder.sinks.postgres_days import PostgresDays
from feedplane_feeder.tape_check_process import CheckFormat, render_check, run_tape_check
from feedplane_simulator.past import DAY_MS

BITCOIN = "BTCUSDT.BINANCE-SPOT"


def worker(trial: Any) -> WorkerConfig:
    backfill = trial.config()
    return WorkerConfig(
        venue=backfill.venue,
        endpoints=backfill.endpoints,
        wanted=backfill.wanted,
        sinks=(backfill.sink,),
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_missing_days_are_found_fetched_and_then_whole(trial: Any) -> None:
    config = worker(trial)
    midnight = trial.today_ms / 1000
    await trial.run(start=midnight - 2 * 86_400, end=midnight - 86_400)
    found = await run_tape_check(config, 3)
    yesterday = trial.today_ms - DAY_MS
    assert [each.day_ns // 1_000_000 for each in found.missing] == [
        yesterday - 2 * DAY_MS,
        yesterday,
    ]
    fetch = parse_backfill_config(render_check(config, found, CheckFormat.BACKFILL))
    assert fetch.start == datetime.fromtimestamp(midnight, UTC) - timedelta(days=3)
    report = await trial.run(
        **fetch.model_dump(include={"start", "end", "wanted", "run", "name"}, mode="json")
    )
    # The day that was there was not fetched again.
    assert (report.chunks_present, report.rows_new) == (1, 2 * 1_440)
    assert (await run_tape_check(config, 3)).missing == ()
    assert "0 of 3 days" in render_check(config, await run_tape_check(config, 3), CheckFormat.TEXT)


async def test_command_says_what_is_missing_by_its_exit_code(trial: Any) -> None:
    path = trial.folder / "worker.yaml"
    path.write_text(render_worker_config(worker(trial)))
    arguments = ["check-integrity", "--config", str(path), "--days", "2", "--format", "json"]
    ended = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert ended.exit_code == 1, ended.output
    assert '"missingDays": 2' in ended.output
    files = path.with_name("files.yaml")
    files.write_text("venue: binance-spot\nsinks: [{kind: file, path: '-'}]\n")
    arguments[2] = str(files)
    refused = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert refused.exit_code not in (0, 1)


async def test_days_of_quotes_are_known_from_the_first_one_on(trial: Any) -> None:
    sink = worker(trial).sinks[0]
    assert isinstance(sink, PostgresSinkConfig)
    day_ns = DAY_MS * 1_000_000
    end_ns = trial.today_ms * 1_000_000
    days = [end_ns - day_ns * ago for ago in range(4, 0, -1)]
    store = PostgresDays(sink, venue="binance-spot", feed_source="", account="check")
    await store.open()
    try:
        held = [
            Quote(BITCOIN, at_ns + 5, at_ns + 5, number, "1.5", "2", "1.6", "3")
            for number, at_ns in ((1, days[1]), (2, days[3]))
        ]
        await store.write(Batch(records=held))
        counts = await store.count_days("quote", [BITCOIN, "NONE.V"], days[0], end_ns)
    finally:
        await store.close()
    assert counts == {BITCOIN: {days[1]: 1, days[3]: 1}}


async def test_days_of_trades_are_known_by_any_row(trial: Any) -> None:
    start_ns = (trial.today_ms - 2 * DAY_MS) * 1_000_000
    middle_ns, end_ns = start_ns + DAY_MS * 1_000_000, trial.today_ms * 1_000_000
    trades = [{"symbol": "BTCUSDT", "channels": ["trade"]}]
    await trial.run(start=start_ns / 10**9, end=middle_ns / 10**9, wanted=trades)
    sink = worker(trial).sinks[0]
    assert isinstance(sink, PostgresSinkConfig)
    days = PostgresDays(sink, venue="binance-spot", feed_source="", account="check")
    await days.open()
    try:
        counts = await days.count_days("trade", [BITCOIN, "NONE.V"], start_ns, end_ns)
        assert counts == {BITCOIN: {start_ns: 1}}
        first = await days.first_rows("trade", [BITCOIN, "NONE.V"])
        assert list(first) == [BITCOIN]
        assert start_ns <= first[BITCOIN] < middle_ns
        (tried,) = await days.tried("trade", [BITCOIN], start_ns, end_ns)
        assert (tried.start_ns, tried.end_ns) == (start_ns, middle_ns)
        assert tried.held == len(await trial.trades())
        assert await days.tried("trade", [BITCOIN], middle_ns, end_ns) == ()
        for channel in ("bar-1m", "quote", "book", "snapshot", "metric", "unheard-of"):
            assert await days.count_days(channel, [BITCOIN], start_ns, end_ns) == {}
            assert await days.first_rows(channel, [BITCOIN]) == {}
    finally:
        await days.close()


async def test_feeder_tells_at_its_start_which_days_to_fetch(
    trial: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_watch, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(tape_watch, "SETTLED_NS", 0)
    midnight = trial.today_ms / 1000
    # The tape begins three days ago; what lies before is nobody's to miss.
    await trial.run(start=midnight - 3 * 86_400, end=midnight - 2 * 86_400)
    config = worker(trial)
    session = config.session.model_copy(update={"check_days": 5})
    endpoints = config.endpoints.model_copy(update={"stream": trial.venue.spot_url})
    changes = {"session": session, "http_port": 0, "endpoints": endpoints}
    config = config.model_copy(update=changes)
    settings = Settings(
        pod_name="local",
        termination_log=trial.folder / "termination",
        kubernetes_host="",
        kubernetes_port="443",
        service_account=trial.folder,
    )
    path = trial.folder / "worker.yaml"
    path.write_text(render_worker_config(config))
    with caplog.at_level(logging.INFO):
        process = build_process(config, RunOptions(config_path=path), settings)
        running = asyncio.create_task(process.run())
        await until(lambda: bool(process.live.status().missing_days))
        (missing,) = process.live.status().missing_days
        end = datetime.fromtimestamp(midnight, UTC)
        assert (missing.symbols, missing.channels) == (("BTCUSDT",), ("bar-1m",))
        assert (missing.start, missing.end) == (end - timedelta(days=2), end)
        await trial.run(start=midnight - 2 * 86_400, end=midnight, name="days")
        await until(lambda: not process.live.status().missing_days)
        process.stop.set()
        await running
    (told,) = [each for each in caplog.records if each.message == Event.TAPE_CHECKED]
    assert told.levelno == logging.WARNING
