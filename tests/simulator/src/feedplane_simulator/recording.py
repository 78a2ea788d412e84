"""Recorded frames: read from their file, and restamped so that they may be replayed for ever.

The file's first line is the URL the frames came from, then one `receive-time: frame` a line.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from feedplane_simulator.channels import INTERVAL_MS, build_stream, parse_stream
from feedplane_simulator.config import Market
from feedplane_simulator.events import VenueEvent

LINE = re.compile(r"^(\d+\.\d+): (\{.*\})$")
INFO_LINE = re.compile(r"^\S*exchangeInfo\S* -> [\d.]+: (\{.*\})$")
Payload = dict[str, Any]


class RecordedFrame(NamedTuple):
    """One frame as it was received."""

    received_ms: float
    stream: str
    symbol: str
    channel: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All frames of one file, in the order received."""

    market: Market
    frames: tuple[RecordedFrame, ...]
    exchange_info: Payload | None = None


def read_frame(received: str, text: str) -> RecordedFrame | None:
    """Read one line's frame; None when it is a reply or an event of no instrument."""
    decoded = msgspec.json.decode(text)
    payload = decoded.get("data", decoded)
    stream = decoded.get("stream")
    if stream is None and "s" in payload:
        kind = payload.get("e", "bookTicker")
        if kind == "kline":
            kind = f"kline_{payload['k']['i']}"
        stream = build_stream(payload["s"], {"depthUpdate": "depth@100ms"}.get(kind, kind))
    name = parse_stream(stream) if stream else None
    if name is None:
        return None
    return RecordedFrame(float(received) * 1000, name.text, name.symbol, name.channel, payload)


def read_recording(path: Path) -> Recording:
    """Read `NAME.ws.txt` and the `NAME.exchangeInfo.txt` beside it."""
    lines = path.read_text().splitlines()
    market = Market.USDM if "//fstream." in lines[0] else Market.SPOT
    matches = (LINE.match(line) for line in lines[1:])
    frames = (read_frame(match[1], match[2]) for match in matches if match)
    info_path = path.with_name(path.name.removesuffix(".ws.txt") + ".exchangeInfo.txt")
    return Recording(
        market=market,
        frames=tuple(frame for frame in frames if frame is not None),
        exchange_info=_read_exchange_info(info_path),
    )


def _read_exchange_info(path: Path) -> Payload | None:
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        match = INFO_LINE.match(line)
        if match:
            info: Payload = msgspec.json.decode(match[1])
            return info
    return None


def find_recordings(folder: Path) -> dict[Market, Recording]:
    """Read every recording of a folder; the last one by name counts for its market."""
    recordings = (read_recording(path) for path in sorted(folder.glob("*.ws.txt")))
    return {recording.market: recording for recording in recordings}


@dataclass(slots=True)
class IdSpan:
    """The ids one instrument used, so that the next loop goes on where this one ended."""

    first: int | None = None
    last: int | None = None

    def include(self, *ids: int) -> None:
        """Widen the span; negative ids stand for none."""
        for each in ids:
            if each >= 0:
                self.first = each if self.first is None else min(self.first, each)
                self.last = each if self.last is None else max(self.last, each)

    @property
    def width(self) -> int:
        """How many ids the span covers."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1


@dataclass(slots=True)
class InstrumentSpans:
    """Spans of one instrument's three kinds of id."""

    aggregates: IdSpan = field(default_factory=IdSpan)
    trades: IdSpan = field(default_factory=IdSpan)
    updates: IdSpan = field(default_factory=IdSpan)


def measure_spans(frames: tuple[RecordedFrame, ...]) -> dict[str, InstrumentSpans]:
    """Measure which ids each instrument used."""
    spans: dict[str, InstrumentSpans] = {}
    for frame in frames:
        mine, payload = spans.setdefault(frame.symbol, InstrumentSpans()), frame.payload
        if frame.channel == "aggTrade":
            mine.aggregates.include(payload["a"])
            mine.trades.include(payload["f"], payload["l"])
        elif frame.channel == "trade":
            mine.trades.include(payload["t"])
        elif frame.channel == "bookTicker":
            mine.updates.include(payload["u"])
        elif frame.channel.startswith("depth") and "U" in payload:
            mine.updates.include(payload["U"], payload["u"])
        elif frame.channel.startswith("kline_"):
            mine.trades.include(payload["k"]["L"])
    return spans


