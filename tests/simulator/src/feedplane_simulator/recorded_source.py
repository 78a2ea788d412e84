"""A market replayed from a recording, with REST answers built from what was replayed."""

from collections import defaultdict, deque
from decimal import Decimal
from typing import Any

import msgspec

from feedplane_simulator.annals import Annals
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.instruments import build_rate_limits
from feedplane_simulator.recording import Recording, Restamper
from feedplane_simulator.sources import Window

KEEP_TRADES = 200_000
BEHIND_MS = 1000.0


class RecordedSource:
    """Replays a recording at its own pace, or one frame a step at the simulator's rate."""

    def __init__(self, recording: Recording, config: SimulatorConfig, now_ms: int) -> None:
        self.annals: Annals | None = None
        self._recording = recording
        self._market = recording.market
        self._rules = config.rules[recording.market]
        self._recorded_pace = config.recorded_pace
        self._looped = config.recordings_loop
        self._restamper = Restamper(recording, config.id_base)
        self._next = 0
        self._loop = 0
        self._shift_ms = now_ms - recording.frames[0].received_ms
        self._restamper.begin_loop(0, self._shift_ms)
        self._statuses: dict[str, bool] = {}
        self._gone: set[str] = set()
        self._trades: dict[str, deque[dict[str, Any]]] = defaultdict(
            lambda: deque(maxlen=KEEP_TRADES)
        )
        self._bars: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
        self._symbols = {frame.symbol for frame in recording.frames}
        self._known = {entry["symbol"] for entry in self._entries()} | self._symbols

    def _entries(self) -> list[dict[str, Any]]:
        info = self._recording.exchange_info
        if info is not None:
            return list(info["symbols"])
        return [
            {"symbol": symbol, "status": "TRADING", "contractType": "PERPETUAL", "filters": []}
            for symbol in sorted(self._symbols)
        ]

    @property
    def exhausted(self) -> bool:
        """Whether every frame was replayed and no loop begins again."""
        return self._next >= len(self._recording.frames) and not self._looped

    def poll(self, now_ms: int) -> list[VenueEvent]:
        """Return what the recording's own pace makes due."""
        if not self._recorded_pace:
            return []
        events: list[VenueEvent] = []
        while not self.exhausted:
            self._wrap(now_ms)
            due_ms = self._recording.frames[self._next].received_ms + self._shift_ms
            if due_ms > now_ms:
                break
            if now_ms - due_ms > BEHIND_MS:
                self._shift_ms += now_ms - due_ms
            events += self._replay(now_ms)
        return events

    def step(self, now_ms: int) -> list[VenueEvent]:
        """Return the next frame, when the pace is the simulator's."""
        if self._recorded_pace or self.exhausted:
            return []
        self._wrap(now_ms)
        return self._replay(now_ms)

    def _wrap(self, now_ms: int) -> None:
        if self._next < len(self._recording.frames):
            return
        self._next = 0
        self._loop += 1
        self._shift_ms = now_ms - self._recording.frames[0].received_ms
        self._restamper.begin_loop(self._loop, self._shift_ms)

    def _replay(self, now_ms: int) -> list[VenueEvent]:
        frame = self._recording.frames[self._next]
        self._next += 1
        if not self._statuses.get(frame.symbol, True):
            return []
        event = self._restamper.restamp(frame, now_ms)
        if event is None:
            return []
        if event.channel == "aggTrade":
            self._trades[event.symbol].append(msgspec.json.decode(event.payload))
        elif event.channel.startswith("kline_"):
            bar = msgspec.json.decode(event.payload)["k"]
            self._bars[event.symbol, bar["i"]][bar["t"]] = bar
        return [event]

    def exchange_info(self, now_ms: int) -> dict[str, Any]:
        """Return the recorded exchangeInfo with today's time and changed statuses."""
        info = dict(self._recording.exchange_info or {"timezone": "UTC", "exchangeFilters": []})
        info["serverTime"] = now_ms
        info["rateLimits"] = build_rate_limits(self._market, self._rules)
        info["symbols"] = [
            entry
            if entry["symbol"] not in self._statuses
            else entry | {"status": "TRADING" if self._statuses[entry["symbol"]] else "BREAK"}
            for entry in self._entries()
            if entry["symbol"] not in self._gone
        ]
        return info

    def lists(self, symbol: str) -> bool:
        """Tell whether the venue knows a symbol."""
        return symbol in self._known and symbol not in self._gone

    def set_status(self, symbol: str, _now_ms: int, *, trading: bool) -> None:
        """List or delist a symbol; a delisted one is skipped in the replay."""
        self._statuses[symbol] = trading
        self._gone.discard(symbol)

    def remove(self, symbol: str, now_ms: int) -> None:
        """Take a symbol out of exchangeInfo altogether."""
        self.set_status(symbol, now_ms, trading=False)
        self._gone.add(symbol)

    def want_interval(self, interval: str, now_ms: int) -> None:
        """Do nothing: only recorded bars are replayed."""

    def depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        """Return the book the replayed depth events add up to."""
        if symbol not in self._symbols:
            return {"lastUpdateId": 1, "bids": [], "asks": []}
        levels = self._restamper.levels(symbol)
        body: dict[str, Any] = {"lastUpdateId": self._restamper.last_update_id(symbol)}
        if self._market is Market.USDM:
            body |= {"E": now_ms, "T": now_ms}
        for side, key, best_first in (("bids", "b", True), ("asks", "a", False)):
            prices = sorted(levels[key].items(), key=_by_price, reverse=best_first)
            body[side] = [list(level) for level in prices[:limit]]
        return body

    def agg_trades(self, symbol: str, window: Window) -> list[dict[str, Any]]:
        """Return replayed aggregate trades."""
        rows = [
            {key: value for key, value in row.items() if key not in ("e", "E", "s")}
            for row in self._trades[symbol]
            if (window.from_id is None or row["a"] >= window.from_id)
            and (window.start_ms is None or row["T"] >= window.start_ms)
            and (window.end_ms is None or row["T"] <= window.end_ms)
        ]
        newest = window.from_id is None and window.start_ms is None
        return rows[-window.limit :] if newest else rows[: window.limit]

    def klines(self, symbol: str, interval: str, window: Window) -> list[list[Any]]:
        """Return replayed bars as REST rows."""
        bars = [
            bar
            for opened, bar in sorted(self._bars[symbol, interval].items())
            if (window.start_ms is None or opened >= window.start_ms)
            and (window.end_ms is None or opened <= window.end_ms)
        ]
        chosen = bars[-window.limit :] if window.start_ms is None else bars[: window.limit]
        keys = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
        return [[bar[key] for key in keys] for bar in chosen]


def _by_price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])
