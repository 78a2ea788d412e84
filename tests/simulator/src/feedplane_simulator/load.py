"""Load as arithmetic: which event stands at which position, and frames encoded before they go.

A load run repeats laps of 100 slots. In each slot every instrument emits one event, whose kind
the pattern fixes. Ids are the lap's number followed by the slot's, so a whole lap is encoded
once and only the lap's digits and the times are replaced before it is written.
"""

import random
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from feedplane_simulator.bars import Bar
from feedplane_simulator.book import BestPrices
from feedplane_simulator.channels import parse_stream
from feedplane_simulator.config import Market
from feedplane_simulator.frames import encode_combined, encode_text_frame
from feedplane_simulator.instruments import Instrument
from feedplane_simulator.payloads import (
    AggregateTrade,
    DepthChange,
    encode_agg_trade,
    encode_book_ticker,
    encode_depth,
    encode_kline,
)

SLOTS = 100
MIX_TRADES = 10
LAPS_MAX = 10_000_000
TIME_WIDTH = 13
# Stand-ins as wide as what replaces them; no venue text holds such numbers.
TIME_STAND_IN = 9_191_919_191_919
OPEN_STAND_IN = 9_292_929_292_929
CLOSE_STAND_IN = 9_393_939_393_939


class Kind(StrEnum):
    """Kinds of event a slot may hold."""

    AGG_TRADE = "aggTrade"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    KLINE = "kline"


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to blast. Without a rate as fast as the slowest connection reads."""

    market: Market = Market.SPOT
    pattern: Literal["aggTrade", "mix"] = "aggTrade"
    rate: float | None = None
    """Events per second of the venue in total."""
    frames: int | None = None
    seconds: float | None = None
    symbols: int | None = None
    """How many of the listed instruments; all when unset."""


def build_slots(pattern: str) -> tuple[Kind, ...]:
    """Return the kind of each slot of a lap: the mix is a futures feed's, half of it depth."""
    if pattern == "aggTrade":
        return (Kind.AGG_TRADE,) * SLOTS

    def kind(slot: int) -> Kind:
        if slot % 10 == 0:
            return Kind.AGG_TRADE
        if slot % 25 == 7:
            return Kind.KLINE
        return Kind.DEPTH if slot % 2 else Kind.BOOK_TICKER

    return tuple(kind(slot) for slot in range(SLOTS))


