"""The one session of an account: when it may be opened and when it must be closed.

Safety first: the holder closes before another process could take its seat, both counting on
their own clocks. Must not know HTTP, Kubernetes objects, tasks or what a session is.
"""

from dataclasses import dataclass
from typing import Final

from feedplane_feeder.core.lease import LeaseReason, LeaseRecord

LEASES_LONG: Final = 20
"""A seat lasts so many publisher Leases: two minutes without the API server cost no session."""
FENCE_SHARE: Final = 0.75
"""The part of a seat's duration after which a holder that cannot renew gives up its session."""
NEVER: Final = float("-inf")


@dataclass(slots=True)
class SeatState:
    """What one process knows of its seat; times are seconds on its own clock."""

    identity: str
    duration_seconds: float
    retry_period_seconds: float = 1.0
    record: LeaseRecord | None = None
    reached_at: float = NEVER
    silent_seconds: float = 0.0
    """How long the record was seen not to change, blind times counting little."""
    renewed_at: float = NEVER
    """When the last writing that succeeded was sent off."""
    held: bool = False
    leaving: bool = False

    @property
    def fence_seconds(self) -> float:
        """How long a session may go on after the last renewal was sent off."""
        return self.duration_seconds * FENCE_SHARE


def observe_seat(state: SeatState, record: LeaseRecord, now: float) -> None:
    """Take in the seat as it was just read; a holder that finds another there has lost it."""
    same = state.record is not None and record.same_holding(state.record)
    passed = min(now - state.reached_at, 2 * state.retry_period_seconds) if same else 0.0
    state.silent_seconds = state.silent_seconds + passed if same else 0.0
    state.record, state.reached_at = record, now
    if record.holder != state.identity:
        state.held = False


def may_sit(state: SeatState) -> bool:
    """Tell whether the seat, as just read, may be written to by this process.

    A process of the same name is this pod's former container: its connections ended with it.
    """
    record = state.record
    if record is None or state.leaving:
        return False
    if record.holder in {"", state.identity}:
        return True
    return state.silent_seconds >= max(record.duration_seconds, state.duration_seconds)


def sat_down(state: SeatState, record: LeaseRecord, *, sent_at: float, now: float) -> None:
    """Take in the seat as it was just written."""
    state.record, state.reached_at, state.silent_seconds = record, now, 0.0
    state.renewed_at = sent_at
    state.held = now - sent_at < state.fence_seconds


def check_fence(state: SeatState, now: float) -> bool:
    """Tell whether the seat may still be used, and give it up where not."""
    if state.held and now - state.renewed_at >= state.fence_seconds:
        state.held = False
    return state.held


def seat_record(state: SeatState, *, at: str) -> LeaseRecord:
    """Return the seat with this process in it."""
    before = state.record or LeaseRecord()
    mine = before.holder == state.identity
    return LeaseRecord(
        holder=state.identity,
        transitions=before.transitions + (0 if mine else 1),
        duration_seconds=state.duration_seconds,
        acquire_time=before.acquire_time if mine else at,
        renew_time=at,
        reason=before.reason if mine else _reason(before),
    )


def free_record(record: LeaseRecord, *, at: str) -> LeaseRecord:
    """Return the seat given away."""
    return LeaseRecord(
        transitions=record.transitions,
        duration_seconds=1.0,
        acquire_time=record.acquire_time,
        renew_time=at,
        reason=LeaseReason.SHUTDOWN,
    )


def _reason(before: LeaseRecord) -> str:
    return LeaseReason.EXPIRED if before.holder else LeaseReason.VACANT
