"""The events that a change of a FeedSource's status is worth.

Status against status, so that an operator that starts anew repeats nothing. Must not know how
either came about.
"""

from collections.abc import Iterator

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from feedplane_api.feed_source import FeedSourceStatus
from feedplane_operator.core.failover import note_failover
from feedplane_operator.core.plan import Note
from feedplane_operator.core.rollout import PLANNED_RESTART
from feedplane_operator.core.status import Turn, note_turns
from feedplane_operator.events import EventReason

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE

TURNS: tuple[Turn, ...] = (
    (ConditionType.ACCEPTED, TRUE, EventReason.SPEC_ACCEPTED),
    (ConditionType.ACCEPTED, FALSE, EventReason.SPEC_REFUSED),
    (ConditionType.PAUSED, TRUE, EventReason.PAUSED),
    (ConditionType.PAUSED, FALSE, EventReason.RESUMED),
    (ConditionType.STREAMING, TRUE, EventReason.STREAMING_STARTED),
    (ConditionType.STREAMING, FALSE, EventReason.STREAMING_LOST),
    (ConditionType.REDUNDANT, FALSE, EventReason.REDUNDANCY_LOST),
    (ConditionType.DEGRADED, TRUE, EventReason.DEGRADED),
    (ConditionType.DEGRADED, FALSE, EventReason.RECOVERED),
    (ConditionType.READY, TRUE, EventReason.BECAME_READY),
    (ConditionType.READY, FALSE, EventReason.BECAME_UNREADY),
)
# A feed that starts is accepted, and not yet streaming, ready or redundant; that is no news.
_SILENT_FIRST = frozenset(
    {
        EventReason.SPEC_ACCEPTED,
        EventReason.RESUMED,
        EventReason.RECOVERED,
        EventReason.STREAMING_LOST,
        EventReason.REDUNDANCY_LOST,
        EventReason.BECAME_UNREADY,
    }
)


def note_feed_turns(
    before: FeedSourceStatus, after: FeedSourceStatus, lease_reason: str = ""
) -> tuple[Note, ...]:
    """Return the events that a change of status is worth.

    What a planned restart brings about is no alarm. `lease_reason` is what the publisher Lease
    says: why it was taken or let go.
    """
    turned = note_turns(before.conditions, after.conditions, TURNS, silent_first=_SILENT_FIRST)
    paused = find_condition(after.conditions, ConditionType.PAUSED)
    stopped = paused is not None and paused.status is TRUE
    notes = (
        *turned,
        *(() if stopped else note_failover(before, after, lease_reason)),
        *_note_accounts(before, after),
        *_note_degraded(before, after),
        *_note_rollout(before, after),
    )
    rolling = _told(after, ConditionType.REDUNDANT) == Reason.ROLLING_OUT
    planned = after.rollout is not None and after.rollout.reason == PLANNED_RESTART
    return tuple(
        note
        for note in notes
        if not (planned and note.warning and note.reason is not EventReason.ROLLOUT_STUCK)
        and not (rolling and note.reason is EventReason.REDUNDANCY_LOST)
    )


def _note_accounts(before: FeedSourceStatus, after: FeedSourceStatus) -> Iterator[Note]:
    said = {entry.name: entry for entry in before.accounts}
    for account in after.accounts:
        was = said.get(account.name)
        failed_by = was.reason if was is not None and was.healthy is FALSE else ""
        banned = account.reason == Reason.ACCOUNT_BANNED
        news = not failed_by or (banned and failed_by != account.reason)
        if account.healthy is FALSE and news:
            reason = EventReason.ACCOUNT_BANNED if banned else EventReason.ACCOUNT_UNHEALTHY
            message = f"account {account.name}: {account.reason}"
            yield Note(reason=reason, message=message, warning=True)
        elif account.healthy is TRUE and failed_by:
            message = f"account {account.name} is healthy again"
            yield Note(reason=EventReason.ACCOUNT_RECOVERED, message=message)


def _note_degraded(before: FeedSourceStatus, after: FeedSourceStatus) -> Iterator[Note]:
    # The one reason to be degraded gives way to another without a turn of the condition.
    for reason, event in (
        (Reason.LEASE_CONFLICT, EventReason.LEASE_CONFLICT),
        (Reason.ROLLOUT_STUCK, EventReason.ROLLOUT_STUCK),
    ):
        entry = find_condition(after.conditions, ConditionType.DEGRADED)
        told = _told(before, ConditionType.DEGRADED) == reason
        if entry is not None and entry.reason == reason and not told:
            yield Note(reason=event, message=entry.message, warning=True)


def _note_rollout(before: FeedSourceStatus, after: FeedSourceStatus) -> Iterator[Note]:
    was, now = before.rollout, after.rollout
    if now is not None and (was is None or was.revision != now.revision):
        message = f"{now.feeders} feeders are to be replaced, standby first: {now.reason}"
        yield Note(reason=EventReason.ROLLOUT_STARTED, message=message)
    elif was is not None and now is None:
        message = f"all {was.feeders} feeders are replaced"
        yield Note(reason=EventReason.ROLLOUT_COMPLETED, message=message)


def _told(status: FeedSourceStatus, kind: ConditionType) -> str:
    entry = find_condition(status.conditions, kind)
    return entry.reason if entry is not None else ""
