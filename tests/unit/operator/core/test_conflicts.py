from support_resources import feeder_status

from feedplane_api.worker import ElectionReport, FeederStatus
from feedplane_operator.core.conflicts import count_conflicts, find_conflicts


def _report(account: str, epoch: int, *, active: bool = True, shard: int = 0) -> FeederStatus:
    election = ElectionReport(active=active, holder=account, epoch=epoch)
    return feeder_status(account=account, shard=shard, election=election)


def test_two_publishers_count_from_look_to_look() -> None:
    both = [_report("a", 1), _report("b", 2), _report("c", 3, active=False)]
    counts: dict[int, int] = {}
    found = []
    for _ in range(4):
        counts = count_conflicts(counts, both)
        found.append(find_conflicts(counts))
    assert found == [frozenset(), frozenset(), {0}, {0}]


def test_one_look_without_conflict_begins_anew() -> None:
    assert count_conflicts({0: 3}, [_report("a", 1), _report("b", 2, active=False)]) == {}


def test_shards_are_counted_apart() -> None:
    reports = [_report("a", 1), _report("b", 2, shard=1), _report("a", 1, shard=1)]
    assert count_conflicts({}, reports) == {1: 1}


def test_two_views_of_one_epoch_are_no_conflict() -> None:
    assert count_conflicts({}, [_report("a", 2), _report("b", 2)]) == {}
