"""Every child of a FeedSource, in the order they are applied."""

from collections.abc import Iterable, Mapping

from feedplane_api.feed_source import FeedSource
from feedplane_operator.core.children.configmap import build_config_map
from feedplane_operator.core.children.deployment import build_deployment
from feedplane_operator.core.children.lease import build_account_lease, build_publisher_lease
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
from feedplane_operator.core.workers import Worker, single_session


def build_deployments(
    feed_source: FeedSource, workers: Iterable[Worker], defaults: Defaults
) -> dict[str, Manifest]:
    """Build the Deployments, by the feeder's name."""
    return {
        worker.name: stamp(build_deployment(feed_source, worker, defaults)) for worker in workers
    }


def build_children(
    feed_source: FeedSource,
    workers: tuple[Worker, ...],
    defaults: Defaults,
    deployments: Mapping[str, Manifest],
) -> tuple[Manifest, ...]:
    """Build all children; what a Pod needs at its start comes before its Deployment."""
    children: list[Manifest] = []
    if defaults.network_policy:
        children.append(build_network_policy(feed_source, defaults))
    for shard in sorted({worker.shard for worker in workers}):
        children.append(build_publisher_lease(feed_source, shard))
        children.append(build_disruption_budget(feed_source, shard))
    if single_session(feed_source):
        accounts = feed_source.spec.accounts
        children += [build_account_lease(feed_source, account.name) for account in accounts]
    for worker in workers:
        children += [
            build_service_account(feed_source, worker),
            build_role(feed_source, worker),
            build_role_binding(feed_source, worker),
            build_config_map(feed_source, worker),
            build_service(feed_source, worker),
        ]
    stamped = [stamp(child) for child in children]
    return (*stamped, *(deployments[worker.name] for worker in workers))
