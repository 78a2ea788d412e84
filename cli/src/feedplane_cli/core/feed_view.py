"""What a person wants to see of a FeedSource, made from the documents of the API server.

Must not know how it is shown.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any

from feedplane_api.feed_source import AccountState, FeedState
from feedplane_api.feed_source_status import AccountRole
from feedplane_api.names import (
    LABEL_FEED_SOURCE,
    LABEL_SHARD,
    LEASE_CHANGED_REASON,
    account_lease_name,
    publisher_lease_name,
)
from feedplane_cli.core.documents import (
    Manifest,
    condition,
    entries,
    label,
    moment,
    name_of,
    namespace_of,
    number,
    number_or_none,
    word,
)

UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionView:
    """One condition."""

    type: str
    status: str
    reason: str
    message: str
    since_time: datetime | None

    @property
    def holds(self) -> bool:
        """Whether its status is True."""
        return self.status == "True"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """One account."""

    name: str
    state: str
    role: str
    session: str
    healthy: str
    reason: str
    failing_since_time: datetime | None
    instruments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """Who holds a Lease: the place of a shard's publisher, or the one session of an account."""

    name: str
    shard: int
    holder: str
    account: str
    epoch: int
    reason: str
    duration_seconds: int
    acquire_time: datetime | None
    renew_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageView:
    """Pairs of instrument and channel by what became of them."""

    wanted: int = 0
    live: int = 0
    stale: int = 0
    refused: int = 0
    percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GapsView:
    """Rows of the ledger."""

    open: int = 0
    filled: int = 0
    unfillable: int = 0
    missing: int = 0
    """Trades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionView:
    """One Subscription."""

    name: str
    ready: ConditionView
    coverage: CoverageView
    gaps: GapsView
    last_event_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverView:
    """Who publishes, since when and why, as the operator says it."""

    epoch: int
    reason: str
    since_time: datetime | None
    count: int
    last_duration_milliseconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """Feeders on their way to what the spec asks."""

    reason: str
    feeders: int
    updated: int
    since_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """One FeedSource with what belongs to it."""

    namespace: str
    name: str
    venue: str
    mode: str
    state: str
    ready: ConditionView
    conditions: tuple[ConditionView, ...]
    active_account: str
    chosen_account: str
    """The account a person chose; empty while failover chooses."""
    failover: FailoverView
    coverage: CoverageView
    gaps: GapsView
    events_per_second: int | None
    lag_milliseconds: int | None
    accounts: tuple[AccountView, ...]
    leases: tuple[LeaseView, ...]
    """The publishers', by shard."""
    seats: tuple[LeaseView, ...]
    """Those of accounts that may have one session only."""
    rollout: RolloutView | None
    subscriptions: tuple[SubscriptionView, ...]

    @property
    def paused(self) -> bool:
        """Whether a person paused it."""
        return self.state == FeedState.PAUSED

    @property
    def healthy(self) -> bool:
        """Whether nobody needs to look at it."""
        return self.ready.holds or self.paused

    def account(self, name: str) -> AccountView | None:
        """Return an account by its name."""
        return next((account for account in self.accounts if account.name == name), None)


def build_views(
    feeds: Iterable[Manifest], subscriptions: Iterable[Manifest], leases: Iterable[Manifest]
) -> tuple[FeedView, ...]:
    """Build a view of each FeedSource, by namespace and name."""
    subscriptions, leases = tuple(subscriptions), tuple(leases)
    views = [build_view(feed, subscriptions, leases) for feed in feeds]
    return tuple(sorted(views, key=lambda view: (view.namespace, view.name)))


def build_view(
    feed: Manifest, subscriptions: Iterable[Manifest], leases: Iterable[Manifest]
) -> FeedView:
    """Build the view of one FeedSource; what belongs to another one is passed over."""
    status: Mapping[str, Any] = feed.get("status") or {}
    mine = [one for one in subscriptions if _refers_to(one, feed)]
    shown = tuple(sorted((_subscription(one) for one in mine), key=lambda one: one.name))
    active = word(status, "activeAccount")
    coverage = status.get("coverage") or {}
    return FeedView(
        namespace=namespace_of(feed),
        name=name_of(feed),
        venue=word(feed, "spec", "venue"),
        mode=word(feed, "spec", "failover", "mode"),
        state=word(feed, "spec", "state") or FeedState.RUNNING.value,
        ready=_condition(feed, "Ready"),
        conditions=tuple(
            _condition(feed, entry["type"])
            for entry in sorted(entries(status, "conditions"), key=lambda one: str(one["type"]))
        ),
        active_account=active,
        chosen_account=word(feed, "spec", "activeAccount"),
        failover=_failover(status.get("failover") or {}),
        coverage=_coverage(coverage, shown),
        gaps=GapsView(
            open=sum(one.gaps.open for one in shown),
            filled=sum(one.gaps.filled for one in shown),
            unfillable=sum(one.gaps.unfillable for one in shown),
            missing=sum(one.gaps.missing for one in shown),
        ),
        events_per_second=number_or_none(status, "eventsPerSecond"),
        lag_milliseconds=number_or_none(status, "lagMilliseconds"),
        accounts=tuple(
            _account(entry, feed, active) for entry in entries(feed, "spec", "accounts")
        ),
        leases=tuple(_lease(one) for one in mine_of(feed, leases) if not _is_seat(one, feed)),
        seats=tuple(_lease(one) for one in mine_of(feed, leases) if _is_seat(one, feed)),
        rollout=_rollout(status.get("rollout")),
        subscriptions=shown,
    )


