from feedplane_cli.core.selectors import children_selector, feeder_selector

FEEDER = "app.kubernetes.io/component=feeder"
MANAGED = "app.kubernetes.io/managed-by=feedplane"


def test_feeders_are_found_as_narrowly_as_asked() -> None:
    assert feeder_selector() == f"{FEEDER},{MANAGED}"
    assert feeder_selector("spot", "main", 0) == (
        f"{FEEDER},feedplane.dev/feed-source=spot,feedplane.dev/account=main,feedplane.dev/shard=0"
    )


def test_children_of_one_feed_are_found_by_its_name() -> None:
    assert children_selector("spot") == "feedplane.dev/feed-source=spot"
    assert children_selector() == MANAGED
