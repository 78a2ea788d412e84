"""A venue with nothing but a past, by plain HTTP; the simulator's own bars are the referee."""

from typing import Any

import pytest

from feedplane_simulator.alpha import LISTED_MS, AlphaVenue, past_rows
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.past import DAY_MS, MINUTE_MS

NAME = "binance-alpha"
SYMBOL, INSTRUMENT = "ALPHA_100USDT", "ALPHA_100USDT.BINANCE-ALPHA"


async def start(make_trial: Any, **options: str) -> tuple[Any, AlphaVenue]:
    trial = await make_trial(venues={NAME: 0}, venue_options={NAME: options})
    venue = trial.venue.hosted[NAME]
    assert isinstance(venue, AlphaVenue)
    trial.fields = {
        "venue": NAME,
        "endpoints": {"rest": f"http://127.0.0.1:{venue.ports[NAME]}"},
        "wanted": [{"symbol": SYMBOL, "channels": ["bar-1m"]}],
    }
    return trial, venue


def expected(venue: AlphaVenue, interval: str, start_ms: int, end_ms: int) -> list[tuple[Any, ...]]:
    rows = past_rows(venue.setup.seed, SYMBOL, interval, start_ms, end_ms - 1)
    return [
        (int(row[0]), interval, *row[1:6], row[7], int(row[8]), row[9], row[10], True)
        for row in rows
    ]


async def told(trial: Any, interval: str = "1m") -> list[tuple[Any, ...]]:
    rows = await trial.bars(INSTRUMENT)
    return [row[:12] for row in rows if row[1] == interval]


@pytest.mark.parametrize(
    "options",
    [{}, {"order": "falling", "keep": "newest"}],
    ids=["oldest first", "newest first"],
)
async def test_bars_are_the_venue_s_own(make_trial: Any, options: dict[str, str]) -> None:
    trial, venue = await start(make_trial, **options)
    wanted = [{"symbol": SYMBOL, "channels": ["bar-1m", "bar-1h"]}]
    report = await trial.run(**{**trial.fields, "wanted": wanted})
    start_ms = trial.today_ms - 2 * DAY_MS
    for interval in ("1m", "1h"):
        assert await told(trial, interval) == expected(venue, interval, start_ms, trial.today_ms)
    assert (report.chunks_failed, report.rows_missing) == (0, 0)
    assert report.rows_new == 2 * 1_440 + 2 * 24


async def test_days_before_the_listing_expect_nothing(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    midnight = LISTED_MS // DAY_MS * DAY_MS
    begin, end = midnight - 2 * DAY_MS, midnight + 2 * DAY_MS
    report = await trial.run(**trial.fields, start=begin / 1000, end=end / 1000)
    assert await told(trial) == expected(venue, "1m", LISTED_MS, end)
    assert report.chunks_failed == 0
    # The listing is known by its day, so that the minutes before it on that day count.
    assert report.rows_missing == (LISTED_MS - midnight) // MINUTE_MS


async def test_second_run_asks_for_nothing_and_changes_nothing(make_trial: Any) -> None:
    trial, venue = await start(make_trial)
    await trial.run(**trial.fields)
    before = await told(trial)
    venue.requests.clear()
    report = await trial.run(**trial.fields, run="2")
    assert (venue.requests, report.rows_new) == ([], 0)
    assert await told(trial) == before


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_venue_that_refuses_for_a_while_is_asked_again(make_trial: Any, status: int) -> None:
    trial, venue = await start(make_trial)
    await trial.venue.inject(
        Fault(kind=FaultKind.REST, status=status, retry_after_seconds=1, count=1)
    )
    report = await trial.run(**trial.fields)
    assert (report.chunks_done, report.chunks_failed, report.rows_missing) == (2, 0, 0)
    assert venue.setup.violations.counts == {}


async def test_symbol_that_is_not_known_fails_with_the_venue_s_code(make_trial: Any) -> None:
    trial, _ = await start(make_trial)
    wanted = [{"symbol": "ALPHA_9999USDT", "channels": ["bar-1m"]}]
    report = await trial.run(**{**trial.fields, "wanted": wanted}, tries=1)
    assert report.chunks_failed == 2
    assert {problem.reason for problem in report.failed} == {"VenueUnavailable"}
    assert all("000002" in problem.message for problem in report.failed)
