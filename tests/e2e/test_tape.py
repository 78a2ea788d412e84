"""A complete tape on a real cluster: nothing lost that the ledger does not name, nothing doubled.

The venue's ground truth and the database are the referees, never the feeder.
"""

import asyncio
import random  # noqa: TID251 - seeded below
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from release import Release, VenueAdmin
from tape import Verdict, judge

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RATE = 5_500
"""What the venue says; much of it are streams that nobody subscribed."""
DELIVERED_RATE = 2_000
"""What each line is sent at least, in messages a second."""
OUTAGE_SECONDS = 60
ACCOUNTS = ("main", "backup")
POD = "feedplane.dev/feed-source=binance-spot,feedplane.dev/account=main"


def test_tape_is_complete_through_every_fault(release: Release, feeds: None) -> None:
    rng = random.Random(20)  # noqa: S311 - which connection is cut, the same each time
    with release.venue() as venue:
        wanted = want_everything(release, venue)
        venue.ask("/violations", method="DELETE")
        venue.ask("/rate", {"spot": RATE, "usdm": 0})
        assert delivered_per_second(venue, seconds=10) >= DELIVERED_RATE
        kill_feeder(release)
        release.wait_condition("feedsource", "binance-spot", "Ready", seconds=60)
        disconnect(venue, rng, times=20)
        rotate(venue, times=3)
        database_outage(release)
        with halted(venue):
            settle(release)
            verdicts = judge_now(release, venue, wanted)
        violations = venue.ask("/violations")
    assert violations == []
    assert [str(verdict) for verdict in verdicts if not verdict.complete] == []
    assert sum(verdict.kept for verdict in verdicts) > 100_000


def delivered_per_second(venue: VenueAdmin, seconds: float) -> float:
    """Return what the slower of the lines is sent, as the venue counts."""

    def sent() -> Counter[str]:
        count: Counter[str] = Counter()
        for row in venue.ask("/connections"):
            if row["market"] == "spot" and row["account"] in ACCOUNTS:
                count[row["account"]] += row["sent"]
        return count

    before, began = sent(), time.monotonic()
    time.sleep(seconds)
    after, took = sent(), time.monotonic() - began
    return min(after[account] - before[account] for account in ACCOUNTS) / took


def kill_feeder(release: Release) -> None:
    """Kill -9 the feeder's process from the node: the pod's container restarts."""
    pod = release.items("pods", POD)[0]
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    node = pod["spec"]["nodeName"]
    before = pod["status"]["containerStatuses"][0]["restartCount"]
    release.on_node(node, "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container)
    name = pod["metadata"]["name"]
    release.wait(
        lambda: release.get("pod", name)["status"]["containerStatuses"][0]["restartCount"] > before,
        60,
        "the container to restart",
    )


def disconnect(venue: VenueAdmin, rng: random.Random, times: int) -> None:
    """Cut a connection of the market at random, each time once one is there again."""
    for _ in range(times):
        until = time.monotonic() + 30
        while not any(row["market"] == "spot" for row in venue.ask("/connections")):
            assert time.monotonic() < until, "the feeder did not connect again"
            time.sleep(0.2)
        fault = {"kind": "drop", "market": "spot", "count": 1, "close_frame": rng.random() < 0.5}
        assert venue.ask("/faults", fault)["applied"] == 1
        time.sleep(rng.uniform(0.5, 3))


def rotate(venue: VenueAdmin, times: int) -> None:
    """Announce the end of the connections, then end them."""
    for _ in range(times):
        venue.ask("/faults", {"kind": "rotate", "market": "spot", "notice_seconds": 5})
        time.sleep(8)


def database_outage(release: Release) -> None:
    """Take the database away for a minute; its volume stays."""
    database = f"{release.name}-database"
    release.kubectl("scale", "statefulset", database, "--replicas=0")
    time.sleep(OUTAGE_SECONDS)
    release.kubectl("scale", "statefulset", database, "--replicas=1")
    release.kubectl("rollout", "status", f"statefulset/{database}", "--timeout=90s", timeout=120)


@contextmanager
def halted(venue: VenueAdmin) -> Iterator[None]:
    """Let the venue be silent for as long as the block runs."""
    venue.ask("/faults", {"kind": "halt", "market": "spot"})
    try:
        yield
    finally:
        venue.ask("/faults", {"kind": "resume", "market": "spot"})
        venue.ask("/rate", {"spot": 300, "usdm": 300})


def settle(release: Release) -> None:
    """Wait until no more rows arrive."""
    counts = [-1, -2, -3]

    def quiet() -> bool:
        where = "instrument_id like '%.BINANCE-SPOT'"
        counts.append(release.rows("trades", where) + release.rows("quotes", where))
        return counts[-1] == counts[-2] == counts[-3] == counts[-4]

    release.wait(quiet, 240, "the database to catch up", every=2)


def judge_now(release: Release, venue: VenueAdmin, wanted: dict[str, list[str]]) -> list[Verdict]:
    """Judge the tape as it stands."""
    with release.port_forward(f"service/{release.name}-database", 5432) as port:
        return asyncio.run(judge(release.dsn(port), venue.url, "spot", "BINANCE-SPOT", wanted))


def want_everything(release: Release, venue: VenueAdmin) -> dict[str, list[str]]:
    """Subscribe to all the spot market says, so that all of its rate passes the feeder."""
    release.wait_condition("feedsource", "binance-spot", "Ready")
    channels = ["trade", "quote", "book", "bar-1m"]
    release.apply(
        {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": "everything"},
            "spec": {
                "feedSourceRef": {"name": "binance-spot"},
                "selector": {"include": ["*"]},
                "channels": channels,
            },
        }
    )
    truth = venue.ask("/truth")
    symbols = sorted({row["symbol"] for row in truth if row["market"] == "spot"})
    release.wait(
        lambda: (
            release.get("subscription", "everything")
            .get("status", {})
            .get("coverage", {})
            .get("live")
            == len(symbols) * len(channels)
        ),
        60,
        lambda: "every channel live\n" + release.describe("subscription", "everything"),
    )
    return dict.fromkeys(channels, symbols)
