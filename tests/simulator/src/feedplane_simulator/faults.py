"""Faults as data: what may go wrong, for whom, how often; and the judgement per frame."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, Protocol
from zlib import crc32

import msgspec


class FaultKind(StrEnum):
    """What can go wrong. The first group happens once, the others hold until cleared or spent."""

    DROP = "drop"
    ROTATE = "rotate"
    HALT = "halt"
    RESUME = "resume"
    LIST = "list"
    DELIST = "delist"

    MUTE = "mute"
    STALL = "stall"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    SKIP = "skip"
    CORRUPT = "corrupt"
    REST = "rest"
    REFUSE = "refuse"
    SINGLE_SESSION = "single-session"
    BAN = "ban"
    BLACKHOLE = "blackhole"
    LOSS = "loss"
    ARCHIVE = "archive"


ONCE = frozenset(
    {
        FaultKind.DROP,
        FaultKind.ROTATE,
        FaultKind.HALT,
        FaultKind.RESUME,
        FaultKind.LIST,
        FaultKind.DELIST,
    }
)
ON_FRAMES = frozenset(
    {
        FaultKind.MUTE,
        FaultKind.DELAY,
        FaultKind.DUPLICATE,
        FaultKind.REORDER,
        FaultKind.SKIP,
        FaultKind.CORRUPT,
        FaultKind.STALL,
    }
)


FREEZING = frozenset({FaultKind.BLACKHOLE, FaultKind.LOSS})


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault to inject. Unset selectors match everything."""

    kind: FaultKind
    market: str | None = None
    """Name of a market or of a hosted venue."""
    streams: str = "*"
    """Glob over stream names, as in `btcusdt@*`; for archive faults over paths."""
    connection: int | None = None
    client: str | None = None
    """Glob over the client's account, host asked for, address, or user agent."""
    count: int | None = None
    """Applications after which the fault is spent; for drop and rotate, connections at random."""
    seconds: float | None = None
    """Time after which the fault ends by itself."""
    probability: float = 1.0
    everywhere: bool = False
    """Let chance strike an event for all connections alike, not each frame by itself."""
    delay_seconds: float = 0.5
    """How late frames come; for loss, how long a line stands still at a time."""
    status: int | None = None
    """HTTP status of a refusal; unset is 418 for a ban and 429 otherwise."""
    retry_after_seconds: int = 5
    close_frame: bool = False
    notice_seconds: float = 1.0
    damage: Literal[
        "missing", "corrupt", "rotten", "partial", "checksum", "hole", "slow", "error"
    ] = "missing"
    """What is wrong with files of the archive; rotten ones match their checksum."""
    symbol: str | None = None
    """What to list or delist; listing an unseen one makes it up."""
    removed: bool = False
    """Let a delisted symbol leave exchangeInfo, where otherwise its status changes to BREAK."""
    until_resubscribed: bool = False
    """Spare streams subscribed after the fault began, as a real mute stream often is cured."""

    @property
    def answer_status(self) -> int:
        """What a refused handshake or request is answered."""
        return self.status or (418 if self.kind is FaultKind.BAN else 429)


class Target(Protocol):
    """What a fault's selectors look at."""

    @property
    def market_name(self) -> str:
        """Market of the connection."""

    @property
    def number(self) -> int:
        """Number of the connection; 0 before it has one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Account, host, address and user agent."""


@dataclass(slots=True)
class ActiveFault:
    """A fault in force."""

    number: int
    fault: Fault
    since: float
    applied: int = 0
    ended: bool = False
    told: set[str] = field(default_factory=set)
    """Clients that were told of a ban, and so have to wait for its end."""

    def left_seconds(self, now: float) -> float:
        """Return how long it still holds, as a client is told."""
        if self.fault.seconds is None:
            return float(self.fault.retry_after_seconds)
        return max(0.0, self.since + self.fault.seconds - now)

    def matches(self, target: Target) -> bool:
        """Tell whether the selectors name a connection or client."""
        fault = self.fault
        if fault.market is not None and fault.market != target.market_name:
            return False
        if fault.connection is not None and fault.connection != target.number:
            return False
        return fault.client is None or any(fnmatchcase(n, fault.client) for n in target.names)

    def alive(self, now: float) -> bool:
        """Tell whether it still holds."""
        fault = self.fault
        if fault.count is not None and self.applied >= fault.count:
            self.ended = True
        if fault.seconds is not None and now >= self.since + fault.seconds:
            self.ended = True
        return not self.ended

    def describe(self) -> dict[str, Any]:
        """Return the fault as the admin port answers it."""
        spec: dict[str, Any] = msgspec.to_builtins(self.fault)
        return {"id": self.number, "applied": self.applied, "ended": self.ended, **spec}


class Frame(NamedTuple):
    """What a fault looks at in a frame about to be sent."""

    stream: str
    sequence: int
    subscribed_at: float


