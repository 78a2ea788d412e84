"""Book: the full depth of one instrument, kept from deltas and snapshots.

Deltas are absolute (a level's new size), so what counts is that each one begins where the book
stands. Every delta is tape whether or not the book can use it yet: the backlog here serves the
book alone. Must not know where deltas and snapshots come from.
"""

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import msgspec
from msgspec.json import Decoder

from feedplane_feeder.errors import ImpossibleValueError

BACKLOG: Final = 20_000
"""Deltas kept while the book waits for a snapshot; the oldest go first."""
_ZEROS: Final = frozenset(["0", *(f"0.{'0' * places}" for places in range(1, 19))])
_LEVEL_BYTES: Final = b'0123456789.,"[] '
_HEAP_SLACK: Final = 64


Levels = list[tuple[str, str]]
"""(price, size) pairs as printed."""

decode_levels: Final = Decoder(Levels).decode
"""Read one side of a delta; raises `msgspec.DecodeError`."""


class Side:
    """The levels of one side: price text -> size text, and the best of them."""

    __slots__ = ("_heap", "_sign", "levels")

    def __init__(self, sign: float) -> None:
        self.levels: dict[str, str] = {}
        self._sign = sign  # -1.0 puts the highest price first
        self._heap: list[tuple[float, str]] = []

    def apply(self, changes: Levels) -> bool:
        """Set the new sizes, zero removes the level; tell whether a level was added."""
        levels, zeros, added = self.levels, _ZEROS, False
        for price, size in changes:
            if size in zeros:
                if price in levels:
                    del levels[price]
            elif price in levels:
                levels[price] = size
            else:
                levels[price] = size
                heappush(self._heap, (self._sign * float(price), price))
                added = True
        return added

    def best(self) -> float | None:
        """Return the best price, for comparison only; None when the side is empty."""
        heap, levels = self._heap, self.levels
        while heap:
            if heap[0][1] in levels:
                # Removed levels leave their entry behind deeper down.
                if len(heap) > 2 * len(levels) + _HEAP_SLACK:
                    heap[:] = [(self._sign * float(price), price) for price in levels]
                    heapify(heap)
                return self._sign * heap[0][0]
            heappop(heap)
        return None


def parse_levels(raw: msgspec.Raw) -> Levels:
    """Read one side of a snapshot, which nothing has checked before.

    Raises:
        ImpossibleValueError: MalformedLevels.
    """
    # What is left after taking out all that unsigned decimals in arrays are made of.
    if bytes(raw).translate(None, _LEVEL_BYTES):
        raise ImpossibleValueError("MalformedLevels")
    try:
        return decode_levels(raw)
    except msgspec.DecodeError as error:
        raise ImpossibleValueError("MalformedLevels") from error


class Change(NamedTuple):
    """A delta as the book's backlog keeps it."""

    after: int
    to: int
    bids: Levels
    asks: Levels


class Book:
    """One instrument's book. `last_id` is where it stands, None before the first snapshot."""

    __slots__ = ("_asks", "_backlog", "_bids", "last_id")

    def __init__(self) -> None:
        self.last_id: int | None = None
        self._bids = Side(-1.0)
        self._asks = Side(1.0)
        self._backlog: deque[Change] = deque(maxlen=BACKLOG)

    @property
    def synchronized(self) -> bool:
        """Whether the book holds every change that came."""
        return self.last_id is not None and not self._backlog

    def bids(self) -> dict[str, str]:
        """Return price -> size, as printed."""
        return dict(self._bids.levels)

    def asks(self) -> dict[str, str]:
        """Return price -> size, as printed."""
        return dict(self._asks.levels)

    def apply(self, after: int, to: int, bids: Levels, asks: Levels) -> None:
        """Take a change: at once where the book stands before it, else into the backlog.

        Raises:
            ImpossibleValueError: MalformedLevels, CrossedBook; the book must be fetched again.
        """
        last_id = self.last_id
        if last_id is not None and after <= last_id and not self._backlog:
            self._apply(to, bids, asks)
            return
        self._backlog.append(Change(after, to, bids, asks))
        if last_id is not None and after <= last_id:
            self._catch_up()

    def restart(self, last_id: int, bids: Levels, asks: Levels) -> bool:
        """Start over from a snapshot; False when the backlog begins too late to continue it.

        Raises:
            ImpossibleValueError: MalformedLevels, CrossedBook.
        """
        later = sorted(change for change in self._backlog if change.to > last_id)
        if later and later[0].after > last_id:
            return False
        self._bids, self._asks = Side(-1.0), Side(1.0)
        self._backlog.clear()
        self.last_id = last_id - 1  # so that the snapshot itself is taken
        self._apply(last_id, bids, asks)
        self._backlog.extend(later)
        self._catch_up()
        return True

    def lose(self) -> None:
        """Wait for a new snapshot; what has come since the break stays in the backlog."""
        self.last_id = None

    # Reordered or filled-in changes apply in their own order.
    def _catch_up(self) -> None:
        waiting = sorted(self._backlog)
        self._backlog.clear()
        for position, change in enumerate(waiting):
            if change.after > (self.last_id or 0):
                self._backlog.extend(waiting[position:])
                return
            self._apply(change.to, change.bids, change.asks)

    def _apply(self, to: int, bids: Levels, asks: Levels) -> None:
        if self.last_id is not None and to <= self.last_id:
            return
        try:
            added = self._bids.apply(bids) if bids else False
            if asks and self._asks.apply(asks):
                added = True
        except ValueError as error:
            raise ImpossibleValueError("MalformedLevels") from error
        self.last_id = to
        # Only a new level can cross the book.
        if added:
            bid, ask = self._bids.best(), self._asks.best()
            if bid is not None and ask is not None and bid >= ask:
                raise ImpossibleValueError("CrossedBook")
