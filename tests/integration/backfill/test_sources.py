"""Where rows come from, and what happens when a source is bad; the venue's truth is the referee."""

from typing import Any

import pytest

from feedplane_feeder import archive, rest
from feedplane_simulator.archive import render_klines, render_trades
from feedplane_simulator.config import Market
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.past import DAY_MS

DAY_BARS = 1_440


def expected_bars(trial: Any, symbol: str = "BTCUSDT", *, days: int = 2) -> list[list[str]]:
    annals = trial.truth()
    bars = annals.bars(symbol, "1m", trial.today_ms - days * DAY_MS, trial.today_ms)
    text = render_klines(Market.USDM, annals.instrument(symbol), bars)
    return [line.split(",") for line in text.splitlines()]


def as_columns(row: tuple[Any, ...]) -> list[str]:
    at, _, first, high, low, last, volume, quote, count, base, taker, _, _ = row
    return [str(at), first, high, low, last, volume, quote, str(count), base, taker]


def assert_bars_are_true(rows: list[tuple[Any, ...]], expected: list[list[str]]) -> None:
    told = [[*line[:6], *line[7:11]] for line in expected]
    assert [as_columns(row) for row in rows] == told
    assert all(row[11] for row in rows)


async def test_bars_of_the_archive_are_the_venue_s_own(trial: Any) -> None:
    report = await trial.run()
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    chunks = await trial.chunks()
    assert [(c["state"], c["source"], c["rows_held"]) for c in chunks] == [
        ("done", "Archive", DAY_BARS)
    ] * 2
    assert all(len(chunk["checksum"]) == 64 for chunk in chunks)
    assert (report.chunks_done, report.rows_new, report.rows_missing) == (2, 2 * DAY_BARS, 0)
    assert trial.termination()["rowsNew"] == 2 * DAY_BARS


async def test_bars_by_rest_are_the_same_as_by_archive(trial: Any) -> None:
    await trial.run(sources=["Rest"])
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    assert {chunk["source"] for chunk in await trial.chunks()} == {"Rest"}


@pytest.mark.parametrize("sources", [["Archive"], ["Rest"], ["Archive", "Rest"]])
async def test_trades_of_any_source_are_those_of_the_tape(trial: Any, sources: list[str]) -> None:
    wanted = [{"symbol": "BTCUSDT", "channels": ["trade"]}]
    report = await trial.run(wanted=wanted, sources=sources)
    annals = trial.truth()
    trades = annals.trades("BTCUSDT", trial.today_ms - 2 * DAY_MS, trial.today_ms)
    text = render_trades(Market.USDM, annals.instrument("BTCUSDT"), trades)
    told = [line.split(",") for line in text.splitlines()]
    rows = await trial.trades()
    assert [[str(v) for v in row[:6]] for row in rows] == [
        [line[0], line[5], line[1], line[2], line[3], line[4]] for line in told
    ]
    sides = {"true": "S", "false": "B"}
    assert [row[6] for row in rows] == [sides[line[6]] for line in told]
    assert (report.rows_missing, report.chunks_failed) == (0, 0)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("missing", "ArchiveMissing"),
        ("corrupt", "ChecksumMismatch"),
        ("partial", "ChecksumMismatch"),
        ("checksum", "ChecksumMismatch"),
        ("rotten", "BadZip"),
        ("hole", "ArchiveHole"),
    ],
)
async def test_bad_file_is_named_and_replaced_by_rest(trial: Any, damage: str, reason: str) -> None:
    await trial.fault(damage)
    report = await trial.run()
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    chunks = await trial.chunks()
    assert {chunk["state"] for chunk in chunks} == {"done"}
    assert {chunk["error"].partition(":")[0] for chunk in chunks} == {reason}
    assert (report.rows_missing, report.chunks_failed) == (0, 0)


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_archive_that_refuses_for_a_while_is_asked_again(trial: Any, status: int) -> None:
    await trial.fault("error", status=status, retry_after_seconds=1, count=1)
    report = await trial.run(sources=["Archive"])
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    assert {chunk["source"] for chunk in await trial.chunks()} == {"Archive"}
    assert (report.rows_missing, report.chunks_failed) == (0, 0)


async def test_archive_that_stays_away_is_named_and_replaced_by_rest(trial: Any) -> None:
    await trial.fault("error", status=503)
    report = await trial.run()
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    chunks = await trial.chunks()
    assert {chunk["source"] for chunk in chunks} == {"Rest"}
    assert {chunk["error"].partition(":")[0] for chunk in chunks} == {"VenueUnavailable"}
    assert all("HTTP 503" in chunk["error"] for chunk in chunks)
    assert (report.rows_missing, report.chunks_failed) == (0, 0)


