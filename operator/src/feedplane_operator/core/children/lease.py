"""The Lease that says who publishes a shard.

Made here so that feeders need no right to create one; what stands in it is theirs alone.
"""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import publisher_lease_name
from feedplane_operator.core.children.metadata import child_metadata, shard_labels


def build_publisher_lease(feed_source: FeedSource, shard: int) -> dict[str, Any]:
    """Build the publisher Lease of one shard, without any word on its holder."""
    name = publisher_lease_name(feed_source.metadata.name, shard)
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": child_metadata(feed_source, name, shard_labels(feed_source, shard)),
    }
