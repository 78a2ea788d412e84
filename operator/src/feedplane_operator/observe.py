"""What is known around one FeedSource, gathered into the Observed that reconcile looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from feedplane_api.errors import InvalidSpecError
from feedplane_api.names import LEASE_CHANGED_REASON, Kind
from feedplane_api.subscription import Subscription
from feedplane_operator.cache import Cache, Feed
from feedplane_operator.clock import monotonic_seconds
from feedplane_operator.core.observed import Defaults, FeederView, LeaseView, Observed
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.core.pods import PodView

TAKEN_SECONDS: Final = 60.0
"""How long a name counts as taken before it is tried again."""


@dataclass(slots=True)
class FeedMemory:
    """What was learned of one FeedSource other than by watching."""

    feeders: dict[str, FeederView] = field(default_factory=dict)
    listing: dict[str, bool] | None = None
    mount_failures: dict[str, str] = field(default_factory=dict)
    """By Pod."""
    taken: dict[Ref, float] = field(default_factory=dict)
    """Names found taken, and when."""


class Observer:
    """Puts together what the cache, the poller and earlier writes know."""

    def __init__(self, cache: Cache, defaults: Defaults) -> None:
        self._cache = cache
        self._defaults = defaults
        self._memories: dict[Feed, FeedMemory] = {}

    def memory(self, feed: Feed) -> FeedMemory:
        """Return what was learned of a FeedSource so far, to read and add to."""
        return self._memories.setdefault(feed, FeedMemory())

    def forget(self, feed: Feed) -> None:
        """Drop what was learned of a FeedSource that is gone."""
        self._memories.pop(feed, None)

    def observe(self, feed: Feed) -> Observed:
        """Return what stands around a FeedSource now."""
        cache, memory = self._cache, self.memory(feed)
        children = dict(cache.children(feed))
        subscriptions, broken = _parse_subscriptions(cache.referring(feed, Kind.SUBSCRIPTION))
        now = monotonic_seconds()
        taken = frozenset(ref for ref, at in memory.taken.items() if now - at < TAKEN_SECONDS)
        feed_source = cache.get(Ref(Kind.FEED_SOURCE.value, *feed))
        return Observed(
            defaults=self._defaults,
            feed_source=feed_source,
            children=children,
            subscriptions=subscriptions,
            broken_subscriptions=broken,
            pods=_with_mount_failures(cache.pods(feed), memory.mount_failures),
            leases={
                ref.name: parse_lease(obj) for ref, obj in children.items() if ref.kind == "Lease"
            },
            feeders=dict(memory.feeders),
            listing=memory.listing,
            account_rivals=self._rivals(feed, feed_source),
            subscription_names=frozenset(entry.metadata.name for entry in subscriptions),
            taken_names=taken,
        )

    def _rivals(self, feed: Feed, feed_source: Manifest | None) -> dict[str, str]:
        # An account belongs to the FeedSource that was there first.
        mine = _secrets(feed_source) if feed_source is not None else frozenset()
        if feed_source is None or not mine:
            return {}
        rivals: dict[str, str] = {}
        for other in self._cache.resources(Kind.FEED_SOURCE):
            metadata = other["metadata"]
            if metadata.get("namespace") != feed[0] or metadata["name"] == feed[1]:
                continue
            if _seniority(other) < _seniority(feed_source):
                shared = mine & _secrets(other)
                rivals.update(dict.fromkeys(shared, metadata["name"]))
        return rivals


def parse_lease(lease: Manifest) -> LeaseView:
    """Return the view of a Lease."""
    spec = lease.get("spec") or {}
    annotations = lease["metadata"].get("annotations", {})
    return LeaseView(
        holder=spec.get("holderIdentity") or "",
        epoch=int(spec.get("leaseTransitions") or 0),
        acquire_time=_moment(spec.get("acquireTime")),
        renew_time=_moment(spec.get("renewTime")),
        duration_seconds=int(spec.get("leaseDurationSeconds") or 0),
        reason=annotations.get(LEASE_CHANGED_REASON, ""),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _parse_subscriptions(
    objects: tuple[Manifest, ...],
) -> tuple[tuple[Subscription, ...], tuple[str, ...]]:
    parsed: list[Subscription] = []
    broken: list[str] = []
    for obj in objects:
        if "deletionTimestamp" in obj["metadata"]:
            continue
        try:
            parsed.append(Subscription.parse(obj))
        except InvalidSpecError:
            broken.append(obj["metadata"]["name"])
    return tuple(parsed), tuple(broken)


def _with_mount_failures(
    pods: Mapping[str, tuple[PodView, ...]], failures: Mapping[str, str]
) -> dict[str, tuple[PodView, ...]]:
    return {
        worker: tuple(
            replace(pod, mount_failure=failures[pod.name]) if pod.name in failures else pod
            for pod in found
        )
        for worker, found in pods.items()
    }


def _secrets(feed_source: Manifest) -> frozenset[str]:
    # Read from the raw object: a rival whose spec is broken elsewhere still holds its account.
    accounts: Any = (feed_source.get("spec") or {}).get("accounts") or ()
    refs = (account.get("credentialsSecretRef") or {} for account in accounts)
    return frozenset(ref["name"] for ref in refs if "name" in ref)


def _seniority(feed_source: Manifest) -> tuple[str, str]:
    metadata = feed_source["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]
