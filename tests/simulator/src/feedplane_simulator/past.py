"""What happened before the simulator began: history as a function of seed, instrument and day.

Nothing of it is kept: a day is drawn again whenever it is asked for, always the same. The last
trade before the start has the id before the first live one, so history and tape are one chain.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from feedplane_simulator.bars import Bar
from feedplane_simulator.config import Market
from feedplane_simulator.instruments import Instrument
from feedplane_simulator.payloads import AggregateTrade

MINUTE_MS = 60_000
DAY_MS = 86_400_000
METRIC_MS = 300_000
MINUTES_A_DAY = DAY_MS // MINUTE_MS
DAYS_REMEMBERED = 64

Drawn = tuple[int, int, int, bool]
"""Milliseconds after midnight, price in ticks, lots, whether the buyer made the price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The five series of one period, as decimal text."""

    time_ms: int
    open_interest: str
    open_interest_value: str
    top_account_ratio: str
    top_position_ratio: str
    account_ratio: str
    taker_ratio: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where history meets the live tape."""

    start_ms: int
    """When the simulator began; history ends with the minute before."""
    next_aggregate_id: int
    """The first live aggregate trade."""
    next_trade_id: int
    """The first live trade."""


class Past:
    """The history of one instrument."""

    def __init__(
        self,
        market: Market,
        instrument: Instrument,
        origin: Origin,
        *,
        seed: int,
        days: int,
        trades_a_minute: int,
    ) -> None:
        self.end_ms = origin.start_ms // MINUTE_MS * MINUTE_MS
        """First moment that is not history."""
        reach = min(
            days * DAY_MS, (origin.next_aggregate_id - 1) // trades_a_minute * MINUTE_MS - DAY_MS
        )
        self.listed_ms = (self.end_ms - reach) // DAY_MS * DAY_MS
        """First moment of history: a midnight."""
        self._key = f"{seed}:{market}:{instrument.symbol}"
        self._first_price = instrument.first_price
        self._instrument = instrument
        self._each = trades_a_minute
        self._last_aggregate = origin.next_aggregate_id
        self._last_trade = origin.next_trade_id

    def trades(self, start_ms: int, end_ms: int) -> Iterator[AggregateTrade]:
        """Yield the aggregate trades of a time window, its end not included."""
        low, high = max(start_ms, self.listed_ms), min(end_ms, self.end_ms)
        day = low // DAY_MS
        while day * DAY_MS < high:
            first = self._count_before(day * DAY_MS)
            for index, (offset, price, lots, maker) in enumerate(self._draw(day)):
                time_ms = day * DAY_MS + offset
                if low <= time_ms < high:
                    behind = first - index
                    number = self._last_trade - behind
                    aggregate = self._last_aggregate - behind
                    yield AggregateTrade(aggregate, price, lots, number, number, time_ms, maker)
            day += 1

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregate trades from an id on."""
        behind = self._last_aggregate - aggregate_id
        if behind <= 0:
            return []
        minutes = -(-behind // self._each)
        start_ms = self.end_ms - minutes * MINUTE_MS
        found: list[AggregateTrade] = []
        for trade in self.trades(start_ms, self.end_ms):
            if trade.aggregate_id >= aggregate_id:
                found.append(trade)
                if len(found) == limit:
                    break
        return found

    def minutes(self, start_ms: int, end_ms: int) -> list[Bar]:
        """Return the one-minute bars that open in a time window, its end not included."""
        low = max(-(-start_ms // MINUTE_MS) * MINUTE_MS, self.listed_ms)
        high = min(end_ms, self.end_ms)
        bars: list[Bar] = []
        day = low // DAY_MS
        while day * DAY_MS < high:
            base, drawn, each = day * DAY_MS, self._draw(day), self._each
            first = max(0, (low - base) // MINUTE_MS)
            last = min(MINUTES_A_DAY, -(-(high - base) // MINUTE_MS))
            behind = self._count_before(base)
            for minute in range(first, last):
                inside = drawn[minute * each : (minute + 1) * each]
                number = self._last_trade - behind + minute * each
                bars.append(_merge(base + minute * MINUTE_MS, inside, number))
            day += 1
        return bars

    def metrics(self, start_ms: int, end_ms: int) -> Iterator[Metrics]:
        """Yield the five-minute series of a time window, both ends included."""
        time_ms = -(-max(start_ms, self.listed_ms) // METRIC_MS) * METRIC_MS
        while time_ms <= end_ms:
            rng = random.Random(f"{self._key}:metric:{time_ms}")  # noqa: S311 - seeded on purpose
            lots = rng.randrange(10**6, 10**8)
            yield Metrics(
                time_ms=time_ms,
                open_interest=self._instrument.size_text(lots),
                open_interest_value=self._instrument.amount_text(lots * self._first_price),
                top_account_ratio=_ratio(rng),
                top_position_ratio=_ratio(rng),
                account_ratio=_ratio(rng),
                taker_ratio=_ratio(rng),
            )
            time_ms += METRIC_MS

    def _count_before(self, at_ms: int) -> int:
        # How many trades lie between a moment and the start; drawn days are whole minutes.
        return (self.end_ms - at_ms) // MINUTE_MS * self._each

    def _draw(self, day: int) -> tuple[Drawn, ...]:
        return _draw_day(self._key, day, self._first_price, self._each)


def month_of(at_ms: int) -> tuple[int, int]:
    """Return the first moment of the month that holds a moment, and that of the next one."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    after = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
    return round(first.timestamp() * 1000), round(after.timestamp() * 1000)


@lru_cache(maxsize=DAYS_REMEMBERED)
def _draw_day(key: str, day: int, first_price: int, each: int) -> tuple[Drawn, ...]:
    rng = random.Random(f"{key}:{day}")  # noqa: S311 - seeded on purpose
    price = max(50, int(first_price * (0.7 + 0.6 * rng.random())))
    chance, steps = rng.random, (-3, -2, -1, 0, 0, 1, 2, 3)
    drawn: list[Drawn] = []
    for minute in range(MINUTES_A_DAY):
        offsets = sorted(int(chance() * MINUTE_MS) for _ in range(each))
        for offset in offsets:
            price = max(20, price + steps[int(chance() * 8)])
            maker = chance() < 0.5
            drawn.append((minute * MINUTE_MS + offset, price, 1 + int(chance() * 90_000), maker))
    return tuple(drawn)


def _merge(open_ms: int, drawn: tuple[Drawn, ...], first_id: int) -> Bar:
    prices = [each[1] for each in drawn]
    bar = Bar(open_ms, open_ms + MINUTE_MS - 1, prices[0], max(prices), min(prices), prices[-1])
    bar.first_id, bar.last_id, bar.count = first_id, first_id + len(drawn) - 1, len(drawn)
    for _, price, lots, maker in drawn:
        bar.lots += lots
        bar.amount += price * lots
        if not maker:
            bar.taker_lots += lots
            bar.taker_amount += price * lots
    return bar


def _ratio(rng: random.Random) -> str:
    return f"{rng.randrange(2_000, 40_000) / 10_000:.4f}"
