"""A FeedSource's status: conditions and figures from what was observed.

Must not know how children are made.
"""

from collections.abc import Sequence
from datetime import datetime

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason
from feedplane_api.feed_source import (
    AccountStatus,
    FailoverStatus,
    FeedCoverage,
    FeedSource,
    FeedSourceStatus,
    FeedState,
)
from feedplane_operator.core.checks import Refusal
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.picture import AccountPicture, Active, find_active, picture_accounts
from feedplane_operator.core.plan import Note
from feedplane_operator.core.status import (
    Turn,
    Verdict,
    Verdicts,
    no,
    note_turns,
    settle,
    write_conditions,
    yes,
)
from feedplane_operator.core.workers import Should
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


def note_feed_turns(before: FeedSourceStatus, after: FeedSourceStatus) -> tuple[Note, ...]:
    """Return the events that a change of status is worth."""
    notes = note_turns(before.conditions, after.conditions, TURNS, silent_first=_SILENT_FIRST)
    was, now = before.active_account, after.active_account
    if was and now and was != now:
        message = f"account {now} publishes instead of {was}"
        notes += (Note(reason=EventReason.ACTIVE_CHANGED, message=message),)
    return notes


def refuse_status(
    before: FeedSourceStatus, refusal: Refusal, generation: int, now: datetime
) -> FeedSourceStatus:
    """Return the status of a FeedSource that cannot be used: all else stays as it was said."""
    reason, message = refusal
    verdicts: dict[ConditionType, Verdict | None] = dict.fromkeys(_ALL)
    verdicts[ConditionType.ACCEPTED] = no(reason, message)
    if not before.conditions:
        verdicts[ConditionType.READY] = no(Reason.NOT_ACCEPTED)
    conditions = write_conditions(before.conditions, verdicts, generation, now)
    return before.model_copy(update={"conditions": conditions, "observed_generation": generation})


def observe_status(
    feed_source: FeedSource,
    observed: Observed,
    should: Should,
    refusal: Refusal | None,
    now: datetime,
) -> FeedSourceStatus:
    """Return the status of a FeedSource whose children are as they should be.

    `refusal` is what Pods found wrong with the spec, if anything.
    """
    before = feed_source.status
    generation = feed_source.metadata.generation
    active = find_active(feed_source, observed, now)
    accounts = picture_accounts(feed_source, observed, should.shard_numbers, now)
    leading = next((entry for entry in accounts if entry.name == active.account), accounts[0])
    coverage = _coverage(before, should, leading)
    verdicts = _judge(feed_source, active, accounts, leading, coverage)
    verdicts[ConditionType.ACCEPTED] = no(*refusal) if refusal else yes(Reason.VALID)
    streams = leading.streams and bool(leading.reports)
    return FeedSourceStatus(
        observed_generation=generation,
        conditions=write_conditions(before.conditions, verdicts, generation, now),
        active_account=active.account,
        accounts=_account_statuses(before, accounts),
        failover=_failover(before, active),
        coverage=coverage,
        events_per_second=_rate(before, leading) if streams else None,
        lag_milliseconds=_lag(before, leading) if streams else None,
    )


_ALL = (
    ConditionType.ACCEPTED,
    ConditionType.READY,
    ConditionType.STREAMING,
    ConditionType.REDUNDANT,
    ConditionType.DEGRADED,
    ConditionType.PAUSED,
)


def _judge(
    feed_source: FeedSource,
    active: Active,
    accounts: Sequence[AccountPicture],
    leading: AccountPicture,
    coverage: FeedCoverage,
) -> dict[ConditionType, Verdict | None]:
    if feed_source.spec.state is FeedState.PAUSED:
        paused = no(Reason.PAUSED_BY_SPEC)
        stopped = (ConditionType.READY, ConditionType.STREAMING, ConditionType.REDUNDANT)
        return {
            **dict.fromkeys(stopped, paused),
            ConditionType.DEGRADED: paused,
            ConditionType.PAUSED: yes(Reason.PAUSED_BY_SPEC),
        }
    low = coverage.wanted > 0 and coverage.percent < _minimum(feed_source)
    streaming = _judge_streaming(active, leading, coverage)
    sink = _sink_trouble(leading)
    verdicts: Verdicts = {
        ConditionType.PAUSED: no(Reason.NOT_PAUSED),
        ConditionType.STREAMING: streaming,
        ConditionType.REDUNDANT: _judge_redundant(accounts, leading),
        ConditionType.DEGRADED: _judge_degraded(accounts, sink, coverage, low=low),
        ConditionType.READY: _judge_ready(streaming, sink, coverage, leading, low=low),
    }
    return dict(verdicts)


def _judge_streaming(
    active: Active, leading: AccountPicture, coverage: FeedCoverage
) -> Verdict | None:
    if leading.trouble is not None:
        return no(*leading.trouble)
    if leading.unasked:
        return None
    if coverage.wanted == 0:
        return no(Reason.NOTHING_WANTED)
    if active.account is None:
        return no(Reason.NO_ACTIVE_ACCOUNT)
    return yes(Reason.ACTIVE_HEALTHY, f"account {leading.name} is healthy and delivers data")


