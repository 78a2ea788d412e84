"""Faults at 2,000 messages a second: what the ledger does not name is there once.

The venue's ground truth and the tables are the referees. Each fault alone leaves the cause that
is its own in the ledger, or none where nothing may be missing.
"""

import os
import random  # noqa: TID251 - seeded below
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from rig import Feeder, wait_for
from trial import Trial

from feedplane_cluster.database import TimescaleServer

pytestmark = pytest.mark.timeout(180)

OUTAGE_SECONDS = float(os.environ.get("FEEDPLANE_OUTAGE_SECONDS", "12"))
DISCONNECTS = int(os.environ.get("FEEDPLANE_DISCONNECTS", "6"))
GROWTH_MIB = 64


def test_killed_feeder_leaves_restart_gaps_and_no_hidden_hole(trial: Trial) -> None:
    with trial.feeder() as first:
        # Holes wait two seconds before they are named; the kill comes in between.
        trial.venue.fault("skip", streams="*@aggTrade", count=20)
        trial.venue.fault("skip", streams="*@depth@100ms", count=5)
        trial.run_for(1)
        first.program.kill(signal.SIGKILL)
    with trial.feeder() as second:
        trial.run_for(1)
        trial.end(second)
    verdicts = trial.check_complete()
    assert set(trial.causes()) == {"restart"}
    assert sum(verdict.named for verdict in verdicts) > 0


def test_disconnects_at_random_leave_disconnect_gaps_only(trial: Trial) -> None:
    with trial.feeder() as running:
        disconnect(trial, random.Random(7), times=3)  # noqa: S311 - which and when, repeatable
        trial.wait_live(running)
        trial.run_for(1)
        trial.end(running)
    trial.check_complete()
    assert set(trial.causes()) == {"disconnect"}


