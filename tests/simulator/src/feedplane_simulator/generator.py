"""Seeded markets: a kept book, trades that take from it, and every channel derived from both.

Knows nothing of sockets or of the clock; the caller passes the time and takes the events.
"""

import random
from dataclasses import dataclass, field
from itertools import accumulate

from feedplane_simulator.bars import Bar, BarSeries, BarTrade
from feedplane_simulator.book import Book
from feedplane_simulator.channels import INTERVAL_MS, build_stream
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.history import TradeHistory
from feedplane_simulator.instruments import Instrument, build_instrument, build_instruments
from feedplane_simulator.past import Origin, Past
from feedplane_simulator.payloads import (
    AggregateTrade,
    DepthChange,
    encode_agg_trade,
    encode_book_ticker,
    encode_depth,
    encode_kline,
    encode_trade,
)

TRADE_SHARE = 0.35
FIRST_AGGREGATE_ID = 10_000_000
FIRST_TRADE_ID = 20_000_000
BOOK_LEVELS = 150
BOOK_LEVELS_MAX = 400
SKEW = 0.8


@dataclass(slots=True)
class InstrumentState:
    """Everything that moves for one instrument."""

    instrument: Instrument
    rng: random.Random
    book: Book
    next_aggregate_id: int
    next_trade_id: int
    bars: dict[str, BarSeries]
    history: TradeHistory
    past: Past | None = None
    """What happened before the start, where the simulator has such history."""
    last_depth_id: dict[str, int] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)


