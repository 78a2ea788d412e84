"""REST answers while a load run owns a market: trades and books computed from positions."""

from typing import Any

from feedplane_simulator.config import Market
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.load import SLOTS, Kind
from feedplane_simulator.load_run import LoadRun
from feedplane_simulator.payloads import AggregateTrade, build_agg_trade_row
from feedplane_simulator.sources import Source, Window


class LoadSource:
    """Answers for a load run; what the run does not touch comes from the source before it."""

    def __init__(self, run: LoadRun, before: Source) -> None:
        self.run = run
        self.before = before
        self.annals = before.annals

    def poll(self, _now_ms: int) -> list[VenueEvent]:
        """Return nothing: the run writes its frames itself."""
        return []

    def step(self, _now_ms: int) -> list[VenueEvent]:
        """Return nothing: the run writes its frames itself."""
        return []

    def exchange_info(self, now_ms: int) -> dict[str, Any]:
        """Return the exchangeInfo document."""
        return self.before.exchange_info(now_ms)

    def lists(self, symbol: str) -> bool:
        """Tell whether the venue knows a symbol."""
        return self.before.lists(symbol)

    def set_status(self, symbol: str, now_ms: int, *, trading: bool) -> None:
        """List or delist a symbol in exchangeInfo; the run goes on."""
        self.before.set_status(symbol, now_ms, trading=trading)

    def remove(self, symbol: str, now_ms: int) -> None:
        """Take a symbol out of exchangeInfo; the run goes on."""
        self.before.remove(symbol, now_ms)

    def want_interval(self, interval: str, now_ms: int) -> None:
        """Leave the bars to the source before."""
        self.before.want_interval(interval, now_ms)

    def klines(self, symbol: str, interval: str, window: Window) -> list[list[Any]]:
        """Return bars from before the run."""
        return self.before.klines(symbol, interval, window)

    def depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        """Return the book as the last lap's depth events left it."""
        run, plan = self.run, self.run.plan
        if symbol not in plan.symbols or Kind.DEPTH not in plan.kinds:
            return self.before.depth(symbol, limit, now_ms)
        index = plan.symbols.index(symbol)
        emitted = plan.count(Kind.DEPTH, index, run.position)
        if not emitted:
            return self.before.depth(symbol, limit, now_ms)
        instrument, prices = run.encoder.instruments[index], run.encoder.prices[index]
        mine = plan.slots_of[Kind.DEPTH]
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for nth in range(max(0, emitted - len(mine)), emitted):
            slot = mine[nth % len(mine)]
            bids.update(prices.bids[slot])
            asks.update(prices.asks[slot])
        body: dict[str, Any] = {"lastUpdateId": plan.sequence(Kind.DEPTH, emitted - 1)}
        if run.market.name is Market.USDM:
            body |= {"E": now_ms, "T": now_ms}
        for side, levels in (
            ("bids", sorted(bids.items(), reverse=True)),
            ("asks", sorted(asks.items())),
        ):
            present = [(price, lots) for price, lots in levels if lots][:limit]
            body[side] = [
                [instrument.price_text(price), instrument.size_text(lots)]
                for price, lots in present
            ]
        return body

    def agg_trades(self, symbol: str, window: Window) -> list[dict[str, Any]]:
        """Return the run's aggregate trades, computed anew."""
        plan = self.run.plan
        if symbol not in plan.symbols:
            return self.before.agg_trades(symbol, window)
        index = plan.symbols.index(symbol)
        emitted = plan.count(Kind.AGG_TRADE, index, self.run.position)
        if window.from_id is not None:
            low = max(0, plan.index_of_trade(window.from_id))
        else:
            low = self._search(index, emitted, window.start_ms)
        high = emitted
        if window.from_id is None and window.end_ms is not None:
            high = self._search(index, emitted, window.end_ms + 1)
        if window.from_id is None and window.start_ms is None:
            low = max(low, high - window.limit)
        return [self._row(index, nth) for nth in range(low, min(high, low + window.limit))]

    def _time(self, symbol_index: int, nth: int) -> int:
        return self.run.time_of(self.run.plan.position_of_trade(symbol_index, nth))

    # The first trade at or after a time; times never fall, so half the rest goes each turn.
    def _search(self, symbol_index: int, emitted: int, at_ms: int | None) -> int:
        low, high = 0, emitted if at_ms is not None else 0
        while low < high:
            middle = (low + high) // 2
            if self._time(symbol_index, middle) < (at_ms or 0):
                low = middle + 1
            else:
                high = middle
        return low

    def _row(self, symbol_index: int, nth: int) -> dict[str, Any]:
        plan, encoder = self.run.plan, self.run.encoder
        position = plan.position_of_trade(symbol_index, nth)
        slot = position // len(plan.symbols) % SLOTS
        price, lots, maker_buys = encoder.prices[symbol_index].trades[slot]
        aggregate_id = plan.sequence(Kind.AGG_TRADE, nth)
        trade = AggregateTrade(
            aggregate_id,
            price,
            lots,
            aggregate_id,
            aggregate_id,
            self._time(symbol_index, nth),
            maker_buys,
        )
        return build_agg_trade_row(self.run.market.name, encoder.instruments[symbol_index], trade)
