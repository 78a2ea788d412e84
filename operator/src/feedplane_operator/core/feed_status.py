"""A FeedSource's status: conditions and figures from what was observed.

Must not know how children are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from feedplane_api.conditions import ConditionType, Reason
from feedplane_api.feed_source import FeedCoverage, FeedSource, FeedSourceStatus, FeedState
from feedplane_operator.core.account_status import is_starting, state_accounts
from feedplane_operator.core.checks import Refusal
from feedplane_operator.core.failover import record_failover
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.picture import AccountPicture, Active, find_active
from feedplane_operator.core.rollout import Rollout
from feedplane_operator.core.status import Verdict, Verdicts, no, settle, write_conditions, yes
from feedplane_operator.core.workers import Should

NO_ROLLOUT: Final = Rollout()


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
    accounts: Sequence[AccountPicture],
    now: datetime,
    *,
    refusal: Refusal | None = None,
    rollout: Rollout = NO_ROLLOUT,
) -> FeedSourceStatus:
    """Return the status of a FeedSource whose children are as they should be.

    `refusal` is what Pods found wrong with the spec, if anything.
    """
    before = feed_source.status
    generation = feed_source.metadata.generation
    active = find_active(feed_source, observed, now)
    leading = next((entry for entry in accounts if entry.name == active.account), accounts[0])
    coverage = _coverage(before, should, leading)
    conflicts = sorted(observed.conflicts)
    sight = _Sight(active, accounts, leading, coverage, rollout, conflicts)
    verdicts = _judge(feed_source, sight)
    verdicts[ConditionType.ACCEPTED] = no(*refusal) if refusal else yes(Reason.VALID)
    streams = leading.streams and bool(leading.reports)
    publishing = [account for account in accounts if account.name == active.account]
    reports = publishing[0].reports if publishing else ()
    return FeedSourceStatus(
        observed_generation=generation,
        conditions=write_conditions(before.conditions, verdicts, generation, now),
        active_account=active.account,
        accounts=state_accounts(feed_source, accounts, active.account, now),
        failover=record_failover(before, active, reports),
        rollout=rollout.status,
        coverage=coverage,
        events_per_second=_rate(before, leading) if streams else None,
        lag_milliseconds=_lag(before, leading) if streams else None,
    )


@dataclass(frozen=True, slots=True)
class _Sight:
    # All that the conditions are judged by.
    active: Active
    accounts: Sequence[AccountPicture]
    leading: AccountPicture
    coverage: FeedCoverage
    rollout: Rollout
    conflicts: Sequence[int]

    def is_low(self, feed_source: FeedSource) -> bool:
        least = feed_source.spec.failover.minimum_coverage_percent
        if self.leading.rests:
            return False
        return self.coverage.wanted > 0 and self.coverage.percent < least


_ALL = (
    ConditionType.ACCEPTED,
    ConditionType.READY,
    ConditionType.STREAMING,
    ConditionType.REDUNDANT,
    ConditionType.DEGRADED,
    ConditionType.PAUSED,
)


def _judge(feed_source: FeedSource, sight: _Sight) -> dict[ConditionType, Verdict | None]:
    if feed_source.spec.state is FeedState.PAUSED:
        paused = no(Reason.PAUSED_BY_SPEC)
        stopped = (ConditionType.READY, ConditionType.STREAMING, ConditionType.REDUNDANT)
        return {
            **dict.fromkeys(stopped, paused),
            ConditionType.DEGRADED: paused,
            ConditionType.PAUSED: yes(Reason.PAUSED_BY_SPEC),
        }
    low = sight.is_low(feed_source)
    streaming = _judge_streaming(sight.active, sight.leading, sight.coverage)
    sink = _sink_trouble(sight.leading)
    verdicts: Verdicts = {
        ConditionType.PAUSED: no(Reason.NOT_PAUSED),
        ConditionType.STREAMING: streaming,
        ConditionType.REDUNDANT: _judge_redundant(sight),
        ConditionType.DEGRADED: _judge_degraded(sight, sink, low=low),
        ConditionType.READY: _judge_ready(streaming, sink, sight.coverage, sight.leading, low=low),
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
    if leading.rests:
        return yes(Reason.MARKET_CLOSED)
    return yes(Reason.ACTIVE_HEALTHY, f"account {leading.name} is healthy and delivers data")


def _judge_redundant(sight: _Sight) -> Verdict | None:
    if len(sight.accounts) == 1:
        return no(Reason.SINGLE_ACCOUNT)
    standbys = [account for account in sight.accounts if account is not sight.leading]
    serving = [account for account in standbys if account.why is not Reason.MAINTENANCE]
    ready = [account.name for account in serving if account.streams]
    if ready:
        return yes(Reason.STANDBY_READY, f"account {ready[0]} is healthy and could take over")
    if any(account.running and account.unasked for account in serving):
        return None
    if sight.rollout.status is not None and not sight.rollout.stuck:
        return no(Reason.ROLLING_OUT)
    told = next((_why_not(account) for account in (*serving, *standbys)), "")
    return no(Reason.STANDBY_NOT_READY, told)


def _why_not(account: AccountPicture) -> str:
    if account.running and account.trouble is not None:
        return account.trouble[1]
    why = account.why or Reason.STARTING
    return f"account {account.name}: {why.sentence}"


def _judge_degraded(sight: _Sight, sink: str | None, *, low: bool) -> Verdict | None:
    running = [account for account in sight.accounts if account.running]
    if any(account.unasked or is_starting(account) for account in running):
        return None
    sick = [account.trouble[1] for account in running if account.trouble is not None]
    if len(sick) == len(running):
        return yes(Reason.NO_ACCOUNT_HEALTHY, sick[0] if sick else "no account may run")
    shards = ", ".join(str(shard) for shard in sight.conflicts)
    faults = (
        (Reason.LEASE_CONFLICT, f"two accounts publish shard {shards}" if shards else ""),
        (Reason.SINK_UNAVAILABLE, sink),
        (Reason.COVERAGE_LOW, _covered(sight.coverage) if low else ""),
        (Reason.ROLLOUT_STUCK, sight.rollout.stuck),
    )
    found = next(((reason, said) for reason, said in faults if said), None)
    return yes(*found) if found is not None else no(Reason.NOT_DEGRADED)


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
    live = yes(Reason.ALL_LIVE, f"account {leading.name} publishes; {_covered(coverage)}")
    return streaming if streaming.reason is Reason.MARKET_CLOSED else live


def _covered(coverage: FeedCoverage) -> str:
    return f"{coverage.live} of {coverage.wanted} channels are live"


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


def _rate(before: FeedSourceStatus, leading: AccountPicture) -> int | None:
    value = sum(report.events_per_second for report in leading.reports)
    return settle(before.events_per_second, value)


def _lag(before: FeedSourceStatus, leading: AccountPicture) -> int | None:
    lags = [report.lag_milliseconds for report in leading.reports]
    return settle(before.lag_milliseconds, max((lag for lag in lags if lag), default=0))
