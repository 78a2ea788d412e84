"""The Leases that feeders hold: who publishes a shard, and who may log in with an account.

Made here so that feeders need no right to create one; what stands in them is theirs alone.
"""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import LABEL_ACCOUNT, account_lease_name, publisher_lease_name
from feedplane_operator.core.children.metadata import child_metadata, feed_labels, shard_labels


def build_publisher_lease(feed_source: FeedSource, shard: int) -> dict[str, Any]:
    """Build the publisher Lease of one shard, without any word on its holder."""
    name = publisher_lease_name(feed_source.metadata.name, shard)
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": child_metadata(feed_source, name, shard_labels(feed_source, shard)),
    }


def build_account_lease(feed_source: FeedSource, account: str) -> dict[str, Any]:
    """Build the Lease of an account that may be logged in once only."""
    name = account_lease_name(feed_source.metadata.name, account)
    labels = {**feed_labels(feed_source), LABEL_ACCOUNT: account}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": child_metadata(feed_source, name, labels),
    }
