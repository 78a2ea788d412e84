"""What a market needs of whatever makes its events: a generator, a recording, a load run."""

from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from feedplane_simulator.annals import Annals
from feedplane_simulator.bars import Bar, merge_bars
from feedplane_simulator.channels import INTERVAL_MS
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.generator import Generator, InstrumentState
from feedplane_simulator.instruments import build_rate_limits, describe_spot, describe_usdm
from feedplane_simulator.past import MINUTE_MS
from feedplane_simulator.payloads import build_agg_trade_row, build_kline_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A REST query by id or by time; unset ends are open."""

    limit: int
    from_id: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None


class Source(Protocol):
    """Makes a market's events and answers its REST questions from the same state."""

    @property
    def annals(self) -> Annals | None:
        """The whole history, where there is one to be archived."""

    def poll(self, now_ms: int) -> list[VenueEvent]:
        """Return the events that are due by time alone."""

    def step(self, now_ms: int) -> list[VenueEvent]:
        """Return the events of the next thing that happens."""

    def exchange_info(self, now_ms: int) -> dict[str, Any]:
        """Return the exchangeInfo document."""

    def lists(self, symbol: str) -> bool:
        """Tell whether the venue knows a symbol."""

    def set_status(self, symbol: str, now_ms: int, *, trading: bool) -> None:
        """List a symbol, new or back again, or delist one, which stays known as broken off."""

    def remove(self, symbol: str, now_ms: int) -> None:
        """Take a symbol out of exchangeInfo altogether."""

    def want_interval(self, interval: str, now_ms: int) -> None:
        """Begin pushing bars of an interval."""

    def depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        """Return a book snapshot that agrees with the depth events."""

    def agg_trades(self, symbol: str, window: Window) -> list[dict[str, Any]]:
        """Return aggregate trades from history."""

    def klines(self, symbol: str, interval: str, window: Window) -> list[list[Any]]:
        """Return bars from history, the open one last."""


class GeneratedSource:
    """A generator with the REST answers built from its state."""

    def __init__(self, market: Market, config: SimulatorConfig, now_ms: int) -> None:
        self._market = market
        self._rules = config.rules[market]
        self.generator = Generator(market, config, now_ms)
        self._annals = Annals(self.generator)
        self.annals: Annals | None = self._annals
        self._gone: set[str] = set()

    def poll(self, now_ms: int) -> list[VenueEvent]:
        """Return the events that are due by time alone."""
        return self.generator.poll(now_ms)

    def step(self, now_ms: int) -> list[VenueEvent]:
        """Return the events of the next thing that happens."""
        return self.generator.step(now_ms)

    def exchange_info(self, now_ms: int) -> dict[str, Any]:
        """Return the exchangeInfo document."""
        describe = describe_spot if self._market is Market.SPOT else describe_usdm
        halted = self.generator.halted
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": build_rate_limits(self._market, self._rules),
            "exchangeFilters": [],
            "symbols": [
                describe(state.instrument, "BREAK" if symbol in halted else "TRADING")
                for symbol, state in self.generator.states.items()
                if symbol not in self._gone
            ],
        }

    def lists(self, symbol: str) -> bool:
        """Tell whether the venue knows a symbol."""
        return symbol in self.generator.states and symbol not in self._gone

    def set_status(self, symbol: str, now_ms: int, *, trading: bool) -> None:
        """List or delist a symbol; a delisted one stays known with status BREAK."""
        self._gone.discard(symbol)
        if trading:
            self.generator.list_instrument(symbol, now_ms)
        elif symbol in self.generator.states:
            self.generator.halted.add(symbol)
            self.generator.rank()

    def remove(self, symbol: str, now_ms: int) -> None:
        """Take a symbol out of exchangeInfo altogether."""
        self.set_status(symbol, now_ms, trading=False)
        self._gone.add(symbol)

    def want_interval(self, interval: str, now_ms: int) -> None:
        """Begin pushing bars of an interval."""
        self.generator.want_interval(interval, now_ms)

    def depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        """Return a book snapshot that agrees with the depth events."""
        state = self.generator.states[symbol]
        bids, asks = state.book.snapshot(limit)
        instrument = state.instrument
        body: dict[str, Any] = {"lastUpdateId": state.book.update_id}
        if self._market is Market.USDM:
            body |= {"E": now_ms, "T": now_ms}
        for side, levels in (("bids", bids), ("asks", asks)):
            body[side] = [
                [instrument.price_text(price), instrument.size_text(lots)] for price, lots in levels
            ]
        return body

    def agg_trades(self, symbol: str, window: Window) -> list[dict[str, Any]]:
        """Return aggregate trades from history."""
        state = self.generator.states[symbol]
        if window.from_id is not None:
            trades = self._annals.trades_from(symbol, window.from_id, window.limit)
        elif window.start_ms is not None:
            end_ms = 1 << 62 if window.end_ms is None else window.end_ms + 1
            found = self._annals.trades(symbol, window.start_ms, end_ms)
            trades = list(islice(found, window.limit))
        else:
            trades = state.history.between(window.start_ms, window.end_ms, window.limit)
        return [build_agg_trade_row(self._market, state.instrument, trade) for trade in trades]

    def klines(self, symbol: str, interval: str, window: Window) -> list[list[Any]]:
        """Return bars from history, the open one last."""
        state = self.generator.states[symbol]
        bars = [
            bar
            for bar in self._bars(state, interval, window)
            if (window.start_ms is None or bar.open_ms >= window.start_ms)
            and (window.end_ms is None or bar.open_ms <= window.end_ms)
        ]
        oldest_first = window.start_ms is not None
        chosen = bars[: window.limit] if oldest_first else bars[-window.limit :]
        return [build_kline_row(state.instrument, bar) for bar in chosen]

    def _bars(self, state: InstrumentState, interval: str, window: Window) -> list[Bar]:
        minutes, length = state.bars["1m"], INTERVAL_MS[interval]
        finest = state.bars.get(interval, minutes) if length < MINUTE_MS else minutes
        bars = [*finest.closed, finest.current]
        if window.start_ms is not None and length >= MINUTE_MS and state.past is not None:
            # Whole bars only: one that began before the window is not asked for.
            start_ms = -(-max(window.start_ms, state.past.listed_ms) // length) * length
            wanted = (window.limit + 1) * length // MINUTE_MS
            bars = self._annals.early_minutes(state.instrument.symbol, start_ms, wanted) + bars
        return bars if interval in ("1m", "1s") else merge_bars(bars, length)
