"""Tracks: what the tape remembers of one channel, by the kind of its numbering.

Where a channel has contiguous numbers, nothing behind an unnamed hole is let through: those
records wait until the hole is filled or named. So a sink never holds a record beyond a hole the
ledger does not know, and a process that dies in between leaves nothing hidden: the next one
finds the true end of the tape. Must not know batches or sinks.
"""

from collections import deque
from typing import ClassVar, Final

from feedplane_feeder.core.book import Book
from feedplane_feeder.core.sequence import Place, Sequence
from feedplane_feeder.core.taken import Taken
from feedplane_feeder.records import ChannelKind, Gap, GapCause, Record

RECENT_QUOTES: Final = 64
RECENT_TRADES: Final = 4_096
EARLIER_SPANS: Final = 4
SEQUENCE: Final = GapCause.SEQUENCE.value
SLOW: Final = -(2**63) - 1  # no id of any venue
NEVER: Final = -1  # no time, and no number of a quote


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

    def interrupt(self, cause: str, now_ns: int, since_ts: int = 0) -> None:
        """Note that the channel was not covered for a moment; numbers need no `since_ts`."""
        self.cause = cause
        self.since = now_ns

    def ends_doubt(self, ts_recv: int) -> bool:
        """Tell whether a record read at that time came after what is missing.

        An unreadable frame stands anywhere among those read with it, so only the next read is
        surely behind it.
        """
        if self.cause is SEQUENCE:
            return False
        return self.cause != GapCause.MALFORMED.value or ts_recv > self.since


class NumberedTrack(Track):
    """A channel with contiguous numbers."""

    __slots__ = ("_held", "next", "sequence")

    def __init__(self) -> None:
        super().__init__()
        self.sequence = Sequence()
        self.next = SLOW
        """The number that may pass without a closer look; SLOW while none may."""
        self._held: list[tuple[int, Record]] = []

    def clear_cause(self) -> None:
        """Forget an interruption that cost nothing, once something came after it."""
        if self.cause is not SEQUENCE and self.ts_recv > self.since:
            self.cause = SEQUENCE

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


class TimedTrack(Track):
    """A channel without contiguous numbers: what is missing is told by time."""

    __slots__ = ("earlier", "stood_at", "ts_event", "unbroken_from")
    channel: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.ts_event = NEVER
        """Of the newest record."""
        self.stood_at = NEVER
        """ts_event of the last record before `since`, from which on the tape is in doubt."""
        self.unbroken_from = NEVER
        """ts_event of the first record since when none was missed."""
        self.earlier: tuple[tuple[int, int], ...] = ()
        """The newest spans before the present one; what was whole then stays so."""

    def interrupt(self, cause: str, now_ns: int, since_ts: int = 0) -> None:
        """Note that records may be missing from here on; an earlier doubt goes on.

        With `since_ts` they may be missing from there on, though newer ones came meanwhile.
        """
        if self.cause is SEQUENCE:
            self.stood_at = min(since_ts or self.ts_event, self.ts_event)
        super().interrupt(cause, now_ns)

    @property
    def span(self) -> tuple[int, int] | None:
        """ts_event of the records between which none was missed."""
        if self.ts_event == NEVER:
            return None
        return self.unbroken_from, self.ts_event if self.cause is SEQUENCE else self.stood_at

    def end_doubt(self, instrument_id: str, to_ts: int, now_ns: int, taken: Taken) -> None:
        """Name what may be missing before a record of that time; none is from there on."""
        if self.stood_at != NEVER:
            self.earlier = (*self.earlier, (self.unbroken_from, self.stood_at))[-EARLIER_SPANS:]
            gap = Gap(
                instrument_id=instrument_id,
                channel=self.channel,
                cause=self.cause,
                detected_at=now_ns,
                from_ts=self.stood_at,
                to_ts=to_ts,
            )
            taken.gaps.append(gap)
        self.cause = SEQUENCE
        self.unbroken_from = to_ts

    def close(self, instrument_id: str, now_ns: int, taken: Taken) -> None:
        """Name what an unreadable frame hid; what was read with it hides it from who comes next."""
        if self.cause == GapCause.MALFORMED.value:
            self.end_doubt(instrument_id, now_ns, now_ns, taken)


class QuoteTrack(TimedTrack):
    """One quote channel: numbers rise, but need not be contiguous."""

    __slots__ = ("last", "recent")
    channel = ChannelKind.QUOTE.value

    def __init__(self) -> None:
        super().__init__()
        self.last = NEVER
        self.recent: deque[int] = deque(maxlen=RECENT_QUOTES)


class LooseTrack(TimedTrack):
    """A trade channel whose ids are no run: copies are known by a window of recent ids."""

    __slots__ = ("_seen",)
    channel = ChannelKind.TRADE.value

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[int, None] = {}

    def is_copy(self, trade_id: int) -> bool:
        """Tell whether an id was seen lately, and remember it."""
        if trade_id in self._seen:
            return True
        self._seen[trade_id] = None
        if len(self._seen) > RECENT_TRADES:
            del self._seen[next(iter(self._seen))]
        return False


def _number(item: tuple[int, Record]) -> int:
    return item[0]
