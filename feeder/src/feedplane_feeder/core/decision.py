"""Who publishes: the decision a feeder takes each time it has looked at its Lease.

An active feeder that cannot reach the API server stays active: two publishers at once are
harmless, since every sink refuses second copies; none is a hole in the tape. The rules stand in
words in docs/explanation/failover.md. Must not know HTTP, Kubernetes objects or tasks.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from feedplane_api.worker import Failback
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Asks, LeaseReason, LeaseRecord


class LeaseVerb(StrEnum):
    """What to do with the Lease now."""

    WATCH = "watch"
    RENEW = "renew"
    """Stay its holder; with a reason when this process was not active before."""
    ACQUIRE = "acquire"
    YIELD = "yield"
    """Give it away, to a successor if there is one."""
    ASSUME = "assume"
    """Publish without the Lease, which cannot be reached."""


@dataclass(frozen=True, slots=True)
class LeaseAction:
    """A verb, the reason when a role changes by it, and whom the Lease is handed to."""

    verb: LeaseVerb
    reason: str | None = None
    successor: str = ""


WATCH: Final = LeaseAction(LeaseVerb.WATCH)
RENEW: Final = LeaseAction(LeaseVerb.RENEW)


def decide(state: LeaseState, now: float) -> LeaseAction:
    """Return what to do with the Lease, given what is known."""
    record = state.record
    if record is None or not state.reached(now):
        return _decide_blind(state, now)
    if state.holds:
        return _hold(state, now)
    return WATCH if state.leaving else _seek(state, record)


def _seek(state: LeaseState, record: LeaseRecord) -> LeaseAction:
    if not record.holder:
        return _decide_free(state, record)
    if record.account == state.me.account and not state.claimed:
        return _come_back(state, record)
    past = state.silent_seconds - record.duration_seconds
    if past >= 0 and _turn(state, past, _rank(state, without=record.account)):
        return LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.EXPIRED)
    return WATCH


def best_peer(state: LeaseState) -> str:
    """Return the account to hand over to: the one a person named, else the most preferred."""
    fit = [account for account in state.heard if state.fit(account)]
    return _first(state, fit)


def _first(state: LeaseState, accounts: list[str]) -> str:
    wanted = state.policy.active_account
    if wanted is not None and wanted in accounts:
        return wanted
    return min(accounts, key=state.preference, default="")


def _hold(state: LeaseState, now: float) -> LeaseAction:
    peer = best_peer(state)
    if state.leaving:
        return LeaseAction(LeaseVerb.YIELD, LeaseReason.SHUTDOWN, peer)
    # One that did not take it is asked again when it has recovered since, and there is need.
    again = state.failing() and bool(peer) and state.heard[peer].recovered
    if not peer or (now < state.keep_until and not again):
        return RENEW
    return _give_way(state, peer, now)


def _give_way(state: LeaseState, peer: str, now: float) -> LeaseAction:
    if not state.in_service(state.me.account):
        return LeaseAction(LeaseVerb.YIELD, LeaseReason.MAINTENANCE, peer)
    calm = now - state.acquired_at >= state.policy.cooldown_seconds
    wanted = state.policy.active_account
    if peer == wanted and (calm or state.requested_at > state.acquired_at):
        return LeaseAction(LeaseVerb.YIELD, LeaseReason.SWITCHOVER_REQUESTED, peer)
    if state.failing():
        # One that took the Lease for want of better lets go as soon as there is better.
        due = calm or state.health.definitive or not state.acquired_fit
        return LeaseAction(LeaseVerb.YIELD, state.health.reason, peer) if due else RENEW
    asking = _asking(state) if calm else ""
    return LeaseAction(LeaseVerb.YIELD, LeaseReason.FAILBACK, asking) if asking else RENEW


def _asking(state: LeaseState) -> str:
    # The most preferred account that asks for failback, if it is more preferred than this one.
    if state.policy.failback is not Failback.AUTOMATIC or state.policy.active_account is not None:
        return ""
    mine = state.preference(state.me.account)
    return _first(
        state,
        [
            account
            for account, heard in state.heard.items()
            if heard.line.asks == Asks.FAILBACK
            and state.preference(account) < mine
            and state.fit(account)
        ],
    )


def _come_back(state: LeaseState, record: LeaseRecord) -> LeaseAction:
    # An earlier life of this account stands in the Lease. A standby remembers what was missed
    # since, so it goes first; its word is taken as it stands, since a dead one costs a grace.
    me = state.me.account
    if not state.active and not state.alone():
        peer = _first(state, [account for account in state.heard if state.plausible(account)])
        if peer:
            return LeaseAction(LeaseVerb.YIELD, LeaseReason.RESTARTED, peer)
        if not state.in_service(me):
            return LeaseAction(LeaseVerb.YIELD, LeaseReason.MAINTENANCE)
    if record.holder == state.me.identity:
        return LeaseAction(LeaseVerb.RENEW, LeaseReason.RESUMED)
    return LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.RESTARTED)


def _decide_free(state: LeaseState, record: LeaseRecord) -> LeaseAction:
    me, waited = state.me.account, state.silent_seconds
    if state.yielding:
        patience = state.me.grace_seconds * (2 if _third(state, record.successor) else 1)
        late = waited >= patience
        return LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.NOT_TAKEN) if late else WATCH
    to_other = record.successor not in {"", me} and state.in_service(record.successor)
    to_me = record.successor == me and state.health.healthy and state.in_service(me)
    emptied = state.active and not record.successor
    if not to_me and (state.alone() or emptied):
        return LeaseAction(LeaseVerb.ACQUIRE, LeaseReason.VACANT)
    made_anew = record.transitions < state.epoch
    past = waited - (state.me.grace_seconds if to_other or made_anew else 0.0)
    if to_me or _opening(state, record) or _turn(state, past, _rank(state)):
        return LeaseAction(LeaseVerb.ACQUIRE, record.reason or LeaseReason.VACANT)
    return WATCH


def _opening(state: LeaseState, record: LeaseRecord) -> bool:
    # A Lease that nobody ever held: the preferred account need not be healthy before it begins.
    me = state.me.account
    return (
        state.epoch == record.transitions == 0
        and not state.failing()
        and state.in_service(me)
        and not any(map(state.plausible, state.heard))
        and not any(map(state.in_service, state.policy.accounts[: state.preference(me)]))
    )


def _turn(state: LeaseState, past: float, rank: int) -> bool:
    # Whether it is this feeder's turn at a Lease that has been free for some seconds.
    me, retry = state.me, state.me.retry_period_seconds
    if state.alone():
        return True
    if not state.in_service(me.account):
        return False
    if state.health.healthy:
        return past >= rank * retry
    return (
        state.unled_seconds >= me.lease_duration_seconds
        and past >= state.preference(me.account) * retry
    )


def _rank(state: LeaseState, *, without: str = "") -> int:
    # How many go before this feeder: healthy accounts that are more preferred.
    mine = state.preference(state.me.account)
    return sum(
        account != without and state.preference(account) < mine and state.plausible(account)
        for account in state.heard
    )


def _third(state: LeaseState, successor: str) -> bool:
    return any(account != successor and state.fit(account) for account in state.heard)


def _decide_blind(state: LeaseState, now: float) -> LeaseAction:
    # Nothing was heard for a while. An active feeder keeps trying to renew and goes on; one that
    # is not active publishes only after a whole lease duration, and only when it knows of nobody
    # else who would.
    if state.active or state.leaving:
        return WATCH
    record = state.record or LeaseRecord()
    silent_since = max(state.reached_at, state.started_at)
    known = {record.account, record.successor} - {"", state.me.account}
    if not known and now - silent_since >= state.me.lease_duration_seconds:
        return LeaseAction(LeaseVerb.ASSUME, LeaseReason.API_UNREACHABLE)
    return WATCH
