"""What a feeder may do in the cluster: watch its own ConfigMap, hold its own Leases."""

from typing import Any

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import account_lease_name, publisher_lease_name
from feedplane_operator.core.children.metadata import child_metadata, worker_labels
from feedplane_operator.core.workers import Worker, single_session

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
    """Build the Role of one feeder, by the names of exactly the objects it needs.

    Leases are read and replaced by their holder, and patched by all who say how they do.
    """
    name = feed_source.metadata.name
    leases = [publisher_lease_name(name, worker.shard)]
    if single_session(feed_source):
        leases.append(account_lease_name(name, worker.account.name))
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "Role",
        "metadata": child_metadata(feed_source, worker.name, worker_labels(feed_source, worker)),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [worker.name],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": leases,
                "verbs": ["get", "update", "patch"],
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