@dataclass(slots=True)
class FrameVerdict:
    """What becomes of one frame on one connection."""

    send: bool = True
    copies: int = 1
    delay_seconds: float = 0.0
    hold: bool = False
    corrupt: bool = False


class FaultBook:
    """All faults of a simulator, in the order they were injected."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - seeded on purpose
        self.active: dict[int, ActiveFault] = {}
        self.past: list[ActiveFault] = []
        self.on_frames = False
        self._number = 0

    def add(self, fault: Fault, now: float) -> ActiveFault:
        """Put a fault in force, or in the past at once when it only happens once."""
        self._number += 1
        active = ActiveFault(self._number, fault, now)
        if fault.kind in ONCE:
            active.ended = True
            self.past.append(active)
        else:
            self.active[active.number] = active
        self._refresh()
        return active

    def clear(self, number: int | None = None) -> int:
        """End one fault or all, and return how many ended."""
        numbers = list(self.active) if number is None else [number] * (number in self.active)
        for each in numbers:
            ended = self.active.pop(each)
            ended.ended = True
            self.past.append(ended)
        self._refresh()
        return len(numbers)

    def expire(self, now: float) -> None:
        """End the faults whose time or count is over."""
        for number in [n for n, active in self.active.items() if not active.alive(now)]:
            self.clear(number)

    def _refresh(self) -> None:
        self.on_frames = any(a.fault.kind in ON_FRAMES for a in self.active.values())

    def _hits(
        self, active: ActiveFault, target: Target, now: float, frame: Frame | None = None
    ) -> bool:
        if not active.alive(now) or not active.matches(target):
            return False
        probability = active.fault.probability
        if probability >= 1.0:
            return True
        if frame is not None and active.fault.everywhere:
            key = f"{active.number}:{frame.stream}:{frame.sequence}"
            return crc32(key.encode()) < probability * 2**32
        return self.rng.random() < probability

    def judge_frame(self, target: Target, frame: Frame, now: float) -> FrameVerdict:
        """Decide what becomes of one frame."""
        verdict = FrameVerdict()
        for active in self.active.values():
            fault = active.fault
            if fault.kind not in ON_FRAMES or not fnmatchcase(frame.stream, fault.streams):
                continue
            if fault.until_resubscribed and frame.subscribed_at > active.since:
                continue
            if self._hits(active, target, now, frame):
                active.applied += 1
                _apply_to_frame(fault, verdict)
        return verdict

    def find(
        self, kind: FaultKind, target: Target, now: float, *, name: str = "", spend: bool = True
    ) -> ActiveFault | None:
        """Return the first fault of a kind that hits a target now, counted as applied.

        With a name only one whose glob names it.
        """
        for active in self.active.values():
            if name and not fnmatchcase(name, active.fault.streams):
                continue
            if active.fault.kind is kind and self._hits(active, target, now):
                active.applied += spend
                return active
        return None

    def stalls(self, target: Target, now: float) -> bool:
        """Tell whether a connection is stalled whole, pings and replies too."""
        return any(
            active.fault.kind is FaultKind.STALL and active.alive(now) and active.matches(target)
            for active in self.active.values()
        )

    def freezes(self, target: Target, now: float) -> bool:
        """Tell whether nothing passes between a client and the venue now, in either direction.

        What is sent meanwhile arrives late and in order, as TCP repeats what was lost.
        """
        return any(
            active.alive(now) and active.matches(target) and _is_down(active, target, now)
            for active in self.active.values()
            if active.fault.kind in FREEZING
        )

    def describe(self) -> dict[str, Any]:
        """Return all faults as the admin port answers them."""
        return {
            "active": [active.describe() for active in self.active.values()],
            "past": [active.describe() for active in self.past[-200:]],
        }


# A lossy line stands still by turns: seeded, so that a trial can be repeated, and for each
# connection by itself.
def _is_down(active: ActiveFault, target: Target, now: float) -> bool:
    fault = active.fault
    if fault.kind is FaultKind.BLACKHOLE:
        return True
    turn = int((now - active.since) / max(fault.delay_seconds, 0.05))
    key = f"{active.number}:{target.number}:{target.names[0]}:{turn}"
    return random.Random(key).random() < fault.probability  # noqa: S311 - seeded on purpose


def _apply_to_frame(fault: Fault, verdict: FrameVerdict) -> None:
    match fault.kind:
        case FaultKind.MUTE | FaultKind.SKIP | FaultKind.STALL:
            verdict.send = False
        case FaultKind.DELAY:
            verdict.delay_seconds = max(verdict.delay_seconds, fault.delay_seconds)
        case FaultKind.DUPLICATE:
            verdict.copies += 1
        case FaultKind.REORDER:
            verdict.hold = True
        case _:
            verdict.corrupt = True