def test_rotations_overlap_and_leave_no_gap(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(session={"staleAfterSeconds": 5, "rotateAfterSeconds": 10})
    with trial.feeder() as running, watched_connections(trial) as seen:
        for _ in range(2):
            known = len(set().union(*seen))
            trial.venue.fault("rotate", market="spot", notice_seconds=5)
            wait_for(partial(alone, seen, known + 1), 15, "the successor alone")
        # The third is not announced: the connection has reached its age.
        wait_for(partial(alone, seen, 4), 25, "the last successor alone")
        trial.end(running)
    trial.check_complete()
    assert trial.gaps() == []
    watched = seen[: max(index for index, numbers in enumerate(seen) if numbers) + 1]
    assert any(len(numbers) == 2 for numbers in watched)
    assert all(before & after for before, after in pairwise(watched))


def test_rotation_from_a_lagging_connection_leaves_no_gap(
    make_trial: Callable[..., Trial],
) -> None:
    # Busy channels only: each of them delivers on the new connection long before the old one
    # has delivered what came before.
    trial = make_trial(symbols=["BTCUSDT"], channels=["trade", "quote"])
    with trial.feeder() as running:
        (old,) = trial.connections()
        trial.venue.fault("delay", connection=old["id"], delay_seconds=1.5)
        trial.run_for(2)
        trial.venue.fault("rotate", market="spot", notice_seconds=6)
        trial.run_for(7)
        trial.end(running)
    trial.check_complete()
    assert trial.gaps() == []


def test_database_outage_is_spilled_and_replayed_with_memory_flat(
    trial: Trial, server: TimescaleServer
) -> None:
    with trial.feeder() as running:
        trial.run_for(1)
        before_mib = running.program.rss_mib()
        server.stop()
        try:
            highest_mib = highest_rss(running, OUTAGE_SECONDS)
        finally:
            server.start()
        wait_for(lambda: replayed(running), 60, "the spill to be replayed", running.program.log)
        trial.end(running)
    trial.check_complete()
    assert trial.gaps() == []
    assert highest_mib - before_mib < GROWTH_MIB


def test_feeder_killed_in_an_outage_replays_its_spill(
    make_trial: Callable[..., Trial], server: TimescaleServer, tmp_path: Path
) -> None:
    trial = make_trial(buffer={"spillPath": str(tmp_path / "spill"), "queueRecords": 1_000})
    with trial.feeder() as first:
        server.stop()
        try:
            wait_for(lambda: spilled_bytes(first) > 0, 15, "a spill", first.program.log)
            trial.run_for(1)
            first.program.kill(signal.SIGKILL)
        finally:
            server.start()
    with trial.feeder() as second:
        wait_for(lambda: replayed(second), 60, "the spill to be replayed", second.program.log)
        trial.run_for(1)
        trial.end(second)
    trial.check_complete()
    assert set(trial.causes()) == {"restart"}


def test_database_crashes_while_writing_lose_and_double_nothing(
    trial: Trial, server: TimescaleServer
) -> None:
    with trial.feeder() as running:
        for _ in range(3):
            trial.run_for(1.5)
            server.stop(kill=True)
            server.start()
            wait_for(lambda: replayed(running), 60, "the backlog to be written")
        trial.end(running)
    trial.check_complete()
    assert trial.gaps() == []


def test_frozen_database_stalls_nothing_for_good(trial: Trial, server: TimescaleServer) -> None:
    with trial.feeder() as running:
        server.pause()
        try:
            trial.run_for(6)
        finally:
            server.unpause()
        wait_for(lambda: replayed(running), 60, "the backlog to be written")
        trial.end(running)
    trial.check_complete()
    assert trial.gaps() == []


def test_spill_past_its_bound_is_named_to_the_record(
    make_trial: Callable[..., Trial], server: TimescaleServer
) -> None:
    trial = make_trial(buffer={"queueRecords": 500})
    with trial.feeder() as running:
        server.stop()
        try:
            trial.run_for(4)
        finally:
            server.start()
        wait_for(lambda: replayed(running), 60, "the backlog to be written")
        trial.run_for(1)
        trial.end(running)
    verdicts = trial.check_complete()
    assert set(trial.causes()) == {"spill"}
    assert sum(verdict.named for verdict in verdicts) > 1_000


def test_frames_twice_or_late_are_kept_once_and_skipped_ones_named(trial: Trial) -> None:
    with trial.feeder() as running:
        for kind in ("duplicate", "reorder"):
            trial.venue.fault(kind, probability=0.05, seconds=3)
        trial.run_for(6)
        assert trial.gaps() == []
        for stream in ("*@aggTrade", "*@depth@100ms"):
            trial.venue.fault("skip", streams=stream, probability=0.02, seconds=3)
        trial.run_for(4)
        trial.end(running)
    verdicts = trial.check_complete()
    assert set(trial.causes()) == {"sequence"}
    named = sum(verdict.named for verdict in verdicts if verdict.channel == "trade")
    ids = sum(row["to_id"] - row["from_id"] + 1 for row in trial.gaps("trade"))
    assert named == ids > 0


def test_corrupt_frames_are_quarantined_and_named(trial: Trial) -> None:
    with trial.feeder() as running:
        trial.venue.fault("corrupt", probability=0.002, seconds=3)
        trial.run_for(4)
        trial.end(running)
    trial.check_complete()
    assert set(trial.causes()) == {"malformed"}
    (quarantined,) = trial.fetch("select count(*) from feedplane.quarantine")
    assert quarantined["count"] > 0


def test_snapshot_refusals_are_waited_out(trial: Trial) -> None:
    with trial.feeder() as running:
        held = len(trial.symbols)
        wait_for(partial(has_snapshots, trial, held), 10, "the first snapshots")
        for count, status in enumerate((429, 418), held + 1):
            trial.venue.fault("rest", status=status, retry_after_seconds=2, count=1)
            trial.venue.fault("skip", streams="btcusdt@depth@100ms", count=1)
            wait_for(partial(has_snapshots, trial, count), 15, "another snapshot")
        faults = trial.venue.ask("/faults")["past"]
        trial.end(running)
    assert [each["applied"] for each in faults if each["kind"] == "rest"] == [1, 1]
    trial.check_complete()
    assert {row["instrument_id"] for row in trial.gaps()} == {"BTCUSDT.BINANCE-SPOT"}
    assert trial.causes() == {"sequence": 2}


def test_tape_is_complete_through_every_fault(trial: Trial, server: TimescaleServer) -> None:
    rng = random.Random(20)  # noqa: S311 - the same trial each time
    with trial.feeder() as first:
        trial.run_for(2)
        first.program.kill(signal.SIGKILL)
    with trial.feeder() as running:
        for kind in ("duplicate", "reorder"):
            trial.venue.fault(kind, probability=0.02)
        for stream in ("*@aggTrade", "*@depth@100ms"):
            trial.venue.fault("skip", streams=stream, probability=0.005)
        outage = threading.Thread(target=take_away, args=(server, 2.0, OUTAGE_SECONDS))
        outage.start()
        disconnect(trial, rng, times=DISCONNECTS)
        for _ in range(3):
            trial.wait_live(running)
            trial.venue.fault("rotate", market="spot", notice_seconds=4)
            trial.run_for(4)
        outage.join()
        server.stop(kill=True)
        server.start()
        trial.venue.ask("/faults", method="DELETE")
        wait_for(lambda: replayed(running), 60, "the backlog to be written", running.program.log)
        trial.wait_live(running)
        trial.run_for(3)
        trial.end(running)
    verdicts = trial.check_complete()
    assert sum(verdict.kept for verdict in verdicts) > 20_000
    assert set(trial.causes()) == {"restart", "disconnect", "sequence"}
    past = trial.venue.ask("/faults")["past"]
    assert sum(each["applied"] for each in past if each["kind"] == "drop") == DISCONNECTS


def disconnect(trial: Trial, rng: random.Random, times: int) -> None:
    """Cut the market's connection again and again, each time once it carries streams."""
    for _ in range(times):
        wait_for(lambda: [c for c in trial.connections() if c["streams"]], 40, "a connection")
        # Some live long enough for the next attempt to come at once, some do not.
        time.sleep(rng.uniform(0.1, 6))
        close_frame = rng.random() < 0.5
        trial.cut(close_frame=close_frame)


def take_away(server: TimescaleServer, after_seconds: float, seconds: float) -> None:
    """Stop the database for a while."""
    time.sleep(after_seconds)
    server.stop()
    time.sleep(seconds)
    server.start()


def replayed(running: Feeder) -> bool:
    """Whether the sink has all but what came just now."""
    (sink,) = running.status()["sinks"]
    return bool(sink["connected"] and not sink["spilledBytes"] and sink["queuedRecords"] < 2_000)


def spilled_bytes(running: Feeder) -> int:
    """Return what waits on disk."""
    (sink,) = running.status()["sinks"]
    return int(sink["spilledBytes"])


def highest_rss(running: Feeder, seconds: float) -> float:
    """Watch the resident memory for a while, in MiB."""
    until = time.monotonic() + seconds
    highest = 0.0
    while time.monotonic() < until:
        highest = max(highest, running.program.rss_mib())
        time.sleep(0.2)
    return highest


def has_snapshots(trial: Trial, count: int) -> bool:
    """Whether that many full books were written."""
    return len(trial.fetch("select 1 from feedplane.book_deltas where snapshot")) >= count


def alone(seen: list[set[int]], count: int) -> bool:
    """Whether that many connections were seen in all, and one is left."""
    return len(set().union(*seen)) >= count and len(seen[-1]) == 1


@contextmanager
def watched_connections(trial: Trial) -> Iterator[list[set[int]]]:
    """Collect which connections the venue has open, many times a second."""
    seen: list[set[int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append({connection["id"] for connection in trial.connections()})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
