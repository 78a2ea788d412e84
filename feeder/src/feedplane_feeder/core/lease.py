"""What stands in a publisher Lease: its holder, its successor and the candidates' own words.

Records are values; whoever wants a change builds another one. Must not know HTTP, Kubernetes
objects, clocks or when a Lease may be taken.
"""

import json
from dataclasses import dataclass, replace
from enum import StrEnum

RELEASED_SECONDS = 1.0
"""Duration written with a Lease given away; nobody has to wait for it."""


class LeaseReason(StrEnum):
    """Why a Lease changed hands; written on it, shown in status, counted in metrics.

    An account that gives way because of its health is named by the health reason instead.
    """

    VACANT = "Vacant"
    """Nobody held it."""
    RESTARTED = "Restarted"
    """An earlier process of the holder's account is gone."""
    RESUMED = "Resumed"
    """The same holder goes on: after its container restarted, or after it was frozen."""
    EXPIRED = "LeaseExpired"
    """The holder stopped renewing."""
    API_UNREACHABLE = "ApiUnreachable"
    """The Lease cannot be read and nobody else is known to hold it."""
    SUPERSEDED = "Superseded"
    """Somebody else took it."""
    SWITCHOVER_REQUESTED = "SwitchoverRequested"
    """A person named the account that is to be active."""
    MAINTENANCE = "Maintenance"
    """A person took the account out of service."""
    FAILBACK = "Failback"
    """A more preferred account was healthy long enough."""
    NOT_TAKEN = "NotTaken"
    """It was offered to others, and nobody took it."""
    FROZEN = "Frozen"
    """The process stood still for longer than the Lease lasts."""
    SHUTDOWN = "Shutdown"
    """The holder ended in good order."""
    NO_ELECTION = "NoElection"
    """There is no Lease; this feeder always publishes."""


class Asks(StrEnum):
    """What a candidate asks of the holder."""

    FAILBACK = "Failback"
    REQUESTED = "Requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLine:
    """One account's word on itself, an annotation of the Lease."""

    account: str
    pod: str
    healthy: bool
    reason: str = ""
    n: int = 0
    """Counts up with each writing, so that a reader sees that somebody is there."""
    asks: str | None = None


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
    successor: str = ""
    """The account that the last holder handed over to; empty when to anybody."""
    candidates: tuple[CandidateLine, ...] = ()

    @property
    def account(self) -> str:
        """The holder's account; empty when nobody holds the Lease."""
        return self.holder.partition("/")[0]

    def same_holding(self, other: "LeaseRecord") -> bool:
        """Tell whether nobody acquired, renewed or released between two readings."""
        return (self.holder, self.transitions, self.renew_time) == (
            other.holder,
            other.transitions,
            other.renew_time,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """This feeder, as far as the Lease is concerned; durations are seconds."""

    account: str
    pod: str
    lease_duration_seconds: float = 6.0
    renew_deadline_seconds: float = 4.0
    retry_period_seconds: float = 1.0

    @property
    def identity(self) -> str:
        """What the Lease names as its holder."""
        return f"{self.account}/{self.pod}"

    @property
    def grace_seconds(self) -> float:
        """How long a Lease handed over waits for the one it was handed to."""
        return 2 * self.retry_period_seconds + 1

    @property
    def announce_seconds(self) -> float:
        """How often a candidate writes its line when nothing changed."""
        return self.lease_duration_seconds / 3


def acquired_record(
    record: LeaseRecord, me: Candidate, *, epoch: int, reason: str, at: str
) -> LeaseRecord:
    """Return the Lease with this feeder as its new holder."""
    return replace(
        record,
        holder=me.identity,
        transitions=epoch,
        duration_seconds=me.lease_duration_seconds,
        acquire_time=at,
        renew_time=at,
        reason=reason,
        successor="",
    )


def renewed_record(record: LeaseRecord, me: Candidate, *, at: str) -> LeaseRecord:
    """Return the Lease renewed by its holder."""
    return replace(record, duration_seconds=me.lease_duration_seconds, renew_time=at, successor="")


def released_record(record: LeaseRecord, *, successor: str, reason: str, at: str) -> LeaseRecord:
    """Return the Lease given away; the successor takes it at once, others after a grace."""
    return replace(
        record,
        holder="",
        duration_seconds=RELEASED_SECONDS,
        renew_time=at,
        reason=reason,
        successor=successor,
    )


def with_line(record: LeaseRecord, line: CandidateLine) -> LeaseRecord:
    """Return the Lease with one account's line in place of its former one."""
    others = [other for other in record.candidates if other.account != line.account]
    return replace(record, candidates=tuple(sorted([*others, line], key=lambda each: each.account)))


def render_line(line: CandidateLine) -> str:
    """Write a candidate's line as the annotation holds it."""
    document: dict[str, object] = {
        "pod": line.pod,
        "healthy": line.healthy,
        "reason": line.reason,
        "n": line.n,
    }
    if line.asks:
        document["asks"] = line.asks
    return json.dumps(document, separators=(",", ":"))


def parse_line(account: str, text: str) -> CandidateLine | None:
    """Read a candidate's line; None when it is none, since any hand can write annotations."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    count, asks = document.get("n"), document.get("asks")
    return CandidateLine(
        account=account,
        pod=str(document.get("pod", "")),
        healthy=document.get("healthy") is True,
        reason=str(document.get("reason", "")),
        n=count if isinstance(count, int) else 0,
        asks=asks if isinstance(asks, str) else None,
    )
