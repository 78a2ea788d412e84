"""What a sink did adds up over batches."""

from feedplane_feeder.core.ports import Written


def test_written_adds_up_count_by_count() -> None:
    one = Written(new=1, updated=2, duplicate=3, quarantined=4)
    other = Written(new=10, updated=20, duplicate=30, quarantined=40)
    assert one + other == Written(new=11, updated=22, duplicate=33, quarantined=44)
    assert one + Written() == one
