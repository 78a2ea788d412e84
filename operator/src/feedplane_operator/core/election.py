"""Leader election by one Lease: what to do, given the Lease and how long it stood still.

Expiry is judged by how long the Lease was *seen* unchanged on a clock that only goes up, never by
the times written in it: clocks of two nodes differ. Must not know how a Lease is read.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEASE_DURATION_SECONDS: Final = 15
RENEW_DEADLINE_SECONDS: Final = 10
RETRY_PERIOD_SECONDS: Final = 2
PAST_EXPIRY_SECONDS: Final = 0.1


class Move(StrEnum):
    """What a candidate does next."""

    CREATE = "Create"
    TAKE = "Take"
    RENEW = "Renew"
    WAIT = "Wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What the Lease says."""

    holder: str
    duration_seconds: int
    renew_time: str
    """As written; only whether it changed matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A record and when it was first seen so, in seconds of the candidate's own clock."""

    record: LeaseRecord | None
    since: float


def look(sight: Sight | None, record: LeaseRecord | None, now: float) -> Sight:
    """Return what is seen now; the time moves only when the record does."""
    if sight is not None and sight.record == record:
        return sight
    return Sight(record=record, since=now)


def decide(sight: Sight, identity: str, now: float) -> Move:
    """Return the next move of a candidate."""
    record = sight.record
    if record is None:
        return Move.CREATE
    if record.holder == identity:
        return Move.RENEW
    if not record.holder or now - sight.since > record.duration_seconds:
        return Move.TAKE
    return Move.WAIT


def wait_seconds(sight: Sight | None, now: float) -> float:
    """Return when a candidate looks again: no later than the Lease it saw expires."""
    if sight is None or sight.record is None:
        return RETRY_PERIOD_SECONDS
    left = sight.since + sight.record.duration_seconds - now
    return min(RETRY_PERIOD_SECONDS, max(left, 0) + PAST_EXPIRY_SECONDS)
