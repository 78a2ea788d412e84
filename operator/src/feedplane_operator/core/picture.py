"""What feeders, Pods and Leases add up to: who publishes, and how each account does.

Must not know conditions' history or how any of it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import FeedSource
from feedplane_api.names import publisher_lease_name, worker_name
from feedplane_api.worker import FailoverMode, FeederStatus, SessionState
from feedplane_operator.core.observed import UNASKED, FeederView, LeaseView, Observed
from feedplane_operator.core.pods import PodView, judge_pod

LEASE_SLACK: Final = timedelta(seconds=10)
"""Leases are listed every few seconds, so one looks older than it is."""

Trouble = tuple[Reason, str]

_WORST_FIRST = (
    SessionState.DISCONNECTED,
    SessionState.CONNECTING,
    SessionState.SUBSCRIBING,
    SessionState.STALE,
    SessionState.STREAMING,
)
_SESSION_REASONS = {
    SessionState.DISCONNECTED: Reason.SESSION_LOST,
    SessionState.CONNECTING: Reason.STARTING,
    SessionState.SUBSCRIBING: Reason.STARTING,
    SessionState.STALE: Reason.STREAM_STALE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """Who publishes the first shard, by its Lease."""

    account: str | None
    epoch: int
    since: datetime | None
    reason: str
    """Why it took over; where nobody publishes, why the last one let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPicture:
    """One account over all shards."""

    name: str
    running: bool = True
    """Its feeders are meant to run."""
    why: Reason | None = None
    """Why they run or do not, where it is not simply that they should."""
    holds: bool = False
    """It holds the publisher Lease of some shard."""
    unasked: bool
    """Some feeder of it was not asked yet, so nothing may be concluded."""
    reports: tuple[FeederStatus, ...]
    trouble: Trouble | None
    """Why it does not stream, or None."""
    verdict: Trouble | None = None
    """Why it is not healthy, by its feeders' own verdict where they give one, or None."""

    @property
    def session(self) -> SessionState:
        """The worst session of its feeders."""
        sessions = [report.session for report in self.reports]
        return min(sessions, key=_WORST_FIRST.index, default=SessionState.DISCONNECTED)

    @property
    def rests(self) -> bool:
        """Whether each of its feeders waits for its market to open."""
        return bool(self.reports) and all(_rests(report) for report in self.reports)

    @property
    def streams(self) -> bool:
        """Whether each of its feeders delivers."""
        return self.running and not self.unasked and self.trouble is None


def find_active(feed_source: FeedSource, observed: Observed, now: datetime) -> Active:
    """Return who holds the publisher Lease, expired ones not counted.

    The epoch adds up those of all shards: each change of hands anywhere makes it larger.
    """
    name = feed_source.metadata.name
    leases = observed.leases
    first = leases.get(publisher_lease_name(name, 0)) or next(
        (leases[lease_name] for lease_name in sorted(leases)), LeaseView()
    )
    held = _is_held(first, now)
    return Active(
        account=first.account if held else None,
        epoch=sum(lease.epoch for lease in leases.values()),
        since=first.acquire_time if held else None,
        reason=first.reason,
    )


def picture_accounts(
    feed_source: FeedSource, observed: Observed, shards: Iterable[int], now: datetime
) -> tuple[AccountPicture, ...]:
    """Return every account, by preference."""
    shards = tuple(shards)
    holders = find_holders(feed_source, observed, shards, now)
    return tuple(
        _picture_account(account.name, feed_source, observed, holders, now)
        for account in feed_source.spec.accounts
    )


def find_holders(
    feed_source: FeedSource, observed: Observed, shards: Iterable[int], now: datetime
) -> dict[int, str | None]:
    """Return the account that publishes each shard; None where nobody does."""
    name = feed_source.metadata.name
    leases = {
        shard: observed.leases.get(publisher_lease_name(name, shard), LeaseView())
        for shard in shards
    }
    return {
        shard: lease.account if _is_held(lease, now) else None for shard, lease in leases.items()
    }


def idles(feed_source: FeedSource, account: str, holder: str | None) -> bool:
    """Return whether an account's feeder of a shard is not subscribed on purpose."""
    resting = feed_source.spec.failover.mode in (FailoverMode.WARM, FailoverMode.COLD)
    return resting and account != holder


def find_trouble(
    view: FeederView, pods: tuple[PodView, ...], now: datetime, *, idle: bool = False
) -> Trouble | None:
    """Return why one feeder does not stream, or None; the nearest cause comes first.

    An `idle` one need not stream: it is as good as it says.
    """
    pod = next((pod for pod in pods if not pod.deleting), None)
    judged = judge_pod(pod) if pod is not None else None
    if judged is not None:
        return judged
    if pod is None or not pod.address:
        return Reason.STARTING, "a feeder's Pod is being started"
    if view.report is None:
        if view.error is None:
            return None
        known = (Reason.FEEDER_UNREACHABLE, f"Pod {pod.name} does not answer: {view.error}")
        up = pod.ready and not view.early
        return known if up else (Reason.STARTING, f"Pod {pod.name} is starting")
    if view.report.pod not in ("", pod.name):
        return Reason.STARTING, f"Pod {pod.name} is starting"
    return judge_report(view.report, now, idle=idle)


def judge_report(report: FeederStatus, now: datetime, *, idle: bool = False) -> Trouble | None:
    """Return why a feeder that answers does not stream, or None."""
    # A ban of requests alone leaves the stream as it is.
    banned_until = None if report.health.healthy else report.banned_until_time
    if banned_until is not None and banned_until > now:
        until = banned_until.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Reason.ACCOUNT_BANNED, f"account {report.account} is banned until {until}"
    if report.coverage.wanted == 0 or _rests(report):
        return None
    if report.session in _SESSION_REASONS and not idle:
        reason = _SESSION_REASONS[report.session]
        said = report.health.message or f"session is {report.session.value}"
        return reason, f"account {report.account}: {said}"
    if not report.health.healthy:
        said = report.health.message or report.health.reason
        return _known_reason(report.health.reason), f"account {report.account}: {said}"
    return None


def _rests(report: FeederStatus) -> bool:
    return report.health.healthy and report.health.reason == Reason.MARKET_CLOSED.value


def _known_reason(word: str) -> Reason:
    # A feeder of another release may have words of its own.
    return next((reason for reason in Reason if reason.value == word), Reason.STREAM_STALE)


def _picture_account(
    name: str,
    feed_source: FeedSource,
    observed: Observed,
    holders: dict[int, str | None],
    now: datetime,
) -> AccountPicture:
    views, troubles, verdicts = [], [], []
    for shard, holder in holders.items():
        worker = worker_name(feed_source.metadata.name, name, shard)
        view = observed.feeders.get(worker, UNASKED)
        idle = idles(feed_source, name, holder)
        views.append(view)
        pods = observed.pods.get(worker, ())
        troubles.append(find_trouble(view, pods, now, idle=idle))
        verdicts.append(find_trouble(view, pods, now, idle=True))
    trouble = next((found for found in troubles if found is not None), None)
    silent = any(view.report is None and view.error is None for view in views)
    return AccountPicture(
        name=name,
        holds=name in holders.values(),
        unasked=silent and trouble is None,
        reports=tuple(view.report for view in views if view.report is not None),
        trouble=trouble,
        verdict=next((found for found in verdicts if found is not None), None),
    )


def _is_held(lease: LeaseView, now: datetime) -> bool:
    if not lease.holder or lease.renew_time is None:
        return False
    return now <= lease.renew_time + timedelta(seconds=lease.duration_seconds) + LEASE_SLACK
