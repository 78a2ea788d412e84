"""FeedSource: from the spec and what stands around it to a Plan.

Level-based: it never asks what changed, only what is and what should be.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, FeedSourceStatus, FeedState
from feedplane_operator.core.checks import (
    Refusal,
    check_feed_source,
    check_names,
    check_pods,
    is_owned,
)
from feedplane_operator.core.children.all import build_children
from feedplane_operator.core.diff import find_difference
from feedplane_operator.core.feed_status import note_feed_turns, observe_status, refuse_status
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.core.status import changed_status, read_status
from feedplane_operator.core.workers import plan_should, plan_workers

RESYNC_SECONDS: Final = 300.0
"""Everything is looked at again this often, should an event ever be missed."""


def reconcile_feed_source(resource: Manifest, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for a FeedSource; a second look finds nothing to do.

    A spec that cannot be used leaves the children as they are.
    """
    try:
        feed_source = FeedSource.parse(resource)
    except InvalidSpecError as error:
        return _refuse(resource, (Reason.INVALID_SPEC, str(error)), now)
    refusal = check_feed_source(feed_source, observed)
    if refusal is not None:
        return _hold(feed_source, resource, refusal, observed, now)
    should = plan_should(feed_source, observed)
    workers = plan_workers(feed_source, should)
    desired = build_children(feed_source, workers, observed.defaults)
    wanted = tuple(ref_of(child) for child in desired)
    taken = check_names(feed_source, wanted, observed)
    if taken is not None:
        return _hold(feed_source, resource, taken, observed, now)
    status = observe_status(feed_source, observed, should, check_pods(observed), now)
    return Plan(
        apply=tuple(child for child in desired if _differs(child, observed.children)),
        delete=_surplus(feed_source, frozenset(wanted), observed.children),
        status=changed_status(feed_source.status, status),
        events=note_feed_turns(feed_source.status, status),
        requeue_after_seconds=RESYNC_SECONDS,
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
    status = observe_status(running, observed, plan_should(running, observed), refusal, now)
    return Plan(
        status=changed_status(feed_source.status, status),
        events=note_feed_turns(feed_source.status, status),
        requeue_after_seconds=RESYNC_SECONDS,
    )


def _refuse(resource: Manifest, refusal: Refusal, now: datetime) -> Plan:
    before = read_status(FeedSourceStatus, resource)
    generation = int(resource["metadata"].get("generation", 0))
    after = refuse_status(before, refusal, generation, now)
    return Plan(
        status=changed_status(before, after),
        events=note_feed_turns(before, after),
        requeue_after_seconds=RESYNC_SECONDS,
    )


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
