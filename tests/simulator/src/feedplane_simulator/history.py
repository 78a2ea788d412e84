"""Aggregate trades kept for REST, in compact arrays: 49 bytes a trade, oldest forgotten."""

from array import array
from bisect import bisect_left, bisect_right

from feedplane_simulator.payloads import AggregateTrade

KEEP = 400_000


class TradeHistory:
    """The aggregate trades of one instrument; ids are contiguous."""

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._first_aggregate_id = 0
        self._prices = array("q")
        self._lots = array("q")
        self._first_ids = array("q")
        self._last_ids = array("q")
        self._times = array("q")
        self._maker_buys = bytearray()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, trade: AggregateTrade) -> None:
        """Keep a trade, whose id must follow the last one's."""
        if not self._times:
            self._first_aggregate_id = trade.aggregate_id
        self._prices.append(trade.price)
        self._lots.append(trade.lots)
        self._first_ids.append(trade.first_id)
        self._last_ids.append(trade.last_id)
        self._times.append(trade.time_ms)
        self._maker_buys.append(trade.maker_buys)
        if len(self._times) > self._keep * 5 // 4:
            self._forget(len(self._times) - self._keep)

    def _forget(self, count: int) -> None:
        columns = (self._prices, self._lots, self._first_ids, self._last_ids, self._times)
        for column in columns:
            del column[:count]
        del self._maker_buys[:count]
        self._first_aggregate_id += count

    def _at(self, index: int) -> AggregateTrade:
        return AggregateTrade(
            self._first_aggregate_id + index,
            self._prices[index],
            self._lots[index],
            self._first_ids[index],
            self._last_ids[index],
            self._times[index],
            bool(self._maker_buys[index]),
        )

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` trades from an id on."""
        start = max(0, aggregate_id - self._first_aggregate_id)
        return [self._at(index) for index in range(start, min(start + limit, len(self)))]

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggregateTrade]:
        """Return trades of a time window, both ends included.

        With a start the oldest `limit` come, without one the newest.
        """
        low = 0 if start_ms is None else bisect_left(self._times, start_ms)
        high = len(self) if end_ms is None else bisect_right(self._times, end_ms)
        if start_ms is None:
            low = max(low, high - limit)
        return [self._at(index) for index in range(low, min(high, low + limit))]
