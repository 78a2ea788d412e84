"""The Service in front of one feeder's HTTP port, for people and for Prometheus."""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import HTTP_PORT, HTTP_PORT_NAME
from feedplane_operator.core.children.metadata import (
    child_metadata,
    worker_labels,
    worker_selector,
)
from feedplane_operator.core.workers import Worker


def build_service(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    """Build a headless Service that answers for a feeder that is not ready too.

    A feeder that is not ready is the very one whose status and metrics somebody wants.
    """
    port = {
        "name": HTTP_PORT_NAME,
        "port": HTTP_PORT,
        "targetPort": HTTP_PORT_NAME,
        "protocol": "TCP",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(feed_source, worker.name, worker_labels(feed_source, worker)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": worker_selector(feed_source, worker),
            "ports": [port],
        },
    }
