"""What all children share: name, labels, owner."""

from typing import Any, Final

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import (
    API_VERSION,
    LABEL_ACCOUNT,
    LABEL_COMPONENT,
    LABEL_FEED_SOURCE,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_SHARD,
    MANAGED_BY,
)
from feedplane_operator.core.workers import Worker

COMPONENT: Final = "feeder"
BACKFILL_COMPONENT: Final = "backfill"


def feed_labels(feed_source: FeedSource) -> dict[str, str]:
    """Build the labels of a child that belongs to the FeedSource as a whole."""
    name = feed_source.metadata.name
    return {
        LABEL_NAME: "feedplane",
        LABEL_COMPONENT: COMPONENT,
        LABEL_INSTANCE: name,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_FEED_SOURCE: name,
    }


def shard_labels(feed_source: FeedSource, shard: int) -> dict[str, str]:
    """Build the labels of a child that belongs to one shard."""
    return {**feed_labels(feed_source), LABEL_SHARD: str(shard)}


def worker_labels(feed_source: FeedSource, worker: Worker) -> dict[str, str]:
    """Build the labels of a child that belongs to one feeder."""
    return {**shard_labels(feed_source, worker.shard), LABEL_ACCOUNT: worker.account.name}


def feed_selector(feed_source: FeedSource) -> dict[str, str]:
    """Build the labels that find all feeders of a FeedSource."""
    return {LABEL_COMPONENT: COMPONENT, LABEL_FEED_SOURCE: feed_source.metadata.name}


def shard_selector(feed_source: FeedSource, shard: int) -> dict[str, str]:
    """Build the labels that find all feeders of one shard."""
    return {**feed_selector(feed_source), LABEL_SHARD: str(shard)}


def worker_selector(feed_source: FeedSource, worker: Worker) -> dict[str, str]:
    """Build the labels that find one feeder's Pod; a Deployment's cannot change."""
    return {
        **shard_selector(feed_source, worker.shard),
        LABEL_ACCOUNT: worker.account.name,
    }


def child_metadata(feed_source: FeedSource, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Build a child's metadata, owned by the FeedSource.

    `blockOwnerDeletion` is left out: it would need a right on finalizers, and a deletion in the
    foreground has nothing to wait for.
    """
    metadata = feed_source.metadata
    return {
        "name": name,
        "namespace": metadata.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": feed_source.kind.value,
                "name": metadata.name,
                "uid": metadata.uid,
                "controller": True,
            }
        ],
    }
