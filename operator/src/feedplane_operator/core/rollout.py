"""Changes of feeders that need a new Pod: in order, a few at a time, the active one last.

Per shard the standbys come first, one at a time, and the active account only once another one is
healthy with the change: then its end hands the shard over. What is on its way is read from
Deployments, Pods and reports, so a restarted operator goes on where the last one was. Must not
know how a Pod is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import FeedSource, RolloutStatus
from feedplane_api.names import ANNOTATION_PLANNED_RESTART, ANNOTATION_TEMPLATE_HASH
from feedplane_api.worker import LIVE_FIELDS, config_hash
from feedplane_operator.core.diff import find_difference, hash_manifest, stamp_like
from feedplane_operator.core.observed import UNASKED, Observed
from feedplane_operator.core.picture import Trouble, find_holders, find_trouble, idles
from feedplane_operator.core.plan import Manifest, Ref, made_at
from feedplane_operator.core.workers import Worker, read_config

SPEC_CHANGED: Final = "SpecChanged"
PLANNED_RESTART: Final = "PlannedRestart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What may be replaced now, and how far it is."""

    held: frozenset[str] = frozenset()
    """Feeders that keep their Pod for now, by name."""
    replacing: int = 0
    """Feeders that are being replaced, those that are overdue not counted."""
    status: RolloutStatus | None = None
    stuck: str = ""
    """Why it does not go on, in words; empty while it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Feeder:
    worker: Worker
    outdated: bool
    healthy: bool
    settled: bool
    """Up to date, and healthy since it is."""
    hopeless: bool
    """It will not get well by itself, so that another Pod can make nothing worse."""
    active: bool


# Troubles that a process cannot get out of.
_HOPELESS = frozenset(
    {
        Reason.CREDENTIALS_REFUSED,
        Reason.FEEDER_FAILING,
        Reason.FEEDER_NOT_RUNNING,
        Reason.SECRET_NOT_FOUND,
        Reason.UNKNOWN_VENUE,
    }
)


def plan_rollout(
    feed_source: FeedSource,
    workers: Sequence[Worker],
    deployments: Mapping[str, Manifest],
    observed: Observed,
    now: datetime,
) -> Rollout:
    """Return which feeders keep their Pod for now, given the Deployments that are wanted."""
    feeders = _look(feed_source, workers, deployments, observed, now)
    before = feed_source.status.rollout
    outdated = [feeder for feeder in feeders if feeder.outdated]
    moving = [feeder for feeder in feeders if not feeder.outdated and not feeder.settled]
    overdue = _is_overdue(before, feeders, deployments, observed, now)
    if not outdated and (before is None or overdue or not moving):
        return Rollout()
    replacing = 0 if overdue or before is None else len(moving)
    chosen: list[_Feeder] = []
    for feeder in _candidates(feeders, fresh=before is None, overdue=overdue):
        if replacing + len(chosen) < max(observed.rollout_slots, 0):
            chosen.append(feeder)
    released = frozenset(feeder.worker.name for feeder in chosen)
    held = frozenset(feeder.worker.name for feeder in outdated) - released
    status = RolloutStatus(
        revision=_revision(feeders, deployments),
        reason=_reason(before, outdated, deployments, observed),
        feeders=len(feeders),
        started=len(feeders) - len(held),
        updated=sum(feeder.settled for feeder in feeders),
        since_time=now.replace(microsecond=0),
    )
    return Rollout(
        held=held,
        replacing=replacing + len(chosen),
        status=before if before is not None and _same(before, status) else status,
        stuck=_say_stuck(moving, observed) if overdue and not chosen else "",
    )


def hold_back(
    workers: Sequence[Worker], held: frozenset[str], children: Mapping[Ref, Manifest]
) -> tuple[Worker, ...]:
    """Return the feeders, those held back with what only a new process can take over as it is."""
    return tuple(
        _as_it_is(worker, children) if worker.name in held else worker for worker in workers
    )


def hold_deployment(desired: Manifest, live: Manifest) -> Manifest:
    """Return a Deployment as desired, but for the Pod it has."""
    spec = {**desired["spec"], "template": live["spec"]["template"]}
    return stamp_like({**desired, "spec": spec}, live)


def mark_restart(worker: str, namespace: str, observed: Observed) -> str:
    """Return the restart that a feeder's Pod should come from; empty for none.

    A Pod made since the moment it was due needs no other one. One that is older than its
    ServiceAccount is due too: the account it has a token of is gone, and so are its rights.
    """
    live = observed.children.get(Ref("Deployment", namespace, worker))
    template = live["spec"].get("template", {}) if live else {}
    annotations = template.get("metadata", {}).get("annotations", {})
    last: str = annotations.get(ANNOTATION_PLANNED_RESTART, "")
    pod = next((pod for pod in observed.pods.get(worker, ()) if not pod.deleting), None)
    if pod is None or pod.created is None:
        return last
    account = observed.children.get(Ref("ServiceAccount", namespace, worker))
    moments = (observed.restart_due, made_at(account) if account else None)
    due = max((moment for moment in moments if moment is not None), default=pod.created)
    return last if pod.created >= due else due.isoformat()


def _look(
    feed_source: FeedSource,
    workers: Sequence[Worker],
    deployments: Mapping[str, Manifest],
    observed: Observed,
    now: datetime,
) -> list[_Feeder]:
    holders = find_holders(feed_source, observed, {worker.shard for worker in workers}, now)
    feeders = []
    for worker in workers:
        desired = deployments[worker.name]
        live = observed.children.get(Ref("Deployment", feed_source.metadata.namespace, worker.name))
        # What has no Pod loses none.
        if not worker.running or live is None or not live["spec"].get("replicas"):
            continue
        template = desired["spec"]["template"]
        outdated = find_difference(template, live["spec"].get("template")) is not None
        holder = holders[worker.shard]
        trouble = _find_trouble(feed_source, worker, observed, holder, now)
        healthy = trouble is None and not _unheard(worker, observed)
        feeders.append(
            _Feeder(
                worker=worker,
                outdated=outdated,
                healthy=healthy,
                settled=healthy and not outdated and _is_new(worker, template, observed),
                hopeless=trouble is not None and trouble[0] in _HOPELESS,
                active=holder == worker.account.name,
            )
        )
    return feeders


def _find_trouble(
    feed_source: FeedSource, worker: Worker, observed: Observed, holder: str | None, now: datetime
) -> Trouble | None:
    view, pods = observed.feeders.get(worker.name, UNASKED), observed.pods.get(worker.name, ())
    return find_trouble(view, pods, now, idle=idles(feed_source, worker.account.name, holder))


def _unheard(worker: Worker, observed: Observed) -> bool:
    return observed.feeders.get(worker.name, UNASKED).report is None


def _is_new(worker: Worker, template: Manifest, observed: Observed) -> bool:
    # The Pod is of the template, up, and the one that answered last.
    pod = next((pod for pod in observed.pods.get(worker.name, ()) if not pod.deleting), None)
    wanted = template["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH]
    report = observed.feeders.get(worker.name, UNASKED).report
    answered = report is not None and pod is not None and report.pod in ("", pod.name)
    return answered and pod is not None and pod.ready and pod.template_hash == wanted


def _candidates(feeders: Sequence[_Feeder], *, fresh: bool, overdue: bool) -> list[_Feeder]:
    chosen = []
    for shard in sorted({feeder.worker.shard for feeder in feeders}):
        peers = [feeder for feeder in feeders if feeder.worker.shard == shard]
        hopeless = [feeder for feeder in peers if feeder.outdated and feeder.hopeless]
        following = None if hopeless else _next(peers, fresh=fresh, overdue=overdue)
        chosen += [following] if following is not None else hopeless
    return chosen


def _next(peers: Sequence[_Feeder], *, fresh: bool, overdue: bool) -> _Feeder | None:
    # The one of a shard to be replaced next, if it may be.
    outdated = [feeder for feeder in peers if feeder.outdated]
    settled = any(feeder.settled for feeder in peers)
    moving = any(not feeder.outdated and not feeder.settled for feeder in peers)
    waits = overdue or (moving and not fresh)
    # One that is healthy with the change proves it; without it none but the first may try.
    proven = settled and (overdue or not moving or fresh)
    tries = not waits and (len(outdated) > 1 or len(peers) == 1)
    if not outdated or not (proven or tries):
        return None
    # A standby that is healthy goes first, as its fate will tell the most; the active one last.
    return max(
        outdated,
        key=lambda feeder: (not feeder.active, feeder.healthy, feeder.worker.preference),
    )


def _is_overdue(
    before: RolloutStatus | None,
    feeders: Sequence[_Feeder],
    deployments: Mapping[str, Manifest],
    observed: Observed,
    now: datetime,
) -> bool:
    if before is None or before.since_time is None:
        return False
    started = sum(not feeder.outdated for feeder in feeders)
    updated = sum(feeder.settled for feeder in feeders)
    seen = (_revision(feeders, deployments), started, updated)
    moving = started > updated
    limit = timedelta(seconds=observed.defaults.rollout_deadline_seconds)
    stands = seen == (before.revision, before.started, before.updated)
    return moving and stands and now - before.since_time > limit


def _revision(feeders: Sequence[_Feeder], deployments: Mapping[str, Manifest]) -> str:
    hashes = {
        feeder.worker.name: deployments[feeder.worker.name]["spec"]["template"]["metadata"][
            "annotations"
        ][ANNOTATION_TEMPLATE_HASH]
        for feeder in feeders
    }
    return hash_manifest(hashes)


def _reason(
    before: RolloutStatus | None,
    outdated: Sequence[_Feeder],
    deployments: Mapping[str, Manifest],
    observed: Observed,
) -> str:
    if not outdated:
        return before.reason if before is not None else SPEC_CHANGED
    planned = all(_only_restarts(deployments[feeder.worker.name], observed) for feeder in outdated)
    return PLANNED_RESTART if planned else SPEC_CHANGED


def _only_restarts(desired: Manifest, observed: Observed) -> bool:
    live = observed.children[Ref("Deployment", *_place(desired))]
    template = desired["spec"]["template"]
    passed_over = (ANNOTATION_PLANNED_RESTART, ANNOTATION_TEMPLATE_HASH)
    annotations = template["metadata"]["annotations"]
    kept = {key: value for key, value in annotations.items() if key not in passed_over}
    bare = {**template, "metadata": {**template["metadata"], "annotations": kept}}
    was = live["spec"]["template"]["metadata"].get("annotations", {})
    restarts = annotations.get(ANNOTATION_PLANNED_RESTART) != was.get(ANNOTATION_PLANNED_RESTART)
    return restarts and find_difference(bare, live["spec"]["template"]) is None


def _place(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _same(before: RolloutStatus, after: RolloutStatus) -> bool:
    return before.model_copy(update={"since_time": after.since_time}) == after


def _say_stuck(moving: Sequence[_Feeder], observed: Observed) -> str:
    names = ", ".join(feeder.worker.name for feeder in moving)
    seconds = observed.defaults.rollout_deadline_seconds
    return f"{names} is not healthy {seconds} s after it was replaced; the others keep their Pods"


def _as_it_is(worker: Worker, children: Mapping[Ref, Manifest]) -> Worker:
    running = read_config(worker.name, worker.config.feed_source.namespace, children)
    if running is None:
        return worker
    live = {name: getattr(worker.config, name) for name in sorted(LIVE_FIELDS)}
    config = running.model_copy(update=live)
    return replace(worker, config=config, config_hash=config_hash(config))
