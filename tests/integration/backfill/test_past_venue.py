"""A venue with nothing but a past, by its own protocol over TCP; the simulator is the referee."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from feedplane_feeder import backfill_process
from feedplane_simulator.baostock import BaoStockVenue, is_trading_day, past_bars
from feedplane_simulator.simulator import Simulator

pytestmark = pytest.mark.timeout(90)

START, END = date(2026, 1, 1), date(2026, 11, 1)
SYMBOLS = ("sh.600000", "sz.000001")


async def start(make_trial: Any, **options: str) -> tuple[Any, BaoStockVenue]:
    trial = await make_trial(venues={"baostock": 0}, venue_options={"baostock": options})
    venue = trial.venue.hosted["baostock"]
    assert isinstance(venue, BaoStockVenue)
    trial.fields = {
        "venue": "baostock",
        "endpoints": {"rest": f"tcp://127.0.0.1:{venue.ports['baostock']}"},
        "start": datetime(START.year, START.month, START.day, tzinfo=UTC),
        "end": datetime(END.year, END.month, END.day, tzinfo=UTC),
        "wanted": [{"symbol": symbol, "channels": ["bar-1d"]} for symbol in SYMBOLS],
    }
    return trial, venue


def expected(venue: BaoStockVenue, symbol: str, frequency: str = "d") -> list[tuple[str, ...]]:
    names = ("open", "high", "low", "close", "volume", "amount")
    bars = past_bars(venue.setup.seed, symbol, START, END - timedelta(days=1), frequency)
    return [tuple(bar.get(name) or "0" for name in names) for bar in bars]


async def told(trial: Any, symbol: str) -> list[tuple[str, ...]]:
    return [row[2:8] for row in await trial.bars(f"{symbol}.BAOSTOCK")]


async def test_daily_bars_are_the_venue_s_own(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    report = await trial.run(**trial.fields)
    for symbol in SYMBOLS:
        assert await told(trial, symbol) == expected(venue, symbol)
    days = [START + timedelta(days=number) for number in range((END - START).days)]
    opens = [
        datetime.fromtimestamp(row[0] / 1000, UTC) for row in await trial.bars("sh.600000.BAOSTOCK")
    ]
    assert [at.date() for at in opens] == [day for day in days if is_trading_day(day)]
    assert {(at.hour, at.minute) for at in opens} == {(0, 0)}
    assert (report.chunks_failed, report.rows_missing) == (0, 0)
    assert report.rows_expected == report.rows_new == 2 * len(opens)
    assert venue.setup.violations.counts == {}


async def test_minutes_over_many_pages_come_whole(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    wanted = [{"symbol": "sh.600000", "channels": ["bar-5m"]}]
    report = await trial.run(**{**trial.fields, "wanted": wanted})
    rows = await trial.bars("sh.600000.BAOSTOCK")
    assert [row[2:8] for row in rows] == expected(venue, "sh.600000", "5")
    assert len(rows) > 2_000
    first = datetime.fromtimestamp(rows[0][0] / 1000, UTC)
    assert (first.hour, first.minute) == (1, 30)
    assert rows[0][12] - first == timedelta(minutes=5)
    assert (report.rows_missing, report.chunks_failed) == (0, 0)


async def test_second_run_asks_for_nothing_and_changes_nothing(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    await trial.run(**trial.fields)
    before = await told(trial, "sh.600000")
    venue.requests.clear()
    report = await trial.run(**trial.fields, run="2")
    assert [kind for kind, *_ in venue.requests] == []
    assert report.rows_new == 0
    assert await told(trial, "sh.600000") == before
    again = await trial.run(**trial.fields, run="3", mode="Overwrite")
    assert (again.rows_new, again.chunks_failed) == (0, 0)
    assert await told(trial, "sh.600000") == before


async def test_workers_beyond_the_sessions_have_nothing_to_do(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    idle = await trial.run(1, **trial.fields, workers=3)
    assert (idle.chunks_total, venue.requests) == (0, [])
    report = await trial.run(0, **trial.fields, workers=3)
    assert report.chunks_done == report.chunks_total == 2


async def test_answers_that_break_off_are_asked_for_again(make_trial: Any) -> None:
    trial, venue = await start(make_trial, cut_every="4")
    wanted = [{"symbol": "sh.600000", "channels": ["bar-30m", "bar-1d"]}]
    report = await trial.run(**{**trial.fields, "wanted": wanted}, tries=10)
    assert (report.chunks_failed, report.rows_missing) == (0, 0)
    rows = await trial.bars("sh.600000.BAOSTOCK")
    assert [r[2:8] for r in rows if r[1] == "30m"] == expected(venue, "sh.600000", "30")
    assert [r[2:8] for r in rows if r[1] == "1d"] == expected(venue, "sh.600000")
    # No session was opened before the one that broke was gone.
    assert venue.setup.violations.counts == {}


async def test_venue_that_is_away_fails_chunks_with_the_reason(make_trial: Any) -> None:
    trial, _ = await start(make_trial)
    venue: Simulator = trial.venue
    await venue.hosted["baostock"].stop()
    report = await trial.run(**trial.fields, tries=1)
    await venue.hosted["baostock"].start()
    assert report.chunks_failed == 2
    assert {problem.reason for problem in report.failed} == {"VenueUnavailable"}


def test_past_venue_is_known_by_its_name() -> None:
    assert backfill_process.find_venue("baostock").venue == "baostock"
    assert backfill_process.find_venue("binance-spot").venue == "binance-spot"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_identity_keeps_the_venue_s_own_symbol(symbol: str) -> None:
    assert backfill_process.find_venue("baostock").instrument_id(symbol) == f"{symbol}.BAOSTOCK"
