"""FeedSource: from the spec and what stands around it to a Plan.

Level-based: it never asks what changed, only what is and what should be.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, FeedSourceStatus, FeedState
from feedplane_api.worker import FailoverMode
from feedplane_operator.core.checks import (
    Refusal,
    check_feed_source,
    check_names,
    check_pods,
    check_sessions,
    is_owned,
)
from feedplane_operator.core.children.all import build_children, build_deployments
from feedplane_operator.core.diff import find_difference
from feedplane_operator.core.feed_events import note_feed_turns
from feedplane_operator.core.feed_status import observe_status, refuse_status
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.picture import find_active, picture_accounts
from feedplane_operator.core.plan import Manifest, Note, Plan, Ref, ref_of
from feedplane_operator.core.rollout import (
    Rollout,
    hold_back,
    hold_deployment,
    mark_restart,
    plan_rollout,
)
from feedplane_operator.core.roster import Roster, place, plan_roster, read_roster
from feedplane_operator.core.status import changed_status, read_status
from feedplane_operator.core.workers import Should, plan_should, plan_workers

RESYNC_SECONDS: Final = 300.0
"""Everything is looked at again this often, should an event ever be missed."""
WATCHFUL_SECONDS: Final = 5.0
"""What waits for time to pass is looked at this often."""


def reconcile_feed_source(resource: Manifest, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for a FeedSource; a second look finds nothing to do.

    A spec that cannot be used leaves the children as they are.
    """
    try:
        feed_source = FeedSource.parse(resource)
    except InvalidSpecError as error:
        return _refuse(resource, (Reason.INVALID_SPEC, str(error)), now)
    should = plan_should(feed_source, observed)
    refusal = check_feed_source(feed_source, observed)
    refusal = refusal or check_sessions(feed_source, len(should.shard_numbers))
    if refusal is not None:
        return _hold(feed_source, resource, refusal, observed, now)
    pictures = picture_accounts(feed_source, observed, should.shard_numbers, now)
    roster = plan_roster(feed_source, observed, pictures, now)
    desired, rollout = _plan_children(feed_source, should, roster, observed, now)
    wanted = tuple(ref_of(child) for child in desired)
    taken = check_names(feed_source, wanted, observed)
    if taken is not None:
        return _hold(feed_source, resource, taken, observed, now)
    status = observe_status(
        feed_source,
        observed,
        should,
        place(pictures, roster),
        now,
        refusal=check_pods(observed),
        rollout=rollout,
    )
    return Plan(
        apply=tuple(child for child in desired if _differs(child, observed.children)),
        delete=_surplus(feed_source, frozenset(wanted), observed.children),
        status=changed_status(feed_source.status, status),
        events=_note(feed_source, observed, status, now),
        requeue_after_seconds=_pause(feed_source, rollout, observed),
        replacing=rollout.replacing,
    )


def describe_changes(plan: Plan, children: Mapping[Ref, Manifest]) -> tuple[tuple[Ref, str], ...]:
    """Return for each object to apply what is not as desired, in words."""
    described = []
    for manifest in plan.apply:
        ref = ref_of(manifest)
        live = children.get(ref)
        why = "absent" if live is None else find_difference(manifest, live) or "absent"
        described.append((ref, why))
    return tuple(described)


def _hold(
    feed_source: FeedSource,
    resource: Manifest,
    refusal: Refusal,
    observed: Observed,
    now: datetime,
) -> Plan:
    # What an earlier spec started runs on, so its status goes on being told.
    replicas = [
        child["spec"].get("replicas", 0)
        for ref, child in observed.children.items()
        if ref.kind == "Deployment"
    ]
    if not replicas:
        return _refuse(resource, refusal, now)
    state = FeedState.RUNNING if any(replicas) else FeedState.PAUSED
    spec = feed_source.spec.model_copy(update={"state": state})
    running = feed_source.model_copy(update={"spec": spec})
    should = plan_should(running, observed)
    pictures = picture_accounts(running, observed, should.shard_numbers, now)
    placed = place(pictures, read_roster(running, observed.children))
    status = observe_status(running, observed, should, placed, now, refusal=refusal)
    return Plan(
        status=changed_status(feed_source.status, status),
        events=_note(feed_source, observed, status, now),
        requeue_after_seconds=_wait(refusal),
    )


def _plan_children(
    feed_source: FeedSource, should: Should, roster: Roster, observed: Observed, now: datetime
) -> tuple[tuple[Manifest, ...], Rollout]:
    # Feeders that must wait for their turn keep the Pod and the configuration they have.
    namespace = feed_source.metadata.namespace
    workers = tuple(
        replace(worker, restart=mark_restart(worker.name, namespace, observed))
        for worker in plan_workers(feed_source, should, roster)
    )
    deployments = build_deployments(feed_source, workers, observed.defaults)
    rollout = plan_rollout(feed_source, workers, deployments, observed, now)
    for name in rollout.held:
        live = observed.children[ref_of(deployments[name])]
        deployments[name] = hold_deployment(deployments[name], live)
    workers = hold_back(workers, rollout.held, observed.children)
    return build_children(feed_source, workers, observed.defaults, deployments), rollout


def _note(
    feed_source: FeedSource, observed: Observed, status: FeedSourceStatus, now: datetime
) -> tuple[Note, ...]:
    lease_reason = find_active(feed_source, observed, now).reason
    return note_feed_turns(feed_source.status, status, lease_reason)


def _pause(feed_source: FeedSource, rollout: Rollout, observed: Observed) -> float:
    # Where the passing of time alone decides something, it is looked at more often; and a
    # ServiceAccount that is about to be made again makes its Pod one to renew.
    cold = feed_source.spec.failover.mode is FailoverMode.COLD
    namespace = feed_source.metadata.namespace
    accounts = (Ref("ServiceAccount", namespace, worker) for worker in observed.pods)
    lacks = any(account not in observed.children for account in accounts)
    return WATCHFUL_SECONDS if cold or lacks or rollout.status is not None else RESYNC_SECONDS


def _refuse(resource: Manifest, refusal: Refusal, now: datetime) -> Plan:
    before = read_status(FeedSourceStatus, resource)
    generation = int(resource["metadata"].get("generation", 0))
    after = refuse_status(before, refusal, generation, now)
    return Plan(
        status=changed_status(before, after),
        events=note_feed_turns(before, after),
        requeue_after_seconds=_wait(refusal),
    )


def _wait(refusal: Refusal) -> float:
    # Another object stands in the way; when it goes, nobody tells this one.
    return WATCHFUL_SECONDS if refusal[0] is Reason.ACCOUNT_IN_USE else RESYNC_SECONDS


def _differs(child: Manifest, children: Mapping[Ref, Manifest]) -> bool:
    live = children.get(ref_of(child))
    return live is None or find_difference(child, live) is not None


def _surplus(
    feed_source: FeedSource, wanted: frozenset[Ref], children: Mapping[Ref, Manifest]
) -> tuple[Ref, ...]:
    uid = feed_source.metadata.uid
    return tuple(
        ref
        for ref in sorted(children)
        if ref not in wanted
        and is_owned(children[ref], uid)
        and "deletionTimestamp" not in children[ref]["metadata"]
    )
