"""Budgets of a venue: messages or connects per window, and REST request weight.

Exact windows instead of refilling buckets: a venue counts what arrived in its window, so must
we. Time is an argument. Must not know what is being counted.
"""

from collections import deque
from typing import Final

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS


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

    def room_at(self, now_ns: int) -> int:
        """Return when there is room for one: `now_ns` or later."""
        taken = self._taken
        while taken and taken[0] <= now_ns - self._window_ns:
            taken.popleft()
        if len(taken) < self.limit:
            return now_ns
        return taken[len(taken) - self.limit] + self._window_ns


class WeightBudget:
    """REST request weight per clock minute, held against the venue's own count.

    The venue counts per address, and others may share it, so its count wins whenever it is
    higher than ours.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.paused_until_ns = 0
        """Nothing may be asked before, after a 429 or 418."""
        self.banned_until_ns = 0
        self._minute = 0
        self._used = 0

    def used(self, now_ns: int) -> int:
        """Return the weight used in the present minute."""
        self._roll(now_ns)
        return self._used

    def take(self, weight: int, now_ns: int) -> int:
        """Take `weight` if there is room and return 0, else the nanoseconds to wait first."""
        if now_ns < self.paused_until_ns:
            return self.paused_until_ns - now_ns
        self._roll(now_ns)
        # A request heavier than the whole limit may go out alone, or it never would.
        if self._used + weight > self.limit and self._used > 0:
            return (self._minute + 1) * MINUTE_NS - now_ns
        self._used += weight
        return 0

    def observe(self, used: int, now_ns: int) -> None:
        """Take over the venue's own count."""
        self._roll(now_ns)
        self._used = max(self._used, used)

    def pause(self, until_ns: int, *, banned: bool) -> None:
        """Stop asking until then."""
        self.paused_until_ns = max(self.paused_until_ns, until_ns)
        if banned:
            self.banned_until_ns = max(self.banned_until_ns, until_ns)

    def _roll(self, now_ns: int) -> None:
        minute = now_ns // MINUTE_NS
        if minute != self._minute:
            self._minute = minute
            self._used = 0
