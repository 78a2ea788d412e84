"""Who publishes: the decision a feeder takes each time it has looked at its Lease.

Ages are measured on one process's own clock from the moment a change was seen, never by
comparing two machines' clocks. An active feeder that cannot reach the API server stays active:
two publishers at once are harmless, since every sink refuses second copies; none is a hole in
the tape. Must not know HTTP, Kubernetes objects or tasks.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

NEVER: Final = float("-inf")


class LeaseReason(StrEnum):
    """Why a Lease changed hands; written on it and shown in the feeder's status."""

    VACANT = "Vacant"
    """Nobody held it."""
    RESTARTED = "Restarted"
    """Another process of the same account held it."""
    RESUMED = "Resumed"
    """This pod held it in an earlier life."""
    EXPIRED = "Expired"
    """The holder stopped renewing."""
    API_UNREACHABLE = "ApiUnreachable"
    """The Lease cannot be read and nobody else is known to hold it."""
    SUPERSEDED = "Superseded"
    """Somebody else took it."""
    SHUTDOWN = "Shutdown"
    """The holder ended in good order."""
    NO_ELECTION = "NoElection"
    """There is no Lease; this feeder always publishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A Lease as it was read."""

    holder: str = ""
    """`<account>/<pod>`; empty when nobody holds it."""
    transitions: int = 0
    duration_seconds: float = 0.0
    acquire_time: str | None = None
    renew_time: str | None = None
    reason: str | None = None

    @property
    def account(self) -> str:
        """The holder's account; empty when nobody holds the Lease."""
        return self.holder.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """This feeder, as far as the Lease is concerned."""

    account: str
    pod: str
    may_acquire: bool
    """False for a feeder that only watches."""
    lease_duration_seconds: float
    renew_deadline_seconds: float

    @property
    def identity(self) -> str:
        """What the Lease names as its holder."""
        return f"{self.account}/{self.pod}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """What one feeder knows about its Lease; times are seconds on its own clock."""

    started_at: float
    record: LeaseRecord | None = None
    changed_at: float = NEVER
    """When the record was last seen to change."""
    reached_at: float = NEVER
    """When the API server last answered."""
    active: bool = False
    held: bool = False
    """True once this process has written itself into the Lease."""
    reason: str | None = None
    """Why this feeder is active, or why it is no longer."""
    not_before: float = NEVER
    """After giving the Lease away it is not asked for before this time."""


class LeaseVerb(StrEnum):
    """What to do with the Lease now."""

    WATCH = "watch"
    RENEW = "renew"
    ACQUIRE = "acquire"
    ASSUME = "assume"
    """Publish without the Lease, which cannot be reached."""


@dataclass(frozen=True, slots=True)
class LeaseAction:
    """A verb, and the reason when a role changes by it."""

    verb: LeaseVerb
    reason: LeaseReason | None = None


_WATCH: Final = LeaseAction(LeaseVerb.WATCH)


def decide(state: LeaseState, me: Candidate, now: float) -> LeaseAction:
    """Return what to do with the Lease, given what is known."""
    if not me.may_acquire or now < state.not_before:
        return _WATCH
    if not reached(state, me, now):
        return _decide_blind(state, me, now)
    record = state.record or LeaseRecord()
    if record.holder == me.identity:
        reason = None if state.active else LeaseReason.RESUMED
        return LeaseAction(LeaseVerb.RENEW, reason)
    reason = _free(state, record, me, now)
    return LeaseAction(LeaseVerb.ACQUIRE, reason) if reason else _WATCH


def _free(state: LeaseState, record: LeaseRecord, me: Candidate, now: float) -> LeaseReason | None:
    # Why the Lease may be taken from whoever stands in it; None while it may not.
    if not record.holder:
        return LeaseReason.VACANT
    if record.account == me.account and not state.held:
        return LeaseReason.RESTARTED
    if now - state.changed_at > record.duration_seconds:
        return LeaseReason.EXPIRED
    return None


def _decide_blind(state: LeaseState, me: Candidate, now: float) -> LeaseAction:
    # Nothing was heard for a while. An active feeder keeps trying to renew and goes on; one that
    # is not active publishes only after a whole lease duration, and only when it knows of nobody
    # else who would.
    if state.active:
        return LeaseAction(LeaseVerb.RENEW)
    holder = state.record.account if state.record else ""
    silent_since = max(state.reached_at, state.started_at)
    if holder in {"", me.account} and now - silent_since >= me.lease_duration_seconds:
        return LeaseAction(LeaseVerb.ASSUME, LeaseReason.API_UNREACHABLE)
    return _WATCH


def reached(state: LeaseState, me: Candidate, now: float) -> bool:
    """Tell whether the API server answered within the renew deadline."""
    return now - state.reached_at <= me.renew_deadline_seconds


def observed(state: LeaseState, me: Candidate, record: LeaseRecord, now: float) -> LeaseState:
    """Return the state after the Lease was read; a feeder that lost it is no longer active."""
    changed_at = state.changed_at if record == state.record else now
    seen = replace(state, record=record, changed_at=changed_at, reached_at=now)
    if state.active and _superseded(state, me, record):
        return replace(seen, active=False, reason=LeaseReason.SUPERSEDED)
    return seen


def _superseded(state: LeaseState, me: Candidate, record: LeaseRecord) -> bool:
    # A pod of the same account that took the Lease from us is our successor. One that stands in
    # the Lease before we ever held it is our predecessor, and no reason to stop.
    if record.holder in {"", me.identity}:
        return False
    return state.held or record.account != me.account


def taken(state: LeaseState, record: LeaseRecord, reason: str | None, now: float) -> LeaseState:
    """Return the state after this feeder wrote itself into the Lease; None keeps the reason."""
    return replace(
        state,
        record=record,
        changed_at=now,
        reached_at=now,
        active=True,
        held=True,
        reason=reason or state.reason,
    )


def assumed(state: LeaseState, reason: str) -> LeaseState:
    """Return the state of a feeder that publishes without its Lease."""
    return replace(state, active=True, reason=reason)


def stepped_down(state: LeaseState, reason: str, not_before: float) -> LeaseState:
    """Return the state after this feeder gave its role away."""
    return replace(state, active=False, reason=reason, not_before=not_before)


def acquired_record(
    record: LeaseRecord | None, me: Candidate, *, reason: str, at: str
) -> LeaseRecord:
    """Return the Lease with this feeder as a new holder, one transition later."""
    before = record or LeaseRecord()
    return LeaseRecord(
        holder=me.identity,
        transitions=before.transitions + 1,
        duration_seconds=me.lease_duration_seconds,
        acquire_time=at,
        renew_time=at,
        reason=reason,
    )


def renewed_record(record: LeaseRecord, me: Candidate, *, at: str) -> LeaseRecord:
    """Return the Lease renewed by its holder."""
    return replace(record, duration_seconds=me.lease_duration_seconds, renew_time=at)


def released_record(record: LeaseRecord, *, reason: str, at: str) -> LeaseRecord:
    """Return the Lease given away, so that anybody may take it within a second."""
    return replace(record, holder="", duration_seconds=1.0, renew_time=at, reason=reason)
