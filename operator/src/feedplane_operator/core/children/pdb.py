"""The disruption budget of one shard: drains take its feeders one at a time."""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_operator.core.children.metadata import (
    child_metadata,
    shard_labels,
    shard_selector,
)


def build_disruption_budget(feed_source: FeedSource, shard: int) -> dict[str, Any]:
    """Build the PodDisruptionBudget of one shard.

    One feeder may always go, so that a shard with a single account does not block a drain for
    ever; with two accounts the other one is there. A feeder that is not ready may go in any case.
    """
    name = f"{feed_source.metadata.name}-shard-{shard}"
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(feed_source, name, shard_labels(feed_source, shard)),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": shard_selector(feed_source, shard)},
        },
    }
