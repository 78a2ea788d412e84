"""Reading what a FeedSource consists of, all at once."""

import asyncio

from feedplane_api.names import Kind
from feedplane_cli.cluster import Cluster
from feedplane_cli.core.documents import Manifest, word
from feedplane_cli.core.feed_view import FeedView, build_views
from feedplane_cli.core.selectors import children_selector
from feedplane_cli.core.should_list import ShouldList, build_should_list, read_configs


async def read_views(cluster: Cluster, namespace: str, name: str = "") -> tuple[FeedView, ...]:
    """Read FeedSources with their Subscriptions and Leases; an empty namespace reads them all.

    Raises:
        CliError: one that is named is not there, or something cannot be read.
    """
    if name:
        reading = _read_one(cluster, namespace, name)
    else:
        reading = cluster.list(Kind.FEED_SOURCE, namespace)
    labels = children_selector(name)
    # The FeedSource first: what is wrong with it says more than what is wrong with the rest.
    feeds = await reading
    subscriptions, leases = await asyncio.gather(
        cluster.list(Kind.SUBSCRIPTION, namespace),
        cluster.list("Lease", namespace, labels=labels),
    )
    return build_views(feeds, subscriptions, leases)


async def _read_one(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    return [await cluster.get(Kind.FEED_SOURCE, namespace, name)]


async def read_should_list(cluster: Cluster, namespace: str, name: str) -> ShouldList:
    """Read what a Subscription wants.

    Raises:
        CliError: it or its FeedSource is not there, or something cannot be read.
    """
    subscription = await cluster.get(Kind.SUBSCRIPTION, namespace, name)
    feed_name = word(subscription, "spec", "feedSourceRef", "name")
    feed, config_maps = await asyncio.gather(
        cluster.get(Kind.FEED_SOURCE, namespace, feed_name),
        cluster.list("ConfigMap", namespace, labels=children_selector(feed_name)),
    )
    return build_should_list(subscription, feed, read_configs(config_maps))
