"""Backfill: checked and stored; the Jobs that run it come with a later release, and it says so."""

from datetime import datetime

from feedplane_api.backfill import Backfill, BackfillStatus
from feedplane_api.conditions import ConditionStatus, ConditionType, Reason
from feedplane_api.errors import InvalidSpecError
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Plan
from feedplane_operator.core.status import (
    Turn,
    Verdict,
    changed_status,
    no,
    note_turns,
    read_status,
    write_conditions,
    yes,
)
from feedplane_operator.events import EventReason

_TURNS: tuple[Turn, ...] = (
    (ConditionType.ACCEPTED, ConditionStatus.TRUE, EventReason.SPEC_ACCEPTED),
    (ConditionType.ACCEPTED, ConditionStatus.FALSE, EventReason.SPEC_REFUSED),
)
_SILENT_FIRST = frozenset({EventReason.SPEC_ACCEPTED})


def reconcile_backfill(resource: Manifest, observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for a Backfill: its status and events."""
    before = read_status(BackfillStatus, resource)
    generation = int(resource["metadata"].get("generation", 0))
    refusal = _check(resource, observed)
    accepted = yes(Reason.VALID) if refusal is None else no(*refusal)
    running = no(Reason.AWAITING_SUPPORT if refusal is None else Reason.NOT_ACCEPTED)
    verdicts: dict[ConditionType, Verdict | None] = {
        ConditionType.ACCEPTED: accepted,
        ConditionType.RUNNING: running,
        ConditionType.SUCCEEDED: no(Reason.NOT_FINISHED),
        ConditionType.FAILED: no(Reason.NOT_FAILED),
    }
    conditions = write_conditions(before.conditions, verdicts, generation, now)
    after = before.model_copy(update={"conditions": conditions, "observed_generation": generation})
    return Plan(
        status=changed_status(before, after),
        events=note_turns(before.conditions, after.conditions, _TURNS, silent_first=_SILENT_FIRST),
    )


def _check(resource: Manifest, observed: Observed) -> tuple[Reason, str] | None:
    try:
        backfill = Backfill.parse(resource)
    except InvalidSpecError as error:
        return Reason.INVALID_SPEC, str(error)
    name = backfill.spec.feed_source_ref.name
    if observed.feed_source is None:
        return Reason.FEED_SOURCE_NOT_FOUND, f"spec.feedSourceRef.name: no FeedSource {name}"
    subscription = backfill.spec.subscription_ref
    if subscription is not None and subscription.name not in observed.subscription_names:
        path = "spec.subscriptionRef.name"
        return Reason.SUBSCRIPTION_NOT_FOUND, f"{path}: no Subscription {subscription.name}"
    return None
