"""Bars built from trades: the open one, the final ones, and coarser ones merged from minutes."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from feedplane_simulator.channels import open_time


@dataclass(slots=True)
class Bar:
    """One bar in ticks and lots; `amount` is the sum of price times size."""

    open_ms: int
    close_ms: int
    open: int
    high: int
    low: int
    close: int
    first_id: int = -1
    last_id: int = -1
    lots: int = 0
    amount: int = 0
    count: int = 0
    taker_lots: int = 0
    taker_amount: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BarTrade:
    """What a bar needs to know of an aggregate trade."""

    price: int
    lots: int
    first_id: int
    last_id: int
    taker_buys: bool


class BarSeries:
    """The bars of one instrument and interval, oldest final ones forgotten."""

    def __init__(self, interval_ms: int, price: int, now_ms: int, keep: int = 3000) -> None:
        self.interval_ms = interval_ms
        self.closed: deque[Bar] = deque(maxlen=keep)
        self.current = self._opened(open_time(interval_ms, now_ms), price)
        self.changed = False

    def _opened(self, open_ms: int, price: int) -> Bar:
        return Bar(open_ms, open_ms + self.interval_ms - 1, price, price, price, price)

    def roll(self, now_ms: int) -> list[Bar]:
        """Close every bar whose time is over; an interval without trades is a bar too."""
        finished = []
        while now_ms > self.current.close_ms:
            finished.append(self.current)
            self.closed.append(self.current)
            self.current = self._opened(self.current.close_ms + 1, self.current.close)
            self.changed = False
        return finished

    def seed(self, minutes: Iterable[Bar]) -> None:
        """Take into the open bar the minutes of it that passed before the series began."""
        inside = [bar for bar in minutes if bar.open_ms >= self.current.open_ms]
        merged = merge_bars(inside, self.interval_ms)
        if merged:
            self.current = merged[-1]

    def add(self, trade: BarTrade) -> None:
        """Count a trade into the open bar; `roll` must have run for its time."""
        bar = self.current
        if bar.count == 0:
            bar.open = bar.high = bar.low = trade.price
            bar.first_id = trade.first_id
        bar.high = max(bar.high, trade.price)
        bar.low = min(bar.low, trade.price)
        bar.close, bar.last_id = trade.price, trade.last_id
        bar.lots += trade.lots
        bar.amount += trade.price * trade.lots
        bar.count += trade.last_id - trade.first_id + 1
        if trade.taker_buys:
            bar.taker_lots += trade.lots
            bar.taker_amount += trade.price * trade.lots
        self.changed = True


def merge_bars(bars: Iterable[Bar], interval_ms: int) -> list[Bar]:
    """Merge finer bars, oldest first, into bars of a coarser interval."""
    merged: list[Bar] = []
    for bar in bars:
        start = open_time(interval_ms, bar.open_ms)
        if not merged or merged[-1].open_ms != start:
            merged.append(
                Bar(start, start + interval_ms - 1, bar.open, bar.high, bar.low, bar.close)
            )
        _merge_into(merged[-1], bar)
    return merged


def _merge_into(target: Bar, bar: Bar) -> None:
    if bar.count and not target.count:
        target.open, target.high, target.low = bar.open, bar.high, bar.low
        target.first_id = bar.first_id
    if bar.count:
        target.high, target.low = max(target.high, bar.high), min(target.low, bar.low)
        target.last_id = bar.last_id
    target.close = bar.close
    target.lots += bar.lots
    target.amount += bar.amount
    target.count += bar.count
    target.taker_lots += bar.taker_lots
    target.taker_amount += bar.taker_amount
