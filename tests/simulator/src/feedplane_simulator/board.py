"""A board of quotes: what venues show that tell states instead of events."""

import random
from dataclasses import dataclass
from typing import Any

from feedplane_simulator.decimals import format_scaled

DEPTH = 5


@dataclass(slots=True, kw_only=True)
class Line:
    """One instrument on the board; prices are integers scaled by the board's decimals."""

    symbol: str
    decimals: int
    lot: int
    previous_close: int
    last: int
    open: int
    high: int
    low: int
    volume: int = 0
    """Lots, or shares where the lot is 1."""
    turnover: int = 0
    """Scaled like prices."""
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    time_ms: int = 0
    changes: int = 0
    trading: bool = True

    def text(self, price: int) -> str:
        """Print a price."""
        return format_scaled(price, self.decimals)

    def fields(self) -> dict[str, Any]:
        """Return what every service prints, as it is printed."""
        return {
            "last_price": self.text(self.last),
            "open": self.text(self.open),
            "high": self.text(self.high),
            "low": self.text(self.low),
            "previous_close": self.text(self.previous_close),
            "volume": self.volume,
            "turnover": self.text(self.turnover),
        }


class Board:
    """All instruments of a venue, moved one at a time."""

    def __init__(self, symbols: list[str], seed: int, *, decimals: int, lot: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - seeded on purpose
        self.lines = {symbol: self._build(symbol, decimals, lot) for symbol in symbols}
        self._order = list(self.lines.values())

    def _build(self, symbol: str, decimals: int, lot: int) -> Line:
        price = self._rng.randrange(5, 500) * 10**decimals
        line = Line(
            symbol=symbol,
            decimals=decimals,
            lot=lot,
            previous_close=price,
            last=price,
            open=price,
            high=price,
            low=price,
            bids=[],
            asks=[],
        )
        self._quote(line)
        return line

    def list_line(self, symbol: str, decimals: int, lot: int) -> None:
        """Put an instrument on the board."""
        if symbol not in self.lines:
            self.lines[symbol] = self._build(symbol, decimals, lot)
            self._order.append(self.lines[symbol])
        self.lines[symbol].trading = True

    def step(self, now_ms: int) -> Line:
        """Let one instrument trade."""
        line = self._rng.choice(self._order)
        line.last = max(10, line.last + self._rng.randint(-9, 9))
        line.high, line.low = max(line.high, line.last), min(line.low, line.last)
        size = self._rng.randint(1, 50)
        line.volume += size
        line.turnover += size * line.lot * line.last
        line.time_ms = now_ms
        line.changes += 1
        self._quote(line)
        return line

    def _quote(self, line: Line) -> None:
        sizes = [self._rng.randint(1, 900) * 100 for _ in range(2 * DEPTH)]
        line.bids = [(line.last - 1 - n, sizes[n]) for n in range(DEPTH)]
        line.asks = [(line.last + 1 + n, sizes[DEPTH + n]) for n in range(DEPTH)]
