"""The machinery of every status: verdicts to conditions, numbers coarse enough to stand still.

Must not know any one kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from feedplane_api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    find_condition,
    set_condition,
)
from feedplane_api.schema import StatusModel
from feedplane_operator.core.plan import Manifest, Note
from feedplane_operator.events import EventReason

MESSAGE_LIMIT: Final = 1_024
S = TypeVar("S", bound=StatusModel)
_SETTLED_PERCENT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of one condition."""

    status: ConditionStatus
    reason: Reason
    message: str = ""

    @property
    def holds(self) -> bool:
        """Whether the condition is true for certain."""
        return self.status is ConditionStatus.TRUE


Verdicts = Mapping[ConditionType, Verdict | None]
"""None leaves a condition as it was: what is not known must never look like a change."""


def yes(reason: Reason, message: str = "") -> Verdict:
    """Return the verdict that a condition holds."""
    return Verdict(status=ConditionStatus.TRUE, reason=reason, message=message)


def no(reason: Reason, message: str = "") -> Verdict:
    """Return the verdict that a condition does not hold."""
    return Verdict(status=ConditionStatus.FALSE, reason=reason, message=message)


UNKNOWN: Final = Verdict(status=ConditionStatus.UNKNOWN, reason=Reason.AWAITING_OBSERVATION)


def write_conditions(
    before: tuple[Condition, ...], verdicts: Verdicts, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions with the verdicts in them; one never said before begins as Unknown."""
    after = before
    for kind, verdict in verdicts.items():
        said = verdict or (UNKNOWN if find_condition(before, kind) is None else None)
        if said is not None:
            after = set_condition(
                after,
                kind,
                said.status,
                said.reason,
                message=said.message[:MESSAGE_LIMIT],
                generation=generation,
                now=now,
            )
    return after


def read_status(model: type[S], resource: Manifest) -> S:
    """Return the status in the cluster; one that cannot be read counts as none."""
    try:
        return model.model_validate(resource.get("status") or {})
    except ValidationError:
        return model()


def changed_status(before: StatusModel, after: StatusModel) -> Manifest | None:
    """Return the status to write, or None when the cluster says the same already."""
    written = dump_status(after)
    return None if written == dump_status(before) else written


def dump_status(status: StatusModel) -> dict[str, Any]:
    """Return a status as it is written."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def settle(before: int | None, value: int | None) -> int | None:
    """Return a number to two digits, and the one from before while the change is a small one."""
    if value is None:
        return None
    if before is not None and abs(value - before) * 100 <= before * _SETTLED_PERCENT:
        return before
    scale: int = 10 ** max(0, len(str(value)) - 2)
    return value // scale * scale


Turn = tuple[ConditionType, ConditionStatus, EventReason]
"""A condition that turns to a status, and the event that says so."""


def note_turns(
    before: tuple[Condition, ...],
    after: tuple[Condition, ...],
    turns: tuple[Turn, ...],
    *,
    silent_first: frozenset[EventReason] = frozenset(),
) -> tuple[Note, ...]:
    """Return an event for each condition that turned.

    `silent_first` are turns that say nothing when they are the first word on a condition.
    """
    notes = []
    for kind, status, reason in turns:
        was, now = find_condition(before, kind), find_condition(after, kind)
        if now is None or now.status != status or (was is not None and was.status == status):
            continue
        first = was is None or was.status is ConditionStatus.UNKNOWN
        if not (first and reason in silent_first):
            warning = reason in _WARNINGS
            notes.append(Note(reason=reason, message=now.message, warning=warning))
    return tuple(notes)


_WARNINGS = frozenset(
    {
        EventReason.SPEC_REFUSED,
        EventReason.BECAME_UNREADY,
        EventReason.STREAMING_LOST,
        EventReason.REDUNDANCY_LOST,
        EventReason.DEGRADED,
        EventReason.COVERAGE_LOST,
        EventReason.GAPS_OPENED,
        EventReason.BACKFILL_FAILED,
    }
)
