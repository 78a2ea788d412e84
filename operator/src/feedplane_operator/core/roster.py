"""Which accounts have feeders that run, and why: pause, maintenance and cold standbys.

Decided anew each time from what is observed, so an operator that was away decides the same. Must
not know how feeders are started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import AccountState, FeedSource, FeedState
from feedplane_api.names import LABEL_ACCOUNT
from feedplane_api.worker import Failback, FailoverMode
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.picture import LEASE_SLACK, AccountPicture
from feedplane_operator.core.plan import Manifest, Ref

START_PATIENCE: Final = timedelta(seconds=90)
"""How long a feeder may take to start before the account after it is started as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether an account's feeders are to run."""

    running: bool
    why: Reason | None = None
    """Why, where it is not simply that they should."""


RUNS: Final = Standing(running=True)
STOPPED: Final = Standing(running=False, why=Reason.STOPPED)
Roster = Mapping[str, Standing]


def plan_roster(
    feed_source: FeedSource,
    observed: Observed,
    accounts: Sequence[AccountPicture],
    now: datetime,
) -> Roster:
    """Return which accounts are to run, by name."""
    spec = feed_source.spec
    if spec.state is FeedState.PAUSED:
        return {account.name: STOPPED for account in spec.accounts}
    up = read_running(observed.children)
    serving = [account for account in spec.accounts if account.state is AccountState.IN_SERVICE]
    roster = {account.name: RUNS for account in serving}
    if spec.failover.mode is FailoverMode.COLD:
        pictures = {account.name: account for account in accounts}
        names = [account.name for account in serving]
        roster = _plan_cold(feed_source, observed, pictures, names, up, now)
    for picture in accounts:
        if picture.name not in roster:
            # Taken out of service: it goes once it has handed over, and is never started.
            running = picture.holds and picture.name in up
            roster[picture.name] = Standing(running=running, why=Reason.MAINTENANCE)
    return roster


def read_roster(feed_source: FeedSource, children: Mapping[Ref, Manifest]) -> Roster:
    """Return which accounts run, by what the Deployments in the cluster say."""
    up = read_running(children)
    return {
        account.name: RUNS if account.name in up else STOPPED
        for account in feed_source.spec.accounts
    }


def read_running(children: Mapping[Ref, Manifest]) -> frozenset[str]:
    """Return the accounts with a Deployment that asks for a Pod."""
    return frozenset(
        child["metadata"].get("labels", {}).get(LABEL_ACCOUNT, "")
        for ref, child in children.items()
        if ref.kind == "Deployment" and child["spec"].get("replicas", 1)
    )


def place(accounts: Sequence[AccountPicture], roster: Roster) -> tuple[AccountPicture, ...]:
    """Return the accounts with their standing in the picture."""
    placed = []
    for account in accounts:
        standing = roster[account.name]
        placed.append(replace(account, running=standing.running, why=standing.why))
    return tuple(placed)


def _plan_cold(
    feed_source: FeedSource,
    observed: Observed,
    pictures: Mapping[str, AccountPicture],
    serving: list[str],
    up: frozenset[str],
    now: datetime,
) -> dict[str, Standing]:
    first = _wanted(feed_source, pictures, serving)
    roster = dict.fromkeys(serving, STOPPED)
    # From the wanted account on, each that cannot publish has the next one started beside it.
    for name in [first, *(name for name in serving if name != first)]:
        roster[name] = RUNS if name == first else Standing(running=True, why=Reason.COLD_START)
        if name not in up or not _needs_other(feed_source, observed, pictures[name], now):
            break
    if not _is_settled(feed_source, observed, pictures[first], now):
        for name in serving:
            if name in up and not roster[name].running:
                roster[name] = Standing(running=True, why=Reason.COLD_START)
    return roster


def _wanted(
    feed_source: FeedSource, pictures: Mapping[str, AccountPicture], serving: list[str]
) -> str:
    spec = feed_source.spec
    if spec.active_account is not None:
        return spec.active_account
    if spec.failover.failback is Failback.MANUAL:
        last = feed_source.status.failover.active if feed_source.status.failover else None
        holding = [name for name in serving if pictures[name].holds]
        return next((name for name in (*holding, last) if name in serving), serving[0])
    return serving[0]


def _needs_other(
    feed_source: FeedSource, observed: Observed, account: AccountPicture, now: datetime
) -> bool:
    starts = account.verdict is not None and account.verdict[0] is Reason.STARTING
    if account.verdict is not None and not starts:
        return True
    if _let_go(feed_source, observed, account, now):
        return True
    # One that starts is waited for, but not for ever.
    begun = [
        pods[0].created
        for worker, pods in observed.pods.items()
        if worker.startswith(f"{feed_source.metadata.name}-{account.name}-") and pods
    ]
    known = [moment for moment in begun if moment is not None]
    return starts and any(now - at > START_PATIENCE for at in known)


def _let_go(
    feed_source: FeedSource, observed: Observed, account: AccountPicture, now: datetime
) -> bool:
    # It published last, and its Lease has been nobody's for longer than a failover takes.
    record = feed_source.status.failover
    if account.holds or record is None or record.active != account.name:
        return False
    least = timedelta(seconds=feed_source.spec.failover.lease_duration_seconds) + LEASE_SLACK
    return any(
        lease.epoch > 0 and lease.renew_time is not None and now - lease.renew_time > least
        for lease in observed.leases.values()
        if lease.account in ("", account.name)
    )


def _is_settled(
    feed_source: FeedSource, observed: Observed, account: AccountPicture, now: datetime
) -> bool:
    # Active on every shard and healthy, for as long as a failback waits.
    if not account.streams or not observed.leases:
        return False
    after = timedelta(seconds=feed_source.spec.failover.failback_after_seconds)
    return all(
        lease.account == account.name
        and lease.acquire_time is not None
        and now - lease.acquire_time >= after
        for lease in observed.leases.values()
    )
