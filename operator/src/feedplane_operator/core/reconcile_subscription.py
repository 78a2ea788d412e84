"""Subscription: its status; what it wants becomes part of its FeedSource's children."""

from datetime import datetime
from typing import Final

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource
from feedplane_api.names import LABEL_ACCOUNT, LABEL_SHARD, worker_name
from feedplane_api.subscription import Subscription, SubscriptionStatus
from feedplane_api.worker import FailoverMode, FeederStatus
from feedplane_operator.core.children.configmap import ANNOTATION_WORKER_HASH
from feedplane_operator.core.coverage import ShardView, judge_pairs
from feedplane_operator.core.observed import UNASKED, Observed
from feedplane_operator.core.picture import find_active, find_trouble
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.core.repairs import NO_REPAIRS, Repairs, plan_repairs
from feedplane_operator.core.status import changed_status, read_status
from feedplane_operator.core.subscription_status import (
    count_gaps,
    note_subscription_turns,
    observe_status,
    refuse_status,
)
from feedplane_operator.core.wanted import expand_subscription
from feedplane_operator.core.workers import read_assignment

RESYNC_SECONDS: Final = 300.0


def reconcile_subscription(resource: Manifest, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for a Subscription: its status and events."""
    try:
        subscription = Subscription.parse(resource)
    except InvalidSpecError as error:
        return _refuse(resource, (Reason.INVALID_SPEC, str(error)), now)
    name = subscription.spec.feed_source_ref.name
    if observed.feed_source is None:
        said = f"spec.feedSourceRef.name: no FeedSource {name}"
        return _refuse(resource, (Reason.FEED_SOURCE_NOT_FOUND, said), now)
    try:
        feed_source = FeedSource.parse(observed.feed_source)
    except InvalidSpecError:
        return _refuse(resource, _not_accepted(name), now)
    wanted, assigned = read_assignment(observed.children)
    expansion = expand_subscription(subscription, observed.listing, wanted)
    shards = view_shards(feed_source, observed, now)
    pairs = judge_pairs(subscription, expansion, assigned, shards)
    reports = [view.reports[0] for view in shards.values() if view.reports]
    gaps = count_gaps(subscription, expansion, reports)
    accepted = find_condition(feed_source.status.conditions, ConditionType.ACCEPTED)
    refused = accepted is not None and accepted.status is ConditionStatus.FALSE
    refusal = _not_accepted(name) if refused else None
    status = observe_status(subscription, expansion, pairs, gaps, refusal, now)
    everybody = [report for view in shards.values() for report in view.reports]
    repairs = plan_repairs(subscription, feed_source, expansion, everybody, observed.children, now)
    return _plan(subscription.status, status, repairs, observed.taken_names)


def view_shards(feed_source: FeedSource, observed: Observed, now: datetime) -> dict[int, ShardView]:
    """Return what is known of each shard by the account that publishes it.

    Where all accounts publish, each one's report counts.
    """
    active = find_active(feed_source, observed, now).account
    names = [account.name for account in feed_source.spec.accounts]
    leading = active if active in names else names[0]
    merged = feed_source.spec.failover.mode is FailoverMode.MERGED
    accounts = [leading, *(name for name in names if merged and name != leading)]
    hashes = _hashes(observed)
    shards = sorted({shard for _, shard in hashes})
    return {
        shard: _view_shard(feed_source, observed, accounts, shard, hashes, now) for shard in shards
    }


def _view_shard(
    feed_source: FeedSource,
    observed: Observed,
    accounts: list[str],
    shard: int,
    hashes: dict[tuple[str, int], str],
    now: datetime,
) -> ShardView:
    reports: list[FeederStatus] = []
    current, unasked = True, False
    first_trouble = None
    for account in accounts:
        worker = worker_name(feed_source.metadata.name, account, shard)
        view = observed.feeders.get(worker, UNASKED)
        trouble = find_trouble(view, observed.pods.get(worker, ()), now)
        if account == accounts[0]:
            first_trouble = trouble
            unasked = trouble is None and view.report is None
        if view.report is not None:
            reports.append(view.report)
            current = current and view.report.config_hash == hashes.get((account, shard))
    return ShardView(
        reports=tuple(reports), current=current, trouble=first_trouble, unasked=unasked
    )


def _hashes(observed: Observed) -> dict[tuple[str, int], str]:
    # What each feeder's ConfigMap says now, by account and shard.
    found: dict[tuple[str, int], str] = {}
    for ref, child in observed.children.items():
        labels = child["metadata"].get("labels", {})
        if ref.kind == "ConfigMap" and labels.get(LABEL_SHARD, "").isdecimal():
            annotations = child["metadata"].get("annotations", {})
            key = (labels.get(LABEL_ACCOUNT, ""), int(labels[LABEL_SHARD]))
            found[key] = annotations.get(ANNOTATION_WORKER_HASH, "")
    return found


def _not_accepted(name: str) -> tuple[Reason, str]:
    return Reason.FEED_SOURCE_NOT_ACCEPTED, f"spec.feedSourceRef.name: see FeedSource {name}"


def _refuse(resource: Manifest, refusal: tuple[Reason, str], now: datetime) -> Plan:
    before = read_status(SubscriptionStatus, resource)
    generation = int(resource["metadata"].get("generation", 0))
    return _plan(before, refuse_status(before, refusal, generation, now))


def _plan(
    before: SubscriptionStatus,
    after: SubscriptionStatus,
    repairs: Repairs = NO_REPAIRS,
    taken: frozenset[Ref] = frozenset(),
) -> Plan:
    return Plan(
        apply=tuple(made for made in repairs.make if ref_of(made) not in taken),
        delete=repairs.delete,
        status=changed_status(before, after),
        events=(*note_subscription_turns(before, after), *repairs.notes),
        requeue_after_seconds=repairs.again_seconds or RESYNC_SECONDS,
    )
