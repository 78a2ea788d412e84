"""Two accounts as two feeder processes in mode Merged, into one table, while one is killed."""

from pathlib import Path

import pytest
from merged import BACKUP, PRIMARY, PRODUCTS, MergedFeed, in_cluster, judge_database
from support_feeder_cluster import make_place

from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.database import TimescaleServer
from feedplane_simulator.faults import Fault, FaultKind

pytestmark = pytest.mark.timeout(300)


async def test_merged_accounts_lose_nothing_when_either_is_interrupted(
    control_plane: ControlPlane, timescale: TimescaleServer, tmp_path: Path
) -> None:
    account = tmp_path / "service-account"
    account.mkdir()
    dsn = timescale.create_database()
    setting = in_cluster(make_place(control_plane, "merged-futures", account), dsn)
    async with MergedFeed(tmp_path, setting, symbols=12, rate=150) as feed:
        await feed.play(seconds=15, kills=2)
        await feed.end()
    outcome = await judge_database(feed, dsn)
    assert (outcome.total.broken, outcome.total.unsent) == (0, 0), outcome
    assert outcome.total.emitted > 1_000
    assert outcome.quarantined == 0
    assert outcome.sides.keys() == {exchange for _, exchange in PRODUCTS}
    assert all(min(sides) > 0 for sides in outcome.sides.values()), outcome.sides
    assert {name: line.starts for name, line in feed.lines.items()} == {"primary": 3, "backup": 1}
    assert feed.violations.list_all() == []


async def test_snapshots_that_one_account_is_not_sent_are_counted(
    control_plane: ControlPlane, timescale: TimescaleServer, tmp_path: Path
) -> None:
    account = tmp_path / "service-account"
    account.mkdir()
    dsn = timescale.create_database()
    setting = in_cluster(make_place(control_plane, "missing-futures", account), dsn)
    async with MergedFeed(tmp_path, setting, symbols=6, rate=90) as feed:
        kept_back = Fault(kind=FaultKind.SKIP, client=BACKUP, probability=0.2)
        feed.fronts.setup.faults.add(kept_back, 0.0)
        counted = await feed.until(BACKUP, lambda status: status.sinks[0].missed_snapshots > 20)
        assert counted.sinks[0].missed_snapshots <= feed.count_withheld(BACKUP)
        # The other account was compared as often by then, and had every one.
        other = await feed.until(PRIMARY, lambda status: status.sinks[0].records_written > 0)
        assert other.sinks[0].missed_snapshots == 0
        await feed.end()
    assert '"msg": "snapshots.missed"' in feed.lines[BACKUP].log.read_text()
