"""Sequence: what of a channel's numbering has been seen, and which holes are still open.

Numbers arrive as half-open intervals `(after, to]`; a single id is `(id - 1, id]`. Where two
connections overlap, or frames are reordered, a hole is filled a moment later, so a hole becomes
a gap only when it stayed open for the grace period. Pure arithmetic; must not know records.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

GRACE_NS: Final = 2_000_000_000
HOLES: Final = 1_000
"""More open holes than this at once: the oldest are given up at once, so memory is bounded."""


class Place(Enum):
    """Where an interval lies in what was seen before."""

    NEW = auto()
    """Begins where the last one ended, or is the first."""
    JUMPED = auto()
    """Begins later: what lies between is missing for now."""
    FILLED = auto()
    """Lies in an open hole: late, but not seen before."""
    OVERLAPPED = auto()
    """Begins in what was seen and ends beyond it."""
    DUPLICATE = auto()
    """Seen before."""


@dataclass(slots=True)
class Hole:
    """Missing numbers `first..last`, both ends inclusive."""

    first: int
    last: int
    since_ns: int
    cause: str


class Sequence:
    """The numbering of one channel. `next` is the number expected now, None before the first."""

    __slots__ = ("_holes", "next")

    def __init__(self) -> None:
        self.next: int | None = None
        self._holes: list[Hole] = []

    @property
    def first_missing(self) -> int | None:
        """The lowest number that is missing and may still come; None when nothing is."""
        return min((hole.first for hole in self._holes), default=None)

    def place(self, after: int, to: int, now_ns: int, cause: str) -> Place:
        """Take in the numbers `after + 1 .. to`."""
        expected = self.next
        if expected is None or after + 1 == expected:
            self.next = to + 1
            return Place.NEW
        if after + 1 > expected:
            self._holes.append(Hole(expected, after, now_ns, cause))
            self.next = to + 1
            return Place.JUMPED
        filled = self._fill(after + 1, to) if self._holes else False
        if to >= expected:
            self.next = to + 1
            return Place.OVERLAPPED
        return Place.FILLED if filled else Place.DUPLICATE

    def expire(self, now_ns: int, *, everything: bool = False) -> list[Hole]:
        """Give up and return the holes that stayed open for the grace period."""
        if not self._holes:
            return []
        surplus = len(self._holes) - HOLES
        expired = [
            hole
            for position, hole in enumerate(self._holes)
            if everything or position < surplus or hole.since_ns + GRACE_NS <= now_ns
        ]
        if expired:
            self._holes = [hole for hole in self._holes if hole not in expired]
        return expired

    # Take `first..last` out of the holes; tell whether any of it was missing.
    def _fill(self, first: int, last: int) -> bool:
        left: list[Hole] = []
        filled = False
        for hole in self._holes:
            if last < hole.first or first > hole.last:
                left.append(hole)
                continue
            filled = True
            if hole.first < first:
                left.append(Hole(hole.first, first - 1, hole.since_ns, hole.cause))
            if hole.last > last:
                left.append(Hole(last + 1, hole.last, hole.since_ns, hole.cause))
        self._holes = left
        return filled
