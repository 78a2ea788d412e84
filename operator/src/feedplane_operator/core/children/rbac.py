"""What a feeder may do in the cluster: read its own ConfigMap, hold its shard's Lease."""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import publisher_lease_name
from feedplane_operator.core.children.metadata import child_metadata, worker_labels
from feedplane_operator.core.workers import Worker

RBAC_GROUP = "rbac.authorization.k8s.io"


def build_service_account(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    """Build the ServiceAccount of one feeder; its token is mounted only where a Pod asks for it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": child_metadata(feed_source, worker.name, worker_labels(feed_source, worker)),
        "automountServiceAccountToken": False,
    }


def build_role(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    """Build the Role of one feeder, by the names of exactly the two objects it needs."""
    lease = publisher_lease_name(feed_source.metadata.name, worker.shard)
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "Role",
        "metadata": child_metadata(feed_source, worker.name, worker_labels(feed_source, worker)),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [worker.name],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [lease],
                "verbs": ["get", "list", "watch", "update", "patch"],
            },
        ],
    }


def build_role_binding(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    """Build the RoleBinding of one feeder."""
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": child_metadata(feed_source, worker.name, worker_labels(feed_source, worker)),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": worker.name},
        "subjects": [
            {
                "kind": "ServiceAccount",
                "name": worker.name,
                "namespace": feed_source.metadata.namespace,
            }
        ],
    }
