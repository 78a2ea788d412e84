from feedplane_feeder.core.batches import Written
from feedplane_feeder.records import Gap

GAP = Gap("BTCUSDT.VENUE", "trade", "sequence", 1, from_id=1, to_id=2)


def test_counts_of_two_writes_are_added() -> None:
    first = Written(new=1, updated=2, duplicate=3, covered=(GAP,))
    second = Written(new=10, quarantined=4, fenced=5, covered=(GAP,))
    assert first + second == Written(
        new=11, updated=2, duplicate=3, quarantined=4, fenced=5, covered=(GAP, GAP)
    )
