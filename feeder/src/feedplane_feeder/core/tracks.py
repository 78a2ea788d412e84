"""Tracks: what the tape remembers of one channel, by the kind of its numbering.

Where a channel has contiguous numbers, nothing behind an unnamed hole is let through: those
records wait until the hole is filled or named. So a sink never holds a record beyond a hole the
ledger does not know, and a process that dies in between leaves nothing hidden: the next one
finds the true end of the tape. Must not know batches or sinks.
"""

from collections import deque
from typing import Final

from feedplane_feeder.core.book import Book
from feedplane_feeder.core.sequence import Place, Sequence
from feedplane_feeder.records import Bar, GapCause, Record

RECENT_QUOTES: Final = 64
SEQUENCE: Final = GapCause.SEQUENCE.value
SLOW: Final = -1


class Track:
    """What every channel has."""

    __slots__ = ("cause", "since", "ts_recv")

    def __init__(self) -> None:
        self.cause = SEQUENCE
        """What the next hole will be put down to."""
        self.since = 0
        """When `cause` was set."""
        self.ts_recv = 0
        """When the newest record came."""

    def interrupt(self, cause: str, now_ns: int) -> None:
        """Note that the channel was not covered for a moment."""
        self.cause = cause
        self.since = now_ns

    def clear_cause(self) -> None:
        """Forget an interruption that cost nothing, once something came after it."""
        if self.cause is not SEQUENCE and self.ts_recv > self.since:
            self.cause = SEQUENCE


class NumberedTrack(Track):
    """A channel with contiguous numbers."""

    __slots__ = ("_held", "next", "sequence")

    def __init__(self) -> None:
        super().__init__()
        self.sequence = Sequence()
        self.next = SLOW
        """The number that may pass without a closer look; SLOW while none may."""
        self._held: list[tuple[int, Record]] = []

    def place(self, after: int, to: int, record: Record, now_ns: int) -> Place:
        """Take in a record that did not pass at first sight; it waits for `release`."""
        if self.next != SLOW:
            self.sequence.next = self.next
        place = self.sequence.place(after, to, now_ns, self.cause)
        # Frames read together with an unreadable one may hide several holes.
        if place is Place.JUMPED and now_ns > self.since:
            self.cause = SEQUENCE
        if place is not Place.DUPLICATE:
            self.next = SLOW
            self._held.append((to, record))
        return place

    def hold(self, to: int, record: Record) -> None:
        """Let a record wait that has no place of its own in the numbering (a full state)."""
        if self.next != SLOW:
            self.sequence.next = self.next
        self.next = SLOW
        self._held.append((to, record))

    def release(self) -> list[Record]:
        """Return the records that nothing unnamed stands before, in their order."""
        missing = self.sequence.first_missing
        limit = self.sequence.next or 0
        if missing is not None:
            limit = min(limit, missing)
        ready = sorted((item for item in self._held if item[0] < limit), key=_number)
        self._held = [item for item in self._held if item[0] >= limit]
        waiting = missing is not None or self._held or self.sequence.next is None
        self.next = SLOW if waiting else limit
        return [record for _, record in ready]


class BookTrack(NumberedTrack):
    """One book channel."""

    __slots__ = ("asked", "book")

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.asked = False
        """A snapshot was asked for and has not come."""


class QuoteTrack(Track):
    """One quote channel: numbers rise, but need not be contiguous."""

    __slots__ = ("last", "recent", "stood_at", "ts_event")

    def __init__(self) -> None:
        super().__init__()
        self.last = -1
        self.recent: deque[int] = deque(maxlen=RECENT_QUOTES)
        self.ts_event = 0
        self.stood_at = 0
        """ts_event of the last quote before `since`, from which on the tape is in doubt."""

    def interrupt(self, cause: str, now_ns: int) -> None:
        """Note that quotes may be missing from here on; an earlier doubt goes on."""
        if self.cause is SEQUENCE:
            self.stood_at = self.ts_event
        super().interrupt(cause, now_ns)

    def ends_doubt(self, ts_recv: int) -> bool:
        """Tell whether a quote read at that time came after what is missing.

        An unreadable frame stands anywhere among those read with it, so only the next read is
        surely behind it.
        """
        if self.cause is SEQUENCE:
            return False
        return self.cause != GapCause.MALFORMED.value or ts_recv > self.since


class BarTrack(Track):
    """One bar channel."""

    __slots__ = ("bar",)

    def __init__(self) -> None:
        super().__init__()
        self.bar: Bar | None = None


def _number(item: tuple[int, Record]) -> int:
    return item[0]
