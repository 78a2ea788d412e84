"""A cluster in memory: what is observed after a Plan was carried out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from support_resources import JsonDict, feed_source, feeder_status

from feedplane_api.feed_source import FeedSource
from feedplane_api.subscription import Subscription
from feedplane_api.worker import FeederStatus, config_hash
from feedplane_operator.core.children.all import build_children, build_deployments
from feedplane_operator.core.observed import FeederView, LeaseView, Observed
from feedplane_operator.core.picture import AccountPicture, picture_accounts
from feedplane_operator.core.plan import Manifest, Plan, ref_of
from feedplane_operator.core.pods import PodView
from feedplane_operator.core.reconcile_feed_source import reconcile_feed_source
from feedplane_operator.core.roster import place, plan_roster
from feedplane_operator.core.workers import Worker, plan_should, plan_workers

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def stored(manifest: JsonDict, uid: str = "uid-1", generation: int = 1) -> JsonDict:
    """Return a resource as the API server has it."""
    metadata = {"uid": uid, "generation": generation, **manifest["metadata"]}
    return {**manifest, "metadata": metadata}


def parse_feed(name: str = "spot", **spec: Any) -> FeedSource:
    """Return a FeedSource as reconcile sees it."""
    return FeedSource.parse(stored(feed_source(name, **spec)))


def parse_subscription(manifest: JsonDict) -> Subscription:
    """Return a Subscription as reconcile sees it."""
    return Subscription.parse(stored(manifest))


def accounts_of(feed: FeedSource, observed: Observed) -> tuple[AccountPicture, ...]:
    """Return the accounts of a FeedSource, each with its standing."""
    shards = plan_should(feed, observed).shard_numbers
    pictures = picture_accounts(feed, observed, shards, NOW)
    return place(pictures, plan_roster(feed, observed, pictures, NOW))


def workers_of(feed: FeedSource, observed: Observed) -> tuple[Worker, ...]:
    """Return the feeders a FeedSource needs."""
    should = plan_should(feed, observed)
    pictures = picture_accounts(feed, observed, should.shard_numbers, NOW)
    return plan_workers(feed, should, plan_roster(feed, observed, pictures, NOW))


def children_of(feed: FeedSource, observed: Observed) -> dict[str, Manifest]:
    """Return the children by `Kind/name`."""
    workers = workers_of(feed, observed)
    deployments = build_deployments(feed, workers, observed.defaults)
    children = build_children(feed, workers, observed.defaults, deployments)
    return {f"{child['kind']}/{child['metadata']['name']}": child for child in children}


def after(resource: JsonDict, observed: Observed, plan: Plan) -> tuple[JsonDict, Observed]:
    """Return resource and surroundings once a Plan was carried out."""
    children = {ref: child for ref, child in observed.children.items() if ref not in plan.delete}
    children |= {ref_of(child): json.loads(json.dumps(child)) for child in plan.apply}
    written = resource if plan.status is None else {**resource, "status": dict(plan.status)}
    return written, replace(observed, children=children)


def settle_feed(resource: JsonDict, observed: Observed) -> tuple[JsonDict, Observed]:
    """Return resource and surroundings once its first Plan was carried out."""
    return after(resource, observed, reconcile_feed_source(resource, observed, NOW))


def run_feeders(
    resource: JsonDict, observed: Observed, holder: str = "a", **changes: Any
) -> Observed:
    """Return the surroundings with every Pod up, every feeder streaming and the Leases held."""
    workers = workers_of(FeedSource.parse(resource), observed)
    return replace(
        observed,
        pods={worker.name: (running_pod(worker.name),) for worker in workers},
        feeders={
            worker.name: FeederView(report=report_of(worker, **changes)) for worker in workers
        },
        leases={
            f"{resource['metadata']['name']}-publisher-{worker.shard}": held_lease(holder)
            for worker in workers
        },
    )


def running_pod(name: str, **changes: Any) -> PodView:
    """Return a Pod that is up."""
    fields: JsonDict = {"address": "10.0.0.1", "phase": "Running", "ready": True, **changes}
    return PodView(name=f"{name}-pod", **fields)


def held_lease(holder: str = "a", **changes: Any) -> LeaseView:
    """Return a Lease that an account holds."""
    fields: JsonDict = {
        "holder": f"{holder}/pod",
        "epoch": 1,
        "acquire_time": NOW,
        "renew_time": NOW,
        "duration_seconds": 6,
        **changes,
    }
    return LeaseView(**fields)


def report_of(worker: Worker, **changes: Any) -> FeederStatus:
    """Return the report of a feeder that has taken over its configuration."""
    pairs = sum(len(line.channels) for line in worker.config.wanted)
    fields: JsonDict = {
        "account": worker.account.name,
        "shard": worker.shard,
        "config_hash": config_hash(worker.config),
        "coverage": {"wanted": pairs, "live": pairs},
        **changes,
    }
    return feeder_status(**fields)
