"""A configuration changed on disk: what is new streams in time, what stays is not touched."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from rig import wait_for
from trial import CHANNELS, Trial

pytestmark = pytest.mark.timeout(120)

BOUND_SECONDS = 10
KEPT = ("BTCUSDT", "ETHUSDT")
REMOVED = "BNBUSDT"
ADDED = "SOLUSDT"


def test_changed_file_adds_and_removes_without_touching_others(
    make_trial: Callable[..., Trial],
) -> None:
    trial = make_trial(symbols=(*KEPT, REMOVED))
    with trial.feeder() as running:
        trial.run_for(1)
        before = trial.connections()
        wanted = [{"symbol": symbol, "channels": list(CHANNELS)} for symbol in (*KEPT, ADDED)]
        changed = {**trial.config, "wanted": wanted}
        began = time.monotonic()
        running.rewrite(changed)
        wait_for(lambda: held(trial, ADDED) > 0, BOUND_SECONDS, "rows", running.program.log)
        assert time.monotonic() - began <= BOUND_SECONDS
        wait_for(lambda: not streams_of(trial, REMOVED), 5, "the removed to be unsubscribed")
        trial.wait_live(running)
        after = trial.connections()
        assert [each["id"] for each in after] == [each["id"] for each in before]
        assert len(streams_of(trial, ADDED)) == len(CHANNELS)
        for symbol in KEPT:
            for channel in ("aggTrade", "bookTicker", "depth@100ms", "kline_1m"):
                (window,) = windows(trial, channel, symbol)
                assert window["endedTime"] is None
        status = running.status()
        assert status["reconnects"] == status["rotations"] == 0
        trial.end(running)
    (unsubscribed,) = windows(trial, "aggTrade", REMOVED)
    assert unsubscribed["endedTime"] is not None
    trial.symbols = (*KEPT, ADDED)
    trial.check_complete()
    assert trial.gaps() == []


def test_unusable_file_is_refused_and_the_feed_goes_on(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(symbols=KEPT)
    with trial.feeder() as running:
        running.rewrite({**trial.config, "wanted": "everything"})
        refused = wait_for(
            lambda: [e for e in running.program.events() if e["msg"] == "config.refused"],
            10,
            "the refusal",
        )
        trial.run_for(1)
        trial.end(running)
    assert refused[0]["error_code"]
    trial.check_complete()
    assert trial.gaps() == []


def held(trial: Trial, symbol: str) -> int:
    """Return how many trades of a symbol the database has."""
    statement = f"select 1 from feedplane.trades where instrument_id = '{symbol}.BINANCE-SPOT'"  # noqa: S608
    return len(trial.fetch(statement))


def streams_of(trial: Trial, symbol: str) -> list[str]:
    """Return a symbol's streams on open connections."""
    names = [stream for each in trial.connections() for stream in each["streams"]]
    return [name for name in names if name.startswith(f"{symbol.lower()}@")]


def windows(trial: Trial, channel: str, symbol: str) -> list[Any]:
    """Return over which spans the venue pushed a stream."""
    return list(trial.venue.ask(f"/truth/spot/{channel}/{symbol}")["delivered"])
