"""An order book in integer ticks and lots, with the changes since each depth speed's last event."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

Levels = dict[int, int]


@dataclass(slots=True)
class PendingChanges:
    """Levels changed since one depth speed's last event."""

    first_id: int = 0
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not self.bids and not self.asks

    def clear(self) -> None:
        """Forget the changes; they were emitted."""
        self.bids, self.asks = {}, {}


class BestPrices(NamedTuple):
    """Best bid and ask with their sizes."""

    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


class Book:
    """Both sides of one instrument. Never crossed, never empty."""

    def __init__(self, speeds: Iterable[str]) -> None:
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.update_id = 0
        self.best_bid = 0
        self.best_ask = 0
        self.pending = {speed: PendingChanges() for speed in speeds}

    def fill(self, bids: Levels, asks: Levels, update_id: int) -> None:
        """Set the first state; it is part of no event."""
        self.bids, self.asks, self.update_id = dict(bids), dict(asks), update_id
        self.best_bid, self.best_ask = max(bids), min(asks)

    def best(self) -> BestPrices:
        """Return the top of the book."""
        return BestPrices(
            self.best_bid, self.bids[self.best_bid], self.best_ask, self.asks[self.best_ask]
        )

    def change(self, bid_side: bool, price: int, lots: int, update_id: int) -> None:
        """Set one level to an absolute size (0 removes it) under a new update id."""
        self.update_id = update_id
        side = self.bids if bid_side else self.asks
        if lots:
            side[price] = lots
        else:
            side.pop(price, None)
        for pending in self.pending.values():
            if pending.empty:
                pending.first_id = update_id
            (pending.bids if bid_side else pending.asks)[price] = lots
        if bid_side:
            self._move_best_bid(price)
        else:
            self._move_best_ask(price)

    def _move_best_bid(self, price: int) -> None:
        if price > self.best_bid and price in self.bids:
            self.best_bid = price
        elif price == self.best_bid and price not in self.bids:
            self.best_bid = max(self.bids)

    def _move_best_ask(self, price: int) -> None:
        if price < self.best_ask and price in self.asks:
            self.best_ask = price
        elif price == self.best_ask and price not in self.asks:
            self.best_ask = min(self.asks)

    def snapshot(self, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best `limit` levels of each side, best first."""
        bids = sorted(self.bids.items(), reverse=True)[:limit]
        asks = sorted(self.asks.items())[:limit]
        return bids, asks
