"""Holes in the tape at 2,000 messages a second, filled from the venue's own history.

The venue's ground truth and the tables are the referees.
"""

from collections.abc import Callable
from typing import Any

import pytest
from rig import Feeder, wait_for
from trial import Trial

pytestmark = pytest.mark.timeout(180)

OPEN = "state in ('open', 'filling')"


def open_rows(trial: Trial, channel: str) -> list[dict[str, Any]]:
    statement = f"select * from feedplane.gaps where {OPEN} and channel like '{channel}'"  # noqa: S608
    return trial.fetch(statement)


def wait_closed(trial: Trial, channel: str = "%", seconds: float = 60) -> None:
    """Wait until the ledger has no open row."""
    wait_for(lambda: not open_rows(trial, channel), seconds, f"no open {channel} gap", every=0.5)


def test_dropped_frames_are_filled_once_from_history(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial()
    with trial.feeder() as running:
        # A quote that is dropped leaves no trace: their numbers have holes of their own.
        trial.venue.fault("skip", streams="*@aggTrade", probability=0.01, seconds=5)
        trial.venue.fault("skip", streams="*@depth@100ms", count=2)
        # Holes wait two seconds before they are named.
        trial.run_for(8)
        wait_closed(trial)
        status = running.status()
        trial.end(running)
    verdicts = trial.check_complete()
    filled = [row for row in trial.gaps("trade") if row["cause"] == "sequence"]
    assert filled
    assert {(row["state"], row["filled_by"]) for row in filled} == {("filled", "rest")}
    assert sum(row["rows"] for row in filled) == sum(
        row["to_id"] - row["from_id"] + 1 for row in filled
    )
    assert sum(verdict.named for verdict in verdicts if verdict.channel == "trade") == 0
    late = [row for row in filled if (row["filled_at"] - row["detected_at"]).total_seconds() > 30]
    assert late == []
    assert {row["reason"] for row in trial.gaps("book")} == {"venue-has-no-history"}
    assert status["repair"]["filled"] >= len(filled)
    assert status["repair"]["open"] == 0


def test_cut_of_seconds_is_filled_and_nothing_doubled(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(channels=("trade", "book"))
    with trial.feeder() as running:
        trial.run_for(1)
        trial.venue.fault("refuse", status=503, seconds=4)
        trial.venue.fault("drop")
        wait_for(lambda: trial.gaps("trade"), 60, "a named cut", every=0.5)
        trial.wait_live(running)
        wait_closed(trial, "trade")
        trial.end(running)
    verdicts = trial.check_complete()
    assert sum(verdict.named for verdict in verdicts if verdict.channel == "trade") == 0
    rows = trial.gaps("trade")
    assert {row["cause"] for row in rows} <= {"disconnect", "stale"}
    assert {(row["state"], row["filled_by"]) for row in rows} == {("filled", "rest")}


def test_restarted_feeder_tells_what_the_ledger_holds(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(channels=("trade",))
    with trial.feeder() as first:
        trial.venue.fault("skip", streams="*@aggTrade", count=3)
        wait_for(lambda: trial.gaps("trade"), 60, "a gap", every=0.5)
        wait_closed(trial)
        first.program.kill()
    with trial.feeder() as second:
        wait_for(lambda: tells_the_ledger(trial, second), 60, "the ledger's numbers", every=1)
        trial.end(second)


def tells_the_ledger(trial: Trial, running: Feeder) -> bool:
    """Tell whether the feeder counts the gaps that the ledger holds, all of them filled."""
    told = running.status()["gaps"]
    (held,) = trial.fetch("select count(*), count(filled_at) as filled from feedplane.gaps")
    counted = sum(each["filled"] for each in told)
    missing = sum(each["missing"] or 0 for each in told)
    return held["count"] == held["filled"] == counted > 0 and missing == 0


def test_downtime_and_what_was_left_open_are_filled_at_the_start(
    make_trial: Callable[..., Trial],
) -> None:
    left = make_trial(repair=False)
    with left.feeder() as first:
        left.venue.fault("skip", streams="*@aggTrade", count=3)
        wait_for(lambda: open_rows(left, "trade"), 60, "an open gap", every=0.5)
        left.run_for(1)
        assert {row["state"] for row in left.gaps("trade")} == {"open"}
        first.program.kill()
    trial = make_trial()
    with trial.feeder() as second:
        wait_for(lambda: "restart" in trial.causes("trade"), 30, "the downtime", every=0.5)
        wait_closed(trial, "trade")
        trial.end(second)
    verdicts = trial.check_complete()
    assert sum(verdict.named for verdict in verdicts if verdict.channel == "trade") == 0
    assert {row["state"] for row in trial.gaps("trade")} == {"filled"}
