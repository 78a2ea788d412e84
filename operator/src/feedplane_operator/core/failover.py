"""The record of who publishes: each change of hands written down once, and never taken back.

A restarted operator, a Lease listed late or one made anew must not make an old decision look like
a new one. Must not know conditions.
"""

from collections.abc import Sequence
from typing import Final

from feedplane_api.feed_source import FailoverStatus, FeedSourceStatus
from feedplane_api.worker import FeederStatus
from feedplane_operator.core.picture import Active
from feedplane_operator.core.plan import Note
from feedplane_operator.events import EventReason

FAILBACK_REASONS: Final = frozenset({"Failback"})
"""Reasons on a Lease that say that a more preferred account took its place back."""
HANDED_OVER_REASONS: Final = frozenset({"Maintenance", "SwitchoverRequested", "Shutdown"})
"""Reasons that say that the account before let go in good order, nothing being wrong with it."""
_CALM = FAILBACK_REASONS | HANDED_OVER_REASONS


def record_failover(
    before: FeedSourceStatus, active: Active, reports: Sequence[FeederStatus]
) -> FailoverStatus:
    """Return the record; `reports` are those of the account that publishes."""
    was = before.failover or FailoverStatus(epoch=active.epoch)
    if active.account is None:
        return was
    since = active.since.replace(microsecond=0) if active.since else None
    if not _is_news(was, active):
        return _with_duration(was, reports)
    moved = was.active is not None and was.active != active.account
    record = FailoverStatus(
        epoch=max(was.epoch, active.epoch),
        active=active.account,
        since_time=since,
        reason=active.reason,
        count=was.count + moved,
        last_duration_milliseconds=None if moved else was.last_duration_milliseconds,
    )
    return record if moved else _with_duration(record, reports)


def note_failover(
    before: FeedSourceStatus, after: FeedSourceStatus, reason: str
) -> tuple[Note, ...]:
    """Return the events that a change of the record is worth.

    `reason` is what the Lease says now: why it was taken, or why it was let go.
    """
    was, record = before.failover, after.failover
    if was is None or record is None or was.active is None:
        return ()
    if after.active_account is None:
        lost = before.active_account is not None and len(after.accounts) > 1
        return () if not lost or reason in _CALM else (_started(was.active, reason),)
    if record.active is None or record.active == was.active:
        return ()
    said = f"account {record.active} publishes instead of {was.active}: {record.reason or 'Taken'}"
    if record.reason in FAILBACK_REASONS:
        return (Note(reason=EventReason.FAILBACK_COMPLETED, message=said),)
    if record.reason in HANDED_OVER_REASONS:
        return (Note(reason=EventReason.SWITCHOVER_COMPLETED, message=said),)
    completed = Note(reason=EventReason.FAILOVER_COMPLETED, message=said)
    # Where the account was seen to let go, the beginning was told then.
    told = before.active_account is None
    return (completed,) if told else (_started(was.active, record.reason), completed)


def _started(account: str, reason: str) -> Note:
    said = f"account {account} no longer publishes: {reason or 'its Lease expired'}"
    return Note(reason=EventReason.FAILOVER_STARTED, message=said, warning=True)


def _is_news(was: FailoverStatus, active: Active) -> bool:
    if was.active is None or active.epoch > was.epoch:
        return True
    # A Lease that was made anew counts from the start, but was taken later.
    since = active.since.replace(microsecond=0) if active.since else None
    return since is not None and was.since_time is not None and since > was.since_time


def _with_duration(record: FailoverStatus, reports: Sequence[FeederStatus]) -> FailoverStatus:
    # Measured by the feeder some time after it took over, and written down once.
    if record.count == 0 or record.last_duration_milliseconds is not None:
        return record
    measured = [report.election.last_failover_milliseconds for report in reports]
    known = [duration for duration in measured if duration is not None]
    if not known:
        return record
    return record.model_copy(update={"last_duration_milliseconds": max(known)})