def _judge_redundant(accounts: Sequence[AccountPicture], leading: AccountPicture) -> Verdict | None:
    if len(accounts) == 1:
        return no(Reason.SINGLE_ACCOUNT)
    standbys = [account for account in accounts if account is not leading]
    ready = [account.name for account in standbys if account.streams]
    if ready:
        return yes(Reason.STANDBY_READY, f"account {ready[0]} is healthy and could take over")
    if any(account.unasked for account in standbys):
        return None
    told = next((account.trouble[1] for account in standbys if account.trouble), "")
    return no(Reason.STANDBY_NOT_READY, told or "the standbys are stopped in mode Cold")


def _judge_degraded(
    accounts: Sequence[AccountPicture],
    sink: str | None,
    coverage: FeedCoverage,
    *,
    low: bool,
) -> Verdict | None:
    running = [account for account in accounts if account.running]
    if any(account.unasked or _starts(account) for account in running):
        return None
    sick = [account.trouble[1] for account in running if account.trouble is not None]
    if len(sick) == len(running):
        return yes(Reason.NO_ACCOUNT_HEALTHY, sick[0])
    if sink is not None:
        return yes(Reason.SINK_UNAVAILABLE, sink)
    if low:
        return yes(Reason.COVERAGE_LOW, _covered(coverage))
    return no(Reason.NOT_DEGRADED)


def _starts(account: AccountPicture) -> bool:
    return account.trouble is not None and account.trouble[0] is Reason.STARTING


def _judge_ready(
    streaming: Verdict | None,
    sink: str | None,
    coverage: FeedCoverage,
    leading: AccountPicture,
    *,
    low: bool,
) -> Verdict | None:
    if streaming is None:
        return None
    if streaming.reason is Reason.NOTHING_WANTED:
        return yes(Reason.NOTHING_WANTED)
    if not streaming.holds:
        return streaming
    if sink is not None:
        return no(Reason.SINK_UNAVAILABLE, sink)
    if low:
        return no(Reason.COVERAGE_LOW, _covered(coverage))
    return yes(Reason.ALL_LIVE, f"account {leading.name} publishes; {_covered(coverage)}")


def _covered(coverage: FeedCoverage) -> str:
    return f"{coverage.live} of {coverage.wanted} channels are live"


def _minimum(feed_source: FeedSource) -> int:
    return feed_source.spec.failover.minimum_coverage_percent


def _sink_trouble(leading: AccountPicture) -> str | None:
    for report in leading.reports:
        for sink in report.sinks:
            if not sink.connected:
                return f"sink {sink.name}: {sink.last_error or 'not connected'}"
    return None


def _coverage(before: FeedSourceStatus, should: Should, leading: AccountPicture) -> FeedCoverage:
    wanted = should.pairs
    if leading.unasked and before.coverage is not None:
        live = before.coverage.live
    else:
        live = sum(report.coverage.live for report in leading.reports)
    live = min(live, wanted)
    return FeedCoverage(wanted=wanted, live=live, percent=live * 100 // wanted if wanted else 0)


def _account_statuses(
    before: FeedSourceStatus, accounts: Sequence[AccountPicture]
) -> tuple[AccountStatus, ...]:
    said = {entry.name: entry for entry in before.accounts}
    return tuple(
        said[account.name] if account.unasked and account.name in said else _status_of(account)
        for account in accounts
    )


def _status_of(account: AccountPicture) -> AccountStatus:
    healthy, reason = ConditionStatus.TRUE, Reason.ACTIVE_HEALTHY.value
    if not account.running:
        healthy, reason = ConditionStatus.UNKNOWN, "Stopped"
    elif account.trouble is not None:
        healthy = ConditionStatus.UNKNOWN if _starts(account) else ConditionStatus.FALSE
        reason = account.trouble[0].value
    elif account.unasked:
        healthy, reason = ConditionStatus.UNKNOWN, Reason.AWAITING_OBSERVATION.value
    return AccountStatus(
        name=account.name,
        session=account.session,
        healthy=healthy,
        reason=reason,
        instruments=_instruments(account),
    )


def _instruments(account: AccountPicture) -> int:
    return sum(len(report.last_event_milliseconds) for report in account.reports)


def _failover(before: FeedSourceStatus, active: Active) -> FailoverStatus:
    was = before.failover or FailoverStatus()
    if active.account is None:
        return was.model_copy(update={"active": None, "epoch": active.epoch})
    known = before.active_account or was.active
    moved = known is not None and known != active.account
    return FailoverStatus(
        epoch=active.epoch,
        active=active.account,
        since_time=active.since.replace(microsecond=0) if active.since else None,
        reason=active.reason,
        count=was.count + moved,
        last_duration_milliseconds=was.last_duration_milliseconds,
    )


def _rate(before: FeedSourceStatus, leading: AccountPicture) -> int | None:
    value = sum(report.events_per_second for report in leading.reports)
    return settle(before.events_per_second, value)


def _lag(before: FeedSourceStatus, leading: AccountPicture) -> int | None:
    lags = [report.lag_milliseconds for report in leading.reports]
    return settle(before.lag_milliseconds, max((lag for lag in lags if lag), default=0))