class Restamper:
    """Moves recorded frames to now, loop after loop, with ids that go on."""

    def __init__(self, recording: Recording, id_base: int) -> None:
        self._market = recording.market
        self._spans = measure_spans(recording.frames)
        self._id_base = id_base
        self._loop = 0
        self._bar_shift_ms = 0.0
        self._last_depth: dict[str, int] = {}
        self._final_bars: dict[str, int] = {}
        self._levels: dict[str, dict[str, dict[str, str]]] = {}
        self._restarted: set[str] = set()

    def begin_loop(self, loop: int, shift_ms: float) -> None:
        """Begin to replay from the first frame, `shift_ms` after it was recorded."""
        self._loop = loop
        self._bar_shift_ms = shift_ms
        self._restarted = set(self._last_depth)

    def levels(self, symbol: str) -> dict[str, dict[str, str]]:
        """Return the book that the replayed depth events add up to, price text to size text."""
        return self._levels.setdefault(symbol, {"b": {}, "a": {}})

    def last_update_id(self, symbol: str) -> int:
        """Return the id up to which the book stands."""
        span = self._spans[symbol].updates
        return self._last_depth.get(symbol, (span.first or 1) - 1 + self._id_base)

    def restamp(self, frame: RecordedFrame, now_ms: int) -> VenueEvent | None:
        """Return the frame as an event of now; None for a bar that was final a loop ago."""
        payload = dict(frame.payload)
        shift_ms = now_ms - frame.received_ms
        for key in ("E", "T"):
            if key in payload:
                payload[key] = min(round(payload[key] + shift_ms), now_ms)
        spans = self._spans[frame.symbol]
        sequence, final = 0, True
        if frame.channel == "aggTrade":
            payload["a"] += self._moved(spans.aggregates)
            payload["f"] += self._moved(spans.trades)
            payload["l"] += self._moved(spans.trades)
            sequence = payload["a"]
        elif frame.channel == "trade":
            sequence = payload["t"] = payload["t"] + self._moved(spans.trades)
        elif frame.channel == "bookTicker":
            sequence = payload["u"] = payload["u"] + self._moved(spans.updates)
        elif frame.channel.startswith("depth") and "U" in payload:
            sequence = self._restamp_depth(frame.symbol, payload)
        elif frame.channel.startswith("kline_"):
            bar = payload["k"] = self._restamp_bar(frame, spans)
            sequence, final = bar["t"], bar["x"]
            if self._final_bars.get(frame.stream, -1) >= sequence:
                return None
            if final:
                self._final_bars[frame.stream] = sequence
        encoded = msgspec.json.encode(payload)
        return VenueEvent(frame.channel, frame.symbol, frame.stream, sequence, encoded, final)

    def _moved(self, span: IdSpan) -> int:
        return self._id_base + self._loop * span.width

    def _restamp_bar(self, frame: RecordedFrame, spans: InstrumentSpans) -> Payload:
        bar = dict(frame.payload["k"])
        interval_ms = INTERVAL_MS[bar["i"]]
        shift = int(self._bar_shift_ms // interval_ms * interval_ms)
        bar["t"] += shift
        bar["T"] += shift
        if bar["f"] >= 0:
            bar["f"] += self._moved(spans.trades)
            bar["L"] += self._moved(spans.trades)
        return bar

    def _restamp_depth(self, symbol: str, payload: Payload) -> int:
        moved = self._moved(self._spans[symbol].updates)
        payload["U"] += moved
        payload["u"] += moved
        if "pu" in payload:
            payload["pu"] += moved
        if symbol in self._restarted:
            # The next loop starts from an empty book, so its first event clears the old one.
            self._restarted.discard(symbol)
            payload["U" if self._market is Market.SPOT else "pu"] = self._last_depth[symbol] + (
                self._market is Market.SPOT
            )
            for side in ("b", "a"):
                payload[side] = _with_removals(payload[side], self.levels(symbol)[side])
        for side in ("b", "a"):
            levels = self.levels(symbol)[side]
            for price, size in payload[side]:
                if float(size):
                    levels[price] = size
                else:
                    levels.pop(price, None)
        self._last_depth[symbol] = payload["u"]
        return int(payload["u"])


def _with_removals(changes: list[list[str]], present: dict[str, str]) -> list[list[str]]:
    mentioned = {price for price, _ in changes}
    zero = "0." if any("." in size for size in present.values()) else "0"
    gone = [
        [price, zero + "0" * len(size.partition(".")[2])]
        for price, size in present.items()
        if price not in mentioned
    ]
    return [*changes, *gone]
