"""What feeders, Pods and Leases add up to: who publishes, and how each account does.

Must not know conditions' history or how any of it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import FeedSource, FeedState
from feedplane_api.names import publisher_lease_name, worker_name
from feedplane_api.worker import FailoverMode, FeederStatus, SessionState
from feedplane_operator.core.observed import UNASKED, FeederView, LeaseView, Observed
from feedplane_operator.core.pods import PodView, judge_pod
from feedplane_operator.core.workers import order_accounts

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPicture:
    """One account over all shards."""

    name: str
    running: bool
    """Its feeders are meant to run."""
    unasked: bool
    """Some feeder of it was not asked yet, so nothing may be concluded."""
    reports: tuple[FeederStatus, ...]
    trouble: Trouble | None
    """Why it does not stream, or None."""

    @property
    def session(self) -> SessionState:
        """The worst session of its feeders."""
        sessions = [report.session for report in self.reports]
        return min(sessions, key=_WORST_FIRST.index, default=SessionState.DISCONNECTED)

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
        reason=first.reason if held else "",
    )


def picture_accounts(
    feed_source: FeedSource, observed: Observed, shards: Iterable[int], now: datetime
) -> tuple[AccountPicture, ...]:
    """Return every account, by preference."""
    shards = tuple(shards)
    spec = feed_source.spec
    return tuple(
        _picture_account(
            account.name,
            feed_source.metadata.name,
            observed,
            shards,
            now,
            running=spec.state is FeedState.RUNNING
            and not (preference > 0 and spec.failover.mode is FailoverMode.COLD),
        )
        for preference, account in enumerate(order_accounts(feed_source))
    )


def find_trouble(view: FeederView, pods: tuple[PodView, ...], now: datetime) -> Trouble | None:
    """Return why one feeder does not stream, or None; the nearest cause comes first."""
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
        return known if pod.ready else (Reason.STARTING, f"Pod {pod.name} is starting")
    return judge_report(view.report, now)


def judge_report(report: FeederStatus, now: datetime) -> Trouble | None:
    """Return why a feeder that answers does not stream, or None."""
    if report.banned_until_time is not None and report.banned_until_time > now:
        until = report.banned_until_time.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Reason.ACCOUNT_BANNED, f"account {report.account} is banned until {until}"
    if report.coverage.wanted == 0:
        return None
    if report.session in _SESSION_REASONS:
        reason = _SESSION_REASONS[report.session]
        said = report.health.message or f"session is {report.session.value}"
        return reason, f"account {report.account}: {said}"
    if not report.health.healthy:
        said = report.health.message or report.health.reason
        return _known_reason(report.health.reason), f"account {report.account}: {said}"
    return None


def _known_reason(word: str) -> Reason:
    return next((reason for reason in Reason if reason.value == word), Reason.STREAM_STALE)


def _picture_account(
    name: str,
    feed: str,
    observed: Observed,
    shards: tuple[int, ...],
    now: datetime,
    *,
    running: bool,
) -> AccountPicture:
    workers = [worker_name(feed, name, shard) for shard in shards]
    views = [observed.feeders.get(worker, UNASKED) for worker in workers]
    troubles = [
        find_trouble(view, observed.pods.get(worker, ()), now)
        for worker, view in zip(workers, views, strict=True)
    ]
    trouble = next((found for found in troubles if found is not None), None)
    silent = any(view.report is None and view.error is None for view in views)
    return AccountPicture(
        name=name,
        running=running,
        unasked=silent and trouble is None,
        reports=tuple(view.report for view in views if view.report is not None),
        trouble=trouble,
    )


def _is_held(lease: LeaseView, now: datetime) -> bool:
    if not lease.holder or lease.renew_time is None:
        return False
    return now <= lease.renew_time + timedelta(seconds=lease.duration_seconds) + LEASE_SLACK
