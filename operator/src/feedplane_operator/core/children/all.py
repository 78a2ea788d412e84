"""Every child of a FeedSource, in the order they are applied."""

from feedplane_api.feed_source import FeedSource
from feedplane_operator.core.children.configmap import build_config_map
from feedplane_operator.core.children.deployment import build_deployment
from feedplane_operator.core.children.lease import build_publisher_lease
from feedplane_operator.core.children.network_policy import build_network_policy
from feedplane_operator.core.children.pdb import build_disruption_budget
from feedplane_operator.core.children.rbac import (
    build_role,
    build_role_binding,
    build_service_account,
)
from feedplane_operator.core.children.service import build_service
from feedplane_operator.core.diff import stamp
from feedplane_operator.core.observed import Defaults
from feedplane_operator.core.plan import Manifest
from feedplane_operator.core.workers import Worker


def build_children(
    feed_source: FeedSource, workers: tuple[Worker, ...], defaults: Defaults
) -> tuple[Manifest, ...]:
    """Build all children; what a Pod needs at its start comes before its Deployment."""
    children: list[Manifest] = []
    if defaults.network_policy:
        children.append(build_network_policy(feed_source, defaults))
    for shard in sorted({worker.shard for worker in workers}):
        children.append(build_publisher_lease(feed_source, shard))
        children.append(build_disruption_budget(feed_source, shard))
    for worker in workers:
        children += [
            build_service_account(feed_source, worker),
            build_role(feed_source, worker),
            build_role_binding(feed_source, worker),
            build_config_map(feed_source, worker),
            build_service(feed_source, worker),
        ]
    children += [build_deployment(feed_source, worker, defaults) for worker in workers]
    return tuple(stamp(child) for child in children)
