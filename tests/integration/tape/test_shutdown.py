"""An orderly stop under load: all that came is written, and only the down time is missing."""

import signal
import time

import pytest
from tape import STREAMS
from trial import Trial

pytestmark = pytest.mark.timeout(120)

GRACE_SECONDS = 25


def test_stop_under_load_leaves_exactly_the_down_time(trial: Trial) -> None:
    with trial.feeder() as first:
        trial.run_for(2)
        asked = time.monotonic()
        assert first.program.kill(signal.SIGTERM, GRACE_SECONDS) == 0
        assert time.monotonic() - asked < GRACE_SECONDS
    with trial.feeder() as second:
        trial.run_for(1)
        trial.end(second)
    trial.check_complete()
    assert set(trial.causes()) == {"restart"}
    for channel in ("trade", "book"):
        named = {
            row["instrument_id"]: (row["from_id"], row["to_id"]) for row in trial.gaps(channel)
        }
        assert len(named) == len(trial.gaps(channel))
        assert named == {
            f"{symbol}.BINANCE-SPOT": ids
            for symbol in trial.symbols
            if (ids := down_time(trial, channel, symbol)) is not None
        }


def down_time(trial: Trial, channel: str, symbol: str) -> tuple[int, int] | None:
    """Return the ids the venue emitted between the two subscriptions, by its own account."""
    told = trial.venue.ask(f"/truth/spot/{STREAMS[channel]}/{symbol}")
    before, after = told["delivered"]
    return (before["until"] + 1, after["after"]) if after["after"] > before["until"] else None