def mine_of(feed: Manifest, leases: Iterable[Manifest]) -> list[Manifest]:
    """Return the Leases of a FeedSource, by shard and name."""
    mine = [
        lease
        for lease in leases
        if namespace_of(lease) == namespace_of(feed)
        and label(lease, LABEL_FEED_SOURCE) == name_of(feed)
        and (_is_seat(lease, feed) or _publishes(lease, feed))
    ]
    return sorted(mine, key=lambda lease: (_shard(lease), name_of(lease)))


def describe(value: Any) -> Any:
    """Return a view as plain data with the API's spelling of names, for JSON and YAML."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(one.name): describe(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple | list):
        return [describe(entry) for entry in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _refers_to(subscription: Manifest, feed: Manifest) -> bool:
    named = word(subscription, "spec", "feedSourceRef", "name")
    return (namespace_of(subscription), named) == (namespace_of(feed), name_of(feed))


def _publishes(lease: Manifest, feed: Manifest) -> bool:
    return name_of(lease) == publisher_lease_name(name_of(feed), _shard(lease))


def _is_seat(lease: Manifest, feed: Manifest) -> bool:
    accounts = [word(entry, "name") for entry in entries(feed, "spec", "accounts")]
    return name_of(lease) in {account_lease_name(name_of(feed), one) for one in accounts}


def _shard(lease: Manifest) -> int:
    shard = label(lease, LABEL_SHARD)
    return int(shard) if shard.isdecimal() else 0


def _condition(document: Manifest, kind: str) -> ConditionView:
    found = condition(document, kind)
    return ConditionView(
        type=kind,
        status=word(found, "status") or UNKNOWN,
        reason=word(found, "reason"),
        message=word(found, "message"),
        since_time=moment(word(found, "lastTransitionTime")),
    )


def _account(entry: Manifest, feed: Manifest, active: str) -> AccountView:
    name = word(entry, "name")
    known = entries(feed, "status", "accounts")
    said = next((account for account in known if account.get("name") == name), {})
    state = word(entry, "state") or AccountState.IN_SERVICE.value
    role = AccountRole.ACTIVE if name == active else AccountRole.STANDBY
    role = role if state == AccountState.IN_SERVICE else AccountRole.MAINTENANCE
    return AccountView(
        name=name,
        state=state,
        role=word(said, "role") or role.value,
        session=word(said, "session") or UNKNOWN,
        healthy=word(said, "healthy") or UNKNOWN,
        reason=word(said, "reason"),
        failing_since_time=moment(word(said, "failingSinceTime")),
        instruments=number(said, "instruments"),
    )


def _lease(lease: Manifest) -> LeaseView:
    holder = word(lease, "spec", "holderIdentity")
    return LeaseView(
        name=name_of(lease),
        shard=_shard(lease),
        holder=holder,
        account=holder.partition("/")[0],
        epoch=number(lease, "spec", "leaseTransitions"),
        reason=word(lease, "metadata", "annotations", LEASE_CHANGED_REASON),
        duration_seconds=number(lease, "spec", "leaseDurationSeconds"),
        acquire_time=moment(word(lease, "spec", "acquireTime")),
        renew_time=moment(word(lease, "spec", "renewTime")),
    )


def _subscription(document: Manifest) -> SubscriptionView:
    coverage: Mapping[str, Any] = (document.get("status") or {}).get("coverage") or {}
    return SubscriptionView(
        name=name_of(document),
        ready=_condition(document, "Ready"),
        coverage=CoverageView(
            **{one.name: number(coverage, one.name) for one in fields(CoverageView)}
        ),
        gaps=GapsView(
            **{one.name: number(document, "status", "gaps", one.name) for one in fields(GapsView)}
        ),
        last_event_time=moment(word(document, "status", "lastEventTime")),
    )


def _failover(status: Mapping[str, Any]) -> FailoverView:
    return FailoverView(
        epoch=number(status, "epoch"),
        reason=word(status, "reason"),
        since_time=moment(word(status, "sinceTime")),
        count=number(status, "count"),
        last_duration_milliseconds=number_or_none(status, "lastDurationMilliseconds"),
    )


def _rollout(status: Mapping[str, Any] | None) -> RolloutView | None:
    if not status:
        return None
    return RolloutView(
        reason=word(status, "reason"),
        feeders=number(status, "feeders"),
        updated=number(status, "updated"),
        since_time=moment(word(status, "sinceTime")),
    )


def _coverage(
    coverage: Mapping[str, Any], subscriptions: Iterable[SubscriptionView]
) -> CoverageView:
    subscriptions = tuple(subscriptions)
    return CoverageView(
        wanted=number(coverage, "wanted"),
        live=number(coverage, "live"),
        stale=sum(one.coverage.stale for one in subscriptions),
        refused=sum(one.coverage.refused for one in subscriptions),
        percent=number(coverage, "percent"),
    )
