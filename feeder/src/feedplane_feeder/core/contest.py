"""One round at the publisher Lease: which requests to make, and what their answers mean.

Sans-I/O: a round is a generator that yields requests and is sent answers, so that the shell and
the model test drive the very same steps. Must not know HTTP or Kubernetes objects.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from feedplane_feeder.core import decision, failover
from feedplane_feeder.core.decision import LeaseAction, LeaseVerb
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import (
    CandidateLine,
    LeaseReason,
    LeaseRecord,
    acquired_record,
    released_record,
    renewed_record,
    with_line,
)

ATTEMPTS: Final = 3
"""How often a round decides anew when somebody else wrote in between."""
Decide = Callable[[LeaseState, float], LeaseAction]


@dataclass(frozen=True, slots=True)
class ReadLease:
    """Read the Lease."""


@dataclass(frozen=True, slots=True)
class AnnounceLine:
    """Merge the own line into the Lease, whatever else stands there; the answer is the Lease."""

    line: CandidateLine


@dataclass(frozen=True, slots=True)
class WriteLease:
    """Replace the Lease, only if nobody wrote since it was last answered."""

    record: LeaseRecord
    verb: LeaseVerb


@dataclass(frozen=True, slots=True)
class PrepareHandover:
    """Have the data path prepare; its answer has no record."""


Request = ReadLease | AnnounceLine | WriteLease | PrepareHandover


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    now: float
    """On this feeder's own clock, after the request."""
    record: LeaseRecord | None = None
    """The Lease; None when there was no answer."""
    conflict: bool = False
    """Somebody else wrote in between, and nothing was written."""


Round = Generator[Request, Answer, None]


def play_round(state: LeaseState, now: float, at: str, decide: Decide = decision.decide) -> Round:
    """Look at the Lease once and act; `at` is the wall time written into it.

    The holder writes blindly first: a change in between is refused, and then read.
    """
    failover.beat(state, now)
    if not (state.active and state.holds and state.reached(now)):
        now = yield from _look(state, now)
        if state.reached_at != now:
            if decide(state, now).verb is LeaseVerb.ASSUME:
                failover.assume(state)
            return
    for _ in range(ATTEMPTS):
        action = decide(state, now)
        if action.verb is LeaseVerb.YIELD and state.active and not state.prepared:
            state.prepared = True
            answer = yield PrepareHandover()
            now = answer.now
            if failover.beat(state, now):
                return
        if action.verb is LeaseVerb.WATCH or state.record is None:
            return
        answer = yield from _write(state, action, now, at)
        now = answer.now
        if not answer.conflict:
            return
        now = yield from _read(state, now)
        if state.reached_at != now:
            failover.keep_role(state)
            return


def _look(state: LeaseState, now: float) -> Generator[Request, Answer, float]:
    if not failover.announcement_due(state, now):
        return (yield from _read(state, now))
    line = failover.build_line(state, now)
    answer = yield AnnounceLine(line)
    failover.beat(state, answer.now)
    if answer.record is not None:
        failover.announced(state, line, answer.now)
        failover.observe(state, answer.record, answer.now)
    return answer.now


def _read(state: LeaseState, now: float) -> Generator[Request, Answer, float]:
    answer = yield ReadLease()
    failover.beat(state, answer.now)
    if answer.record is not None:
        failover.observe(state, answer.record, answer.now)
    return answer.now


def _write(
    state: LeaseState, action: LeaseAction, now: float, at: str
) -> Generator[Request, Answer, Answer]:
    line = failover.build_line(state, now)
    written = with_line(_build(state, action, at), line)
    # Whatever becomes of the answer, a holder of this name is this process from now on.
    state.claimed = state.claimed or action.verb is not LeaseVerb.YIELD
    if action.verb is LeaseVerb.ACQUIRE:
        state.asked_epoch = written.transitions
    answer = yield WriteLease(written, action.verb)
    frozen = failover.beat(state, answer.now)
    if answer.record is None:
        if not answer.conflict:
            failover.keep_role(state)
        return answer
    failover.announced(state, line, answer.now)
    failover.wrote(state, answer.record, answer.now)
    if not frozen:
        _conclude(state, action, answer.now)
    return answer


def _build(state: LeaseState, action: LeaseAction, at: str) -> LeaseRecord:
    record, reason = state.record or LeaseRecord(), str(action.reason or "")
    match action.verb:
        case LeaseVerb.ACQUIRE:
            epoch = max(state.epoch, record.transitions) + 1
            return acquired_record(record, state.me, epoch=epoch, reason=reason, at=at)
        case LeaseVerb.YIELD:
            return released_record(record, successor=action.successor, reason=reason, at=at)
        case _:
            return renewed_record(record, state.me, at=at)


def _conclude(state: LeaseState, action: LeaseAction, now: float) -> None:
    if action.verb is LeaseVerb.YIELD:
        failover.gave(state, action.reason or LeaseReason.SHUTDOWN)
    elif action.reason is not None:
        failover.took(state, action.reason, now)
    else:
        failover.keep_role(state)
