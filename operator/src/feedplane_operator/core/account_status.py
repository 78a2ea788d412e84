"""Each account of a FeedSource as its status tells it.

Must not know conditions' history.
"""

from collections.abc import Sequence
from datetime import datetime

from feedplane_api.conditions import ConditionStatus, Reason
from feedplane_api.feed_source import AccountRole, AccountStatus, FeedSource
from feedplane_operator.core.picture import AccountPicture


def state_accounts(
    feed_source: FeedSource,
    accounts: Sequence[AccountPicture],
    active: str | None,
    now: datetime,
) -> tuple[AccountStatus, ...]:
    """Return every account; one that was not asked is told as it was."""
    said = {entry.name: entry for entry in feed_source.status.accounts}
    return tuple(_state(account, said.get(account.name), active, now) for account in accounts)


def is_starting(account: AccountPicture) -> bool:
    """Return whether an account is on its way, so that nothing can be said against it."""
    return account.trouble is not None and account.trouble[0] is Reason.STARTING


def _state(
    account: AccountPicture, before: AccountStatus | None, active: str | None, now: datetime
) -> AccountStatus:
    role = _role(account, active)
    if account.unasked and account.running and before is not None:
        return before.model_copy(update={"role": role})
    healthy, reason = _judge(account)
    since = None
    if healthy is ConditionStatus.FALSE:
        known = before.failing_since_time if before is not None else None
        since = known or now.replace(microsecond=0)
    return AccountStatus(
        name=account.name,
        role=role,
        session=account.session,
        healthy=healthy,
        reason=reason.value,
        instruments=sum(len(report.last_event_milliseconds) for report in account.reports),
        failing_since_time=since,
    )


def _role(account: AccountPicture, active: str | None) -> AccountRole:
    if account.name == active:
        return AccountRole.ACTIVE
    if account.why is Reason.MAINTENANCE:
        return AccountRole.MAINTENANCE
    return AccountRole.STANDBY if account.running else AccountRole.STOPPED


def _judge(account: AccountPicture) -> tuple[ConditionStatus, Reason]:
    if not account.running:
        return ConditionStatus.UNKNOWN, account.why or Reason.STOPPED
    verdict = account.verdict
    if verdict is not None and verdict[0] is not Reason.STARTING:
        return ConditionStatus.FALSE, verdict[0]
    if account.why is not None:
        # Why it runs is worth more than that it does.
        known = verdict is None and not account.unasked
        return ConditionStatus.TRUE if known else ConditionStatus.UNKNOWN, account.why
    if verdict is not None:
        return ConditionStatus.UNKNOWN, verdict[0]
    if account.unasked:
        return ConditionStatus.UNKNOWN, Reason.AWAITING_OBSERVATION
    return ConditionStatus.TRUE, Reason.ACTIVE_HEALTHY
