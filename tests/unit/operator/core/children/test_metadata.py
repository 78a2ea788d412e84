import pytest
from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed

CHILDREN = children_of(parse_feed(accounts=[{"name": "a"}, {"name": "b"}]), Observed())


@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN.keys())
def test_child_is_owned_and_found_by_its_labels(child: dict[str, dict[str, object]]) -> None:
    metadata = child["metadata"]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "FeedSource",
            "name": "spot",
            "uid": "uid-1",
            "controller": True,
        }
    ]
    labels = metadata["labels"]
    assert isinstance(labels, dict)
    assert labels["app.kubernetes.io/managed-by"] == "feedplane"
    assert labels["feedplane.dev/feed-source"] == "spot"


def test_labels_tell_feed_shard_and_account() -> None:
    feed = CHILDREN["NetworkPolicy/spot-feeders"]["metadata"]["labels"]
    shard = CHILDREN["Lease/spot-publisher-0"]["metadata"]["labels"]
    worker = CHILDREN["Service/spot-b-0"]["metadata"]["labels"]
    assert set(shard) - set(feed) == {"feedplane.dev/shard"}
    assert set(worker) - set(shard) == {"feedplane.dev/account"}