def first_lap(last_id: int) -> int:
    """Return a lap whose ids all stand above `last_id` and keep their width for a run."""
    lap = max(last_id // MIX_TRADES // 1000 * 1000 + 2000, 10**8 + 1000)
    if len(str(lap + LAPS_MAX)) != len(str(lap)):
        lap = 10 ** len(str(lap)) + 1000
    return lap


class LapPlan:
    """Positions, slots and ids of a run; position `p` is the p-th event of the venue."""

    def __init__(self, slots: Sequence[Kind], symbols: Sequence[str], lap: int) -> None:
        self.slots = slots
        self.symbols = symbols
        self.lap = lap
        self.events_per_lap = SLOTS * len(symbols)
        self.kinds = frozenset(slots)
        self.slots_of = {k: [i for i, kind in enumerate(slots) if kind is k] for k in Kind}

    def count(self, kind: Kind, symbol_index: int, position: int) -> int:
        """Return how many events of a kind an instrument has before a position."""
        width = len(self.symbols)
        slots_seen = max(0, (position - symbol_index + width - 1) // width)
        laps, slot = divmod(slots_seen, SLOTS)
        mine = self.slots_of[kind]
        return laps * len(mine) + bisect_left(mine, slot)

    def sequence(self, kind: Kind, index: int) -> int:
        """Return the id of an instrument's `index`-th event of a kind; aggregate ids are dense."""
        mine = self.slots_of[kind]
        if kind is Kind.AGG_TRADE:
            return self.lap * len(mine) + index
        laps, nth = divmod(index, len(mine))
        return (self.lap + laps) * SLOTS + mine[nth]

    def index_of_trade(self, aggregate_id: int) -> int:
        """Return which of an instrument's aggregate trades has an id."""
        return aggregate_id - self.lap * len(self.slots_of[Kind.AGG_TRADE])

    def position_of_trade(self, symbol_index: int, index: int) -> int:
        """Return the position of an instrument's `index`-th aggregate trade."""
        mine = self.slots_of[Kind.AGG_TRADE]
        laps, nth = divmod(index, len(mine))
        return (laps * SLOTS + mine[nth]) * len(self.symbols) + symbol_index


@dataclass(frozen=True, slots=True)
class SlotPrices:
    """What one instrument prints in each slot of every lap."""

    trades: tuple[tuple[int, int, bool], ...]
    """Price, lots, maker buys."""
    bests: tuple[BestPrices, ...]
    bids: tuple[tuple[tuple[int, int], ...], ...]
    asks: tuple[tuple[tuple[int, int], ...], ...]


def build_prices(instrument: Instrument, seed: int) -> SlotPrices:
    """Draw an instrument's prices; bids stay below its first price and asks above."""
    rng = random.Random(f"{seed}:load:{instrument.symbol}")  # noqa: S311 - seeded on purpose
    middle = instrument.first_price

    def levels(sign: int) -> tuple[tuple[int, int], ...]:
        chosen = rng.sample(range(1, 40), 4)
        return tuple(
            (middle + sign * away, rng.randint(0, 3) and rng.randint(1, 9999))
            for away in sorted(chosen)
        )

    trades = tuple(
        (middle + rng.randint(-20, 20), rng.randint(1, 99_999), rng.random() < 0.5)
        for _ in range(SLOTS)
    )
    bests = tuple(
        BestPrices(middle - 1, rng.randint(1, 9999), middle + 1, rng.randint(1, 9999))
        for _ in range(SLOTS)
    )
    return SlotPrices(
        trades,
        bests,
        tuple(levels(-1) for _ in range(SLOTS)),
        tuple(levels(+1) for _ in range(SLOTS)),
    )


class LapEncoder:
    """Encodes single events of a lap with stand-ins where digits will be replaced."""

    def __init__(
        self, market: Market, plan: LapPlan, instruments: Sequence[Instrument], seed: int
    ) -> None:
        self.market = market
        self.plan = plan
        self.instruments = instruments
        self.prices = [build_prices(instrument, seed) for instrument in instruments]

    def encode(self, slot: int, symbol_index: int, interval: str) -> bytes:
        """Encode the payload of one slot in the plan's first lap."""
        instrument, prices = self.instruments[symbol_index], self.prices[symbol_index]
        lap, update_id = self.plan.lap, self.plan.lap * SLOTS + slot
        match self.plan.slots[slot]:
            case Kind.AGG_TRADE:
                price, lots, maker_buys = prices.trades[slot]
                mine = self.plan.slots_of[Kind.AGG_TRADE]
                aggregate_id = lap * len(mine) + mine.index(slot)
                trade = AggregateTrade(
                    aggregate_id, price, lots, aggregate_id, aggregate_id, TIME_STAND_IN, maker_buys
                )
                return encode_agg_trade(self.market, instrument, trade, TIME_STAND_IN)
            case Kind.BOOK_TICKER:
                best = prices.bests[slot]
                return encode_book_ticker(self.market, instrument, best, update_id, TIME_STAND_IN)
            case Kind.DEPTH:
                mine = self.plan.slots_of[Kind.DEPTH]
                nth = mine.index(slot)
                previous = lap * SLOTS + mine[nth - 1] if nth else (lap - 1) * SLOTS + mine[-1]
                change = DepthChange(
                    previous + 1, update_id, previous, prices.bids[slot], prices.asks[slot]
                )
                return encode_depth(self.market, instrument, change, TIME_STAND_IN)
            case _:
                price, lots, _maker = prices.trades[slot]
                bar = Bar(OPEN_STAND_IN, CLOSE_STAND_IN, price, price, price, price)
                bar.lots, bar.amount, bar.count = lots, price * lots, 1
                return encode_kline(instrument, interval, bar, TIME_STAND_IN, final=False)


class LapTemplate:
    """One lap's frames for one connection, ready but for the lap's digits and the times.

    `offsets[p]` is where the frames from the lap's event `p` on begin; `streams` maps what the
    connection subscribed to (symbol index, kind).
    """

    def __init__(
        self, encoder: LapEncoder, streams: Mapping[tuple[int, Kind], str], *, combined: bool
    ) -> None:
        plan = encoder.plan
        parts: list[bytes] = []
        self.offsets = [0]
        self.frame_counts = [0]
        position = frames = 0
        for slot, kind in enumerate(plan.slots):
            for symbol_index in range(len(plan.symbols)):
                stream = streams.get((symbol_index, kind))
                if stream is not None:
                    interval = stream.rpartition("_")[2] if kind is Kind.KLINE else ""
                    payload = encoder.encode(slot, symbol_index, interval)
                    wrapped = encode_combined(stream, payload) if combined else payload
                    parts.append(encode_text_frame(wrapped))
                    position += len(parts[-1])
                    frames += 1
                self.offsets.append(position)
                self.frame_counts.append(frames)
        self._bytes = b"".join(parts)
        self._lap_digits = str(plan.lap).encode()
        self._previous_digits = str(plan.lap - 1).encode()
        self._klines = any(kind is Kind.KLINE for _, kind in streams)
        self._mixed = any(kind is Kind.DEPTH for _, kind in streams)

    def render(self, start: int, end: int, lap: int, now_ms: int) -> bytes:
        """Return the frames of the lap's events `start` to `end`, restamped."""
        out = self._bytes[self.offsets[start] : self.offsets[end]]
        if self._mixed:
            # Twice through a stand-in: the lap before this one is the lap of an earlier render.
            out = out.replace(self._previous_digits, b"\x01" * len(self._previous_digits))
        out = out.replace(self._lap_digits, str(lap).encode())
        if self._mixed:
            out = out.replace(b"\x01" * len(self._previous_digits), str(lap - 1).encode())
        out = out.replace(str(TIME_STAND_IN).encode(), str(now_ms).encode())
        if self._klines:
            opened = now_ms // 60_000 * 60_000
            out = out.replace(str(OPEN_STAND_IN).encode(), str(opened).encode())
            out = out.replace(str(CLOSE_STAND_IN).encode(), str(opened + 59_999).encode())
        return out


def choose_streams(plan: LapPlan, subscribed: Sequence[str]) -> dict[tuple[int, Kind], str]:
    """Map what a connection subscribed onto the events of a plan."""
    index_of = {symbol: index for index, symbol in enumerate(plan.symbols)}
    chosen: dict[tuple[int, Kind], str] = {}
    for text in sorted(subscribed):
        name = parse_stream(text)
        if name is None or name.symbol not in index_of:
            continue
        family = re.split("[@_]", name.channel)[0]
        if family in plan.kinds:
            chosen.setdefault((index_of[name.symbol], Kind(family)), text)
    return chosen
