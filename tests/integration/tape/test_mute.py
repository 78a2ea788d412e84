"""Mute streams and mute connections: named in time, cured alone, and their tape accounted for."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Feeder, Venue, feeder, venue, wait_for
from trial import DSN_ENV, Trial

pytestmark = pytest.mark.timeout(120)

SYMBOL_COUNT = 100
STREAM_COUNT = 200
STALE_AFTER_SECONDS = 5
BOUND_SECONDS = STALE_AFTER_SECONDS + 2


@pytest.fixture
def wide(dsn: str, tmp_path: Path) -> Iterator[Trial]:
    """A feed of 200 streams, each busy enough to be missed at once."""
    args = ("--channels", "aggTrade,bookTicker")
    with venue(rate=0, symbols=SYMBOL_COUNT, args=args) as running:
        running.ask("/rate", {"spot": 4_000})
        yield Trial(
            running,
            dsn,
            symbols=listed(running),
            channels=("trade", "quote"),
            session={"staleAfterSeconds": STALE_AFTER_SECONDS},
            buffer={"spillPath": str(tmp_path / "spill")},
        )


def test_mute_stream_is_named_and_resubscribed_alone(wide: Trial) -> None:
    muted = wide.symbols[2]
    with wide.feeder() as running:
        wide.run_for(2)
        stream = f"{muted.lower()}@aggTrade"
        wide.venue.fault("mute", streams=stream, until_resubscribed=True)
        began = time.monotonic()
        problems = wait_for(lambda: running.status()["problems"], 30, "a problem", every=0.05)
        assert time.monotonic() - began <= BOUND_SECONDS
        assert [(each["symbol"], each["channel"]) for each in problems] == [(muted, "trade")]
        wait_for(lambda: not running.status()["problems"], 15, "the cure")
        wide.end(running)
    assert len(windows(wide, "aggTrade", muted)) == 2
    others = [
        (channel, symbol) for channel in ("aggTrade", "bookTicker") for symbol in wide.symbols
    ]
    others.remove(("aggTrade", muted))
    assert len(others) == STREAM_COUNT - 1
    assert {len(windows(wide, *other)) for other in others} == {1}
    wide.check_complete()
    assert {(row["instrument_id"], row["channel"]) for row in wide.gaps()} == {
        (f"{muted}.BINANCE-SPOT", "trade")
    }


def test_stream_mute_from_its_acknowledgement_on_is_named(wide: Trial) -> None:
    muted = wide.symbols[2]
    fault = wide.venue.fault("mute", streams=f"{muted.lower()}@bookTicker")
    with feeder(wide.config, {DSN_ENV: wide.dsn}) as running:
        wait_for(lambda: live(running) == STREAM_COUNT - 1, 40, "199 live", every=0.05)
        began = time.monotonic()
        named = wait_for(lambda: stale(running), 30, "a stale channel", every=0.05)
        assert time.monotonic() - began <= BOUND_SECONDS
        assert named == [(muted, "quote")]
        wide.venue.ask(f"/faults/{fault['id']}", method="DELETE")
        wait_for(lambda: live(running) == STREAM_COUNT, 30, "all live")
        wide.end(running)
    assert wide.venue.ask("/violations") == []


def test_mute_connection_with_pings_alive_is_left_and_replaced(wide: Trial) -> None:
    with wide.feeder() as running:
        wide.run_for(2)
        (old,) = wide.connections()
        wide.venue.fault("mute", connection=old["id"])
        began = time.monotonic()
        replaced = wait_for(lambda: subscribed(wide, but=old["id"]), 30, "another", every=0.05)
        assert time.monotonic() - began <= BOUND_SECONDS
        assert replaced == STREAM_COUNT
        wait_for(lambda: [c["id"] for c in wide.connections()] != [old["id"]], 10, "the change")
        wide.wait_live(running)
        wide.run_for(1)
        wide.end(running)
    wide.check_complete()
    assert set(wide.causes()) == {"stale"}


def listed(running: Venue) -> list[str]:
    """Return the symbols the spot market lists."""
    url = f"http://127.0.0.1:{running.spot_port}/api/v3/exchangeInfo"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return [entry["symbol"] for entry in json.loads(answer.read())["symbols"]]


def windows(trial: Trial, channel: str, symbol: str) -> list[Any]:
    """Return over which spans the venue pushed a stream, one for each subscription."""
    return list(trial.venue.ask(f"/truth/spot/{channel}/{symbol}")["delivered"])


def live(running: Feeder) -> int:
    """Return how many channels are live; 0 while the feeder does not answer yet."""
    try:
        return int(running.status()["coverage"]["live"])
    except OSError:
        return 0


def stale(running: Feeder) -> list[tuple[str, str]]:
    """Return the channels that are named as stale."""
    problems = running.status()["problems"]
    return [(each["symbol"], each["channel"]) for each in problems if each["state"] == "Stale"]


def subscribed(trial: Trial, but: int) -> int:
    """Return how many streams other connections than one have."""
    return sum(len(each["streams"]) for each in trial.connections() if each["id"] != but)
