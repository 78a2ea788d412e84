"""Budgets of a venue: messages or connects per window, and REST request weight per address.

Exact windows instead of refilling buckets: a venue counts what arrived in its window, so must
we. Time is an argument. Must not know what is being counted, nor who else counts.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeVar

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
GUARD_NS: Final = SECOND_NS
"""So far the venue's clock may be from ours; the last minute counts on for so long."""
LIVE_PERCENT: Final = 95
"""Others may share the address, and their requests are seen only afterwards."""
REPAIR_PERCENT: Final = 80
"""What remains is kept for live work: books that need a snapshot, the instrument list."""
T = TypeVar("T")


class Priority(IntEnum):
    """What a request is for; who comes first finds room when the next one does not."""

    LIVE = 0
    REPAIR = 1
    BACKFILL = 2


class WindowBudget:
    """At most `limit` things in any window of that length."""

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self._window_ns = window_ns
        self._taken: deque[int] = deque()

    def take(self, now_ns: int) -> bool:
        """Take one if there is room."""
        if self.room_at(now_ns) > now_ns:
            return False
        self._taken.append(now_ns)
        return True

    def used(self, now_ns: int) -> int:
        """Return how many were taken within the window."""
        taken = self._taken
        while taken and taken[0] <= now_ns - self._window_ns:
            taken.popleft()
        return len(taken)

    def room_at(self, now_ns: int) -> int:
        """Return when there is room for one: `now_ns` or later."""
        self.used(now_ns)
        taken = self._taken
        if len(taken) < self.limit:
            return now_ns
        return taken[len(taken) - self.limit] + self._window_ns


def find_ceiling(limit: int, priority: Priority, backfill_percent: int = 50) -> int:
    """Return how much of a minute's weight may be used when such a request is added."""
    percent = {
        Priority.LIVE: LIVE_PERCENT,
        Priority.REPAIR: REPAIR_PERCENT,
        Priority.BACKFILL: min(backfill_percent, REPAIR_PERCENT),
    }[priority]
    return limit * percent // 100


@dataclass(slots=True)
class AddressBudget:
    """What one address has used of a venue's weight: its own count, and what is under way.

    An answer brings the venue's count, which has the request in it and those of others; until
    then a request counts as we weigh it. So the sum is never below what the venue will count.
    """

    minute: int = 0
    seen: int = 0
    """Used by the newest count of the venue, or by ours where it told none."""
    flying: int = 0
    """Asked for and not answered."""
    before: int = 0
    """Used in the minute before."""
    before_flying: int = 0
    """Asked for in the minute before and not answered: it may count in this one."""
    paused_until_ns: int = 0
    """Nothing may be asked before, after a 429 or 418."""
    banned_until_ns: int = 0

    def used(self, now_ns: int) -> int:
        """Return the weight used in the present minute."""
        self._roll(now_ns)
        return self.seen + self.flying + self.before_flying

    def take(self, weight: int, ceiling: int, now_ns: int) -> int:
        """Take `weight` if there is room and return 0, else the nanoseconds to wait first."""
        if now_ns < self.paused_until_ns:
            return self.paused_until_ns - now_ns
        used = self.used(now_ns)
        # A request heavier than all there is may go out alone, or it never would.
        if used and used + weight > ceiling:
            return (self.minute + 1) * MINUTE_NS - now_ns
        guard_ns = self.minute * MINUTE_NS + GUARD_NS - now_ns
        if guard_ns > 0 and self.before and self.before + used + weight > ceiling:
            return guard_ns
        self.flying += weight
        return 0

    def settle(self, weight: int, minute: int, told: int | None, now_ns: int) -> None:
        """Take over the venue's count with the answer to what was taken in that minute."""
        self._roll(now_ns)
        if minute == self.minute:
            self.flying = max(0, self.flying - weight)
            # Within the guard's time the count may still be that of the minute before.
            trusted = told if now_ns - self.minute * MINUTE_NS >= GUARD_NS else None
            self.seen = self.seen + weight if trusted is None else max(self.seen, trusted)
        elif minute == self.minute - 1:
            self.before_flying = max(0, self.before_flying - weight)
            self.seen += weight

    def pause(self, until_ns: int, *, banned_until_ns: int = 0) -> None:
        """Stop asking until then."""
        self.paused_until_ns = max(self.paused_until_ns, until_ns)
        self.banned_until_ns = max(self.banned_until_ns, banned_until_ns)

    def _roll(self, now_ns: int) -> None:
        minute = now_ns // MINUTE_NS
        if minute <= self.minute:
            return
        follows = minute == self.minute + 1
        self.before = self.seen + self.flying + self.before_flying if follows else 0
        self.before_flying = self.flying if follows else 0
        self.seen = self.flying = 0
        self.minute = minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long the venue asked not to be asked."""

    seconds: float
    banned: bool


class Allowance(Protocol):
    """What requests to one address wait for."""

    limit: int
    """The venue's weight per minute, or a tighter one."""

    @property
    def banned_until_ns(self) -> int:
        """When a ban of the address ends; in the past where there is none."""

    def used(self, now_ns: int) -> int:
        """Return what is known to be used of the present minute."""

    def repair_ceiling(self) -> int:
        """Return how much may be used of a minute when a repair asks."""

    async def take(self, weight: int, priority: Priority) -> int:
        """Return once a request may go out, with the minute it counts in."""

    async def settle(
        self, weight: int, minute: int, told: int | None, pause: Pause | None = None
    ) -> None:
        """Tell of an answer: the venue's own count, and the pause it asked for."""


class BudgetStore(Protocol):
    """Where feeders and backfills behind one address keep its budget together."""

    async def change(self, address: str, change: Callable[[AddressBudget, int], T]) -> T:
        """Let `change` work on the budget, alone, at the store's own time.

        Raises:
            SinkUnavailableError: not reachable now; nothing was changed.
        """

    async def close(self) -> None:
        """Release the connection; never raises."""
