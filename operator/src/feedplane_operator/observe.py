"""What is known around one FeedSource, gathered into the Observed that reconcile looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.errors import InvalidSpecError
from feedplane_api.market_hours import MarketHours
from feedplane_api.names import LABEL_SHARD, LABEL_SUBSCRIPTION, LEASE_CHANGED_REASON, Kind
from feedplane_api.subscription import Subscription
from feedplane_operator.admissions import Admissions
from feedplane_operator.cache import Cache, Feed, Owner
from feedplane_operator.clock import monotonic_seconds
from feedplane_operator.core.backfill_pods import BackfillPod
from feedplane_operator.core.conflicts import find_conflicts
from feedplane_operator.core.observed import (
    BackfillView,
    Defaults,
    FeederView,
    LeaseView,
    Observed,
)
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.core.pods import PodView
from feedplane_operator.metrics import REPLACING

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
    conflicts: dict[int, int] = field(default_factory=dict)
    """By shard: in how many looks in a row two feeders took themselves for active."""
    restart_due: datetime | None = None
    calendar_missing: bool = False
    hours: MarketHours | None = None
    replacing: int = 0
    """Feeders that are being replaced, by the last Plan."""


@dataclass(slots=True)
class BackfillMemory:
    """What was learned of one Backfill other than by watching."""

    job: str = ""
    reports: dict[str, BackfillReport] = field(default_factory=dict)
    """By Pod of that Job, those that are gone among them."""
    taken: dict[Ref, float] = field(default_factory=dict)
    """Names found taken, and when."""

    def hear(self, pod: BackfillPod, report: BackfillReport) -> bool:
        """Take in what a worker answered; return whether it is news."""
        if pod.job != self.job:
            self.job = pod.job
            self.reports.clear()
        known = self.reports.get(pod.name)
        self.reports[pod.name] = report
        return known != report


class Observer:
    """Puts together what the cache, the poller and earlier writes know."""

    def __init__(
        self,
        cache: Cache,
        defaults: Defaults,
        *,
        rollout_feeders: int = 10,
        backfill_workers: int = 16,
    ) -> None:
        self.admissions = Admissions(backfill_workers)
        """Whose turn it is among Backfills."""
        self._backfills: dict[Owner, BackfillMemory] = {}
        self._cache = cache
        self._defaults = defaults
        self._rollout_feeders = rollout_feeders
        self._replacing = 0
        self._memories: dict[Feed, FeedMemory] = {}

    def memory(self, feed: Feed) -> FeedMemory:
        """Return what was learned of a FeedSource so far, to read and add to."""
        return self._memories.setdefault(feed, FeedMemory())

    def forget(self, feed: Feed) -> None:
        """Drop what was learned of a FeedSource that is gone."""
        self.note_replacing(feed, 0)
        self._memories.pop(feed, None)

    def backfill_memory(self, backfill: Owner) -> BackfillMemory:
        """Return what was learned of a Backfill so far, to read and add to."""
        return self._backfills.setdefault(backfill, BackfillMemory())

    def forget_backfill(self, backfill: Owner) -> None:
        """Drop what was learned of a Backfill that is gone."""
        self._backfills.pop(backfill, None)
        self.admissions.leave(backfill)
        self.admissions.started(backfill)

    def observe_backfill(self, resource: Manifest) -> Observed:
        """Return what stands around a Backfill now."""
        cache, metadata = self._cache, resource["metadata"]
        owner = (metadata.get("namespace", ""), metadata["name"])
        spec = resource.get("spec") or {}
        feed = (owner[0], str((spec.get("feedSourceRef") or {}).get("name", "")))
        memory, feed_memory = self._backfills.get(owner), self._memories.get(feed)
        name = (spec.get("subscriptionRef") or {}).get("name")
        asked = cache.get(Ref(Kind.SUBSCRIPTION.value, owner[0], str(name))) if name else None
        subscriptions, _ = _parse_subscriptions((asked,) if asked else ())
        return Observed(
            defaults=self._defaults,
            feed_source=cache.get(Ref(Kind.FEED_SOURCE.value, *feed)),
            children=dict(cache.owned(owner)),
            subscriptions=tuple(
                entry for entry in subscriptions if entry.spec.feed_source_ref.name == feed[1]
            ),
            listing=feed_memory.listing if feed_memory else None,
            taken_names=_taken(memory.taken) if memory else frozenset(),
            backfill=BackfillView(
                pods=cache.pods_of_backfill(owner),
                reports=dict(memory.reports) if memory else {},
                most_workers=self.admissions.most_workers,
                free_workers=self.admissions.free_workers(owner, cache.running_workers()),
                first=self.admissions.is_first(resource),
            ),
        )

    def observe_subscription(self, resource: Manifest, feed: Feed) -> Observed:
        """Return what stands around a Subscription now, the Backfills made for it among it."""
        observed = self.observe(feed)
        name = resource["metadata"]["name"]
        repairs = {
            ref_of(obj): obj
            for obj in self._cache.referring(feed, Kind.BACKFILL)
            if obj["metadata"].get("labels", {}).get(LABEL_SUBSCRIPTION) == name
            and "deletionTimestamp" not in obj["metadata"]
        }
        return replace(observed, children={**observed.children, **repairs})

    def note_replacing(self, feed: Feed, count: int) -> None:
        """Take down how many feeders of a FeedSource are being replaced."""
        memory = self.memory(feed)
        self._replacing += count - memory.replacing
        memory.replacing = count
        REPLACING.set(self._replacing)

    def observe(self, feed: Feed) -> Observed:
        """Return what stands around a FeedSource now."""
        cache, memory = self._cache, self.memory(feed)
        children = dict(cache.children(feed))
        subscriptions, broken = _parse_subscriptions(cache.referring(feed, Kind.SUBSCRIPTION))
        feed_source = cache.get(Ref(Kind.FEED_SOURCE.value, *feed))
        return Observed(
            defaults=self._defaults,
            feed_source=feed_source,
            children=children,
            subscriptions=subscriptions,
            broken_subscriptions=broken,
            pods=_with_mount_failures(cache.pods(feed), memory.mount_failures),
            leases={
                ref.name: parse_lease(obj) for ref, obj in children.items() if _is_publisher(obj)
            },
            feeders=dict(memory.feeders),
            listing=memory.listing,
            account_rivals=self._rivals(feed, feed_source),
            subscription_names=frozenset(entry.metadata.name for entry in subscriptions),
            taken_names=_taken(memory.taken),
            rollout_slots=self._rollout_feeders - (self._replacing - memory.replacing),
            restart_due=memory.restart_due,
            calendar_missing=memory.calendar_missing,
            hours=memory.hours,
            conflicts=find_conflicts(memory.conflicts),
        )

    def _rivals(self, feed: Feed, feed_source: Manifest | None) -> dict[str, str]:
        # An account belongs to the FeedSource that was there first.
        mine = _logins(feed_source) if feed_source is not None else {}
        if feed_source is None or not mine:
            return {}
        rivals: dict[str, str] = {}
        for other in self._cache.resources(Kind.FEED_SOURCE):
            metadata = other["metadata"]
            if metadata.get("namespace") != feed[0] or metadata["name"] == feed[1]:
                continue
            if _seniority(other) < _seniority(feed_source):
                theirs = _logins(other).values()
                rivals.update(
                    (name, metadata["name"])
                    for name, login in mine.items()
                    if any(login.is_same(other_login) for other_login in theirs)
                )
        return rivals


def _taken(names: Mapping[Ref, float]) -> frozenset[Ref]:
    now = monotonic_seconds()
    return frozenset(ref for ref, at in names.items() if now - at < TAKEN_SECONDS)


def _is_publisher(obj: Manifest) -> bool:
    # An account's Lease belongs to no shard.
    return obj["kind"] == "Lease" and LABEL_SHARD in obj["metadata"].get("labels", {})


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


class _Login(NamedTuple):
    venue: str
    secret: str
    where: str
    single: bool

    def is_same(self, other: "_Login") -> bool:
        # Through another door it is another session, where a venue allows more than one.
        same_door = self.where == other.where or self.single or other.single
        return self[:2] == other[:2] and same_door


def _logins(feed_source: Manifest) -> dict[str, _Login]:
    # Read from the raw object: a rival whose spec is broken elsewhere still holds its account.
    spec: Any = feed_source.get("spec") or {}
    single = (spec.get("limits") or {}).get("sessionsPerAccount") == 1
    logins: dict[str, _Login] = {}
    for account in spec.get("accounts") or ():
        secret = (account.get("credentialsSecretRef") or {}).get("name")
        if secret and "name" in account:
            endpoints = {**(spec.get("endpoints") or {}), **(account.get("endpoints") or {})}
            where = repr((sorted(endpoints.items()), sorted(account.get("fronts") or ())))
            logins[account["name"]] = _Login(str(spec.get("venue")), secret, where, single)
    return logins


def _seniority(feed_source: Manifest) -> tuple[str, str]:
    metadata = feed_source["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]