async def test_slow_archive_is_waited_for(trial: Any) -> None:
    await trial.fault("slow", delay_seconds=0.3)
    report = await trial.run(sources=["Archive"])
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    assert {chunk["error"] for chunk in await trial.chunks()} == {None}
    assert report.chunks_done == 2


async def test_archive_slower_than_patience_is_named_and_replaced(
    trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "READ_SECONDS", 0.3)
    await trial.fault("slow", delay_seconds=1.0)
    report = await trial.run()
    assert_bars_are_true(await trial.bars(), expected_bars(trial))
    chunks = await trial.chunks()
    assert {chunk["error"].partition(":")[0] for chunk in chunks} == {"VenueUnavailable"}
    assert all("Timeout" in chunk["error"] for chunk in chunks)
    assert report.chunks_failed == 0


async def test_rest_slower_than_patience_fails_by_name_and_later_goes_on(
    trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(rest, "TIMEOUT_SECONDS", 0.5)
        frozen = await trial.venue.inject(Fault(kind=FaultKind.BLACKHOLE))
        report = await trial.run(sources=["Rest"], tries=2)
    assert (report.chunks_done, report.chunks_failed) == (0, 2)
    chunks = await trial.chunks()
    assert {chunk["error"].partition(":")[0] for chunk in chunks} == {"VenueUnavailable"}
    assert all("Timeout" in chunk["error"] for chunk in chunks)
    trial.venue.clear(frozen.number)
    report = await trial.run(sources=["Rest"])
    assert (report.chunks_done, report.chunks_failed) == (2, 0)
    assert_bars_are_true(await trial.bars(), expected_bars(trial))


async def test_hole_in_trades_of_a_good_file_is_filled_by_number(trial: Any) -> None:
    await trial.fault("hole")
    report = await trial.run(wanted=[{"symbol": "BTCUSDT", "channels": ["trade"]}])
    numbers = [row[0] for row in await trial.trades()]
    assert numbers == list(range(numbers[0], numbers[0] + 2 * 2 * DAY_BARS))
    assert {c["source"] for c in await trial.chunks()} == {"Archive+Rest"}
    assert report.rows_missing == 0


async def test_hole_without_another_source_is_flagged(trial: Any) -> None:
    await trial.fault("hole")
    wanted = [{"symbol": "BTCUSDT", "channels": ["bar-1m", "trade"]}]
    report = await trial.run(wanted=wanted, sources=["Archive"])
    assert report.rows_missing == 2 * 10 + 2 * 10
    assert {chunk["error"].partition(":")[0] for chunk in await trial.chunks()} == {"ArchiveHole"}


async def test_chunk_nobody_can_give_is_listed_with_the_reason(trial: Any) -> None:
    await trial.fault("corrupt")
    report = await trial.run(sources=["Archive"], tries=2)
    assert report.chunks_failed == 2
    assert {problem.reason for problem in report.failed} == {"ChecksumMismatch"}
    assert [chunk["tries"] for chunk in await trial.chunks()] == [2, 2]
    assert await trial.bars() == []
    assert len(trial.termination()["failed"]) == 2


async def test_metrics_of_archive_and_rest_are_the_same(trial: Any) -> None:
    wanted = [{"symbol": "BTCUSDT", "channels": ["metric"]}]
    await trial.run(wanted=wanted, market="usdm", sources=["Archive"])
    table = f"{trial.schema}.metrics"
    query = f"select ts_event, name, value::text from {table} order by 1, 2"  # noqa: S608
    first = [tuple(row) for row in await trial.ask.fetch(query)]
    await trial.ask.execute(f"truncate {table}, {trial.schema}.backfill_chunks")
    await trial.run(wanted=wanted, market="usdm", sources=["Rest"])
    assert [tuple(row) for row in await trial.ask.fetch(query)] == first
    assert len(first) == 2 * 288 * 6


async def test_futures_with_headers_and_milliseconds_are_read(trial: Any) -> None:
    wanted = [{"symbol": "ETHUSDT", "channels": ["bar-1m", "bar-1h", "trade"]}]
    report = await trial.run(wanted=wanted, market="usdm")
    assert (report.chunks_failed, report.rows_missing) == (0, 0)
    rows = await trial.bars("ETHUSDT.BINANCE-USDM")
    assert [row[1] for row in rows].count("1m") == 2 * DAY_BARS
    assert [row[1] for row in rows].count("1h") == 48