class Generator:
    """All instruments of one market, each with its own random source."""

    def __init__(self, market: Market, config: SimulatorConfig, now_ms: int) -> None:
        self.market = market
        self._config = config
        self.rules = config.rules[market]
        self._channels = set(config.channels)
        quoted = self._channels & {"bookTicker", "depth"}
        self._trade_share = TRADE_SHARE if quoted else 1.0
        self._rng = random.Random(f"{config.seed}:{market}")  # noqa: S311 - seeded on purpose
        self._update_id = config.id_base + 1_000_000_000
        self._intervals = list(config.intervals)
        listed = build_instruments(market, config.symbols)
        self.states = {
            instrument.symbol: self._build_state(instrument, now_ms) for instrument in listed
        }
        self.halted: set[str] = set()
        self._pickable: list[InstrumentState] = []
        self._weights: list[float] = []
        self.rank()
        self._next_depth_ms = dict.fromkeys(self.rules.depth_speeds_ms, now_ms)
        self._next_kline_ms = now_ms

    def rank(self) -> None:
        """Recompute which instruments may trade; the first are the busiest."""
        self._pickable = [s for n, s in self.states.items() if n not in self.halted]
        weights = (1 / (index + 1) ** SKEW for index in range(len(self._pickable)))
        self._weights = list(accumulate(weights))

    def list_instrument(self, symbol: str, now_ms: int) -> None:
        """Begin to trade a symbol, halted before or never seen."""
        self.halted.discard(symbol)
        if symbol not in self.states:
            instrument = build_instrument(self.market, symbol)
            self.states[symbol] = self._build_state(instrument, now_ms)
        self.rank()

    def _build_state(self, instrument: Instrument, now_ms: int) -> InstrumentState:
        config = self._config
        key = f"{config.seed}:{self.market}:{instrument.symbol}"
        rng = random.Random(key)  # noqa: S311 - seeded on purpose
        price = instrument.first_price
        book = Book(self.rules.depth_speeds_ms)
        bids = {price - 1 - i: rng.randint(1, 5000) for i in range(BOOK_LEVELS) if i % 7 != 5}
        asks = {price + 1 + i: rng.randint(1, 5000) for i in range(BOOK_LEVELS) if i % 7 != 5}
        book.fill({p: q for p, q in bids.items() if p > 0}, asks, self._update_id)
        bars = {i: BarSeries(INTERVAL_MS[i], price, now_ms) for i in self._all_intervals()}
        past = self._build_past(instrument, now_ms)
        if past is None:
            _fill_past(bars["1m"], price, rng, config.history_minutes)
        else:
            recent = past.minutes(past.end_ms - config.history_minutes * 60_000, past.end_ms)
            bars["1m"].closed.extend(recent)
        for interval, series in bars.items():
            if interval not in ("1s", "1m"):
                series.seed((*bars["1m"].closed, bars["1m"].current))
        state = InstrumentState(
            instrument=instrument,
            rng=rng,
            book=book,
            next_aggregate_id=config.id_base + FIRST_AGGREGATE_ID,
            next_trade_id=config.id_base + FIRST_TRADE_ID,
            bars=bars,
            history=TradeHistory(),
            past=past,
            last_depth_id=dict.fromkeys(self.rules.depth_speeds_ms, self._update_id),
        )
        names = ["aggTrade", "trade", "bookTicker", *self.rules.depth_speeds_ms]
        names += [f"kline_{interval}" for interval in INTERVAL_MS]
        state.streams = {name: build_stream(instrument.symbol, name) for name in names}
        return state

    def _build_past(self, instrument: Instrument, now_ms: int) -> Past | None:
        config = self._config
        if config.history_days == 0:
            return None
        return Past(
            self.market,
            instrument,
            Origin(
                start_ms=now_ms,
                next_aggregate_id=config.id_base + FIRST_AGGREGATE_ID,
                next_trade_id=config.id_base + FIRST_TRADE_ID,
            ),
            seed=config.seed,
            days=config.history_days,
            trades_a_minute=config.history_trades_a_minute,
        )

    def _all_intervals(self) -> list[str]:
        return list(dict.fromkeys(["1m", *self._intervals]))

    def _next_update_id(self, state: InstrumentState) -> int:
        # Spot numbers each book by itself and without holes, futures number all books together.
        if self.market is Market.SPOT:
            return state.book.update_id + 1
        self._update_id += state.rng.randint(1, 9)
        return self._update_id

    def step(self, now_ms: int) -> list[VenueEvent]:
        """Let one thing happen on one instrument and return what it makes the venue push."""
        if not self._pickable:
            return []
        state = self._rng.choices(self._pickable, cum_weights=self._weights)[0]
        before = state.book.best()
        events: list[VenueEvent] = []
        if state.rng.random() < self._trade_share:
            events += self._trade(state, now_ms)
        else:
            self._quote(state)
        if "bookTicker" in self._channels and state.book.best() != before:
            events.append(self._book_ticker(state, now_ms))
        return events

    def _event(
        self,
        state: InstrumentState,
        channel: str,
        sequence: int,
        payload: bytes,
        *,
        final: bool = True,
    ) -> VenueEvent:
        stream = state.streams[channel]
        return VenueEvent(channel, state.instrument.symbol, stream, sequence, payload, final)

    def _book_ticker(self, state: InstrumentState, now_ms: int) -> VenueEvent:
        book = state.book
        payload = encode_book_ticker(
            self.market, state.instrument, book.best(), book.update_id, now_ms
        )
        return self._event(state, "bookTicker", book.update_id, payload)

    def _quote(self, state: InstrumentState) -> None:
        rng, book = state.rng, state.book
        bid_side = rng.random() < 0.5
        levels = book.bids if bid_side else book.asks
        best = book.best_bid if bid_side else book.best_ask
        away = -1 if bid_side else 1
        spread = book.best_ask - book.best_bid
        if spread > 1 and rng.random() < (0.8 if spread > 3 else 0.3):
            price, lots = best - away, rng.randint(1, 3000)
        elif rng.random() < 0.7:
            price, lots = best, rng.randint(1, 5000)
        else:
            price = max(1, best + away * rng.randint(1, BOOK_LEVELS))
            lots = 0 if price in levels and rng.random() < 0.4 else rng.randint(1, 8000)
        if lots == 0 and len(levels) < BOOK_LEVELS // 2:
            lots = 1
        book.change(bid_side, price, lots, self._next_update_id(state))
        if len(levels) > BOOK_LEVELS_MAX:
            worst = min(levels) if bid_side else max(levels)
            book.change(bid_side, worst, 0, self._next_update_id(state))

    def _trade(self, state: InstrumentState, now_ms: int) -> list[VenueEvent]:
        rng, book = state.rng, state.book
        taker_buys = rng.random() < 0.5
        price = book.best_ask if taker_buys else book.best_bid
        levels = book.asks if taker_buys else book.bids
        available = levels[price]
        fills = min(available, rng.choice((1, 1, 1, 1, 1, 2, 3, 5)))
        lots = min(available, max(fills, int(rng.paretovariate(0.6) * 20)))
        remaining = available - lots
        if remaining == 0 and len(levels) < BOOK_LEVELS // 2:
            remaining = 1 + available
        book.change(not taker_buys, price, remaining, self._next_update_id(state))
        trade = AggregateTrade(
            state.next_aggregate_id,
            price,
            lots,
            state.next_trade_id,
            state.next_trade_id + fills - 1,
            now_ms,
            not taker_buys,
        )
        state.next_aggregate_id += 1
        state.next_trade_id += fills
        state.history.add(trade)
        self._count_into_bars(state, trade)
        return self._trade_events(state, trade)

    def _count_into_bars(self, state: InstrumentState, trade: AggregateTrade) -> None:
        counted = BarTrade(
            price=trade.price,
            lots=trade.lots,
            first_id=trade.first_id,
            last_id=trade.last_id,
            taker_buys=not trade.maker_buys,
        )
        for series in state.bars.values():
            series.add(counted)

    def _trade_events(self, state: InstrumentState, trade: AggregateTrade) -> list[VenueEvent]:
        events = []
        if "trade" in self._channels and self.market is Market.SPOT:
            fills = trade.last_id - trade.first_id + 1
            for index in range(fills):
                lots = (
                    trade.lots // fills if index else trade.lots - trade.lots // fills * (fills - 1)
                )
                trade_id = trade.first_id + index
                payload = encode_trade(state.instrument, trade, trade_id, lots)
                events.append(self._event(state, "trade", trade_id, payload))
        if "aggTrade" in self._channels:
            payload = encode_agg_trade(self.market, state.instrument, trade, trade.time_ms)
            events.append(self._event(state, "aggTrade", trade.aggregate_id, payload))
        return events

    def poll(self, now_ms: int) -> list[VenueEvent]:
        """Return what falls due by time: final bars, depth events, updates of open bars.

        Must run before `step` at the same time, so that a trade lands in its own bar.
        """
        events = self._final_bars(now_ms)
        if "depth" in self._channels:
            events += self._due_depth(now_ms)
        if "kline" in self._channels and now_ms >= self._next_kline_ms:
            self._next_kline_ms = now_ms + self.rules.kline_interval_ms
            events += self._open_bars(now_ms)
        return events

    def _final_bars(self, now_ms: int) -> list[VenueEvent]:
        events: list[VenueEvent] = []
        for state in self.states.values():
            for interval, series in state.bars.items():
                if now_ms <= series.current.close_ms:
                    continue
                finished = series.roll(now_ms)
                if "kline" in self._channels and interval in self._intervals:
                    events.extend(
                        self._bar_event(state, interval, bar, now_ms, final=True)
                        for bar in finished
                    )
        return events

    def _open_bars(self, now_ms: int) -> list[VenueEvent]:
        events = []
        for state in self.states.values():
            for interval in self._intervals:
                series = state.bars[interval]
                if series.changed:
                    series.changed = False
                    bar = series.current
                    events.append(self._bar_event(state, interval, bar, now_ms, final=False))
        return events

    def _bar_event(
        self, state: InstrumentState, interval: str, bar: Bar, now_ms: int, *, final: bool
    ) -> VenueEvent:
        payload = encode_kline(state.instrument, interval, bar, now_ms, final=final)
        return self._event(state, f"kline_{interval}", bar.open_ms, payload, final=final)

    def _due_depth(self, now_ms: int) -> list[VenueEvent]:
        events: list[VenueEvent] = []
        for speed, every_ms in self.rules.depth_speeds_ms.items():
            if now_ms < self._next_depth_ms[speed]:
                continue
            self._next_depth_ms[speed] = now_ms + every_ms
            events.extend(
                self._depth_event(state, speed, now_ms)
                for state in self.states.values()
                if not state.book.pending[speed].empty
            )
        return events

    def _depth_event(self, state: InstrumentState, speed: str, now_ms: int) -> VenueEvent:
        book, pending = state.book, state.book.pending[speed]
        change = DepthChange(
            pending.first_id,
            book.update_id,
            state.last_depth_id[speed],
            sorted(pending.bids.items(), reverse=True),
            sorted(pending.asks.items()),
        )
        payload = encode_depth(self.market, state.instrument, change, now_ms)
        state.last_depth_id[speed] = book.update_id
        pending.clear()
        return self._event(state, speed, change.last_id, payload)

    def want_interval(self, interval: str, now_ms: int) -> None:
        """Begin pushing bars of an interval that was not pushed before."""
        if interval in self._intervals or interval not in INTERVAL_MS:
            return
        self._intervals.append(interval)
        for state in self.states.values():
            if interval in state.bars:
                continue
            minutes = state.bars["1m"]
            minutes.roll(now_ms)
            series = BarSeries(INTERVAL_MS[interval], minutes.current.close, now_ms)
            if interval != "1s":
                series.seed((*minutes.closed, minutes.current))
            state.bars[interval] = series


# Bars from before the start, so that history has something to answer with.
def _fill_past(series: BarSeries, price: int, rng: random.Random, minutes: int) -> None:
    bars = []
    opened = series.current.open_ms
    close = price
    for index in range(minutes):
        open_ms = opened - (index + 1) * series.interval_ms
        start = max(2, close + rng.randint(-9, 9))
        lots, count = rng.randint(100, 90_000), rng.randint(1, 400)
        bar = Bar(
            open_ms,
            open_ms + series.interval_ms - 1,
            start,
            max(start, close) + rng.randint(0, 9),
            max(1, min(start, close) - rng.randint(0, 9)),
            close,
        )
        bar.lots, bar.count, bar.amount = lots, count, lots * close
        bar.taker_lots, bar.taker_amount = lots // 3, lots // 3 * close
        bars.append(bar)
        close = start
    series.closed.extend(reversed(bars))
