"""JSON decoders on the recorded mix: what decision record 7 rests on. Writes no figure.

uv run python -m tests.bench.decoders   (RECORDINGS=DIR for recorded frames)
"""

import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median
from typing import Any

import msgspec
import typer
from tests.bench.corpus import SYMBOLS, loop_frames

from feedplane_feeder.adapters.binance_frames import (
    BarData,
    build_route,
    decode_tagged,
    stream_name,
)
from feedplane_feeder.core.ports import Channel

Decode = Callable[[bytes], Any]


class ExactTrade(msgspec.Struct, tag_field="e", tag="aggTrade"):
    """Prices as Decimal."""

    a: int
    p: Decimal
    q: Decimal
    T: int


class ExactQuote(msgspec.Struct, tag_field="e", tag="bookTicker"):
    """Prices as Decimal."""

    u: int
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class ExactDepth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """Levels as Decimal."""

    U: int
    u: int
    b: list[tuple[Decimal, Decimal]]
    a: list[tuple[Decimal, Decimal]]


class Exact(msgspec.Struct):
    """A combined frame with every price as Decimal."""

    stream: str
    data: ExactTrade | ExactQuote | ExactDepth | BarData


def by_name(frame: bytes) -> object:
    """Decode with the decoder of the frame's stream, as the adapter does where it must."""
    return _BY_NAME[frame[11 : frame.find(b'"', 11)]](frame)


_BY_NAME: dict[bytes, Decode] = {
    stream_name(channel).encode(): build_route(channel, "").decode
    for symbol in SYMBOLS
    for channel in (Channel(symbol, name) for name in ("trade", "quote", "book", "bar-1m"))
}
DECODERS: dict[str, Decode] = {
    "standard library": json.loads,
    "msgspec, untyped": msgspec.json.Decoder().decode,
    "msgspec, one union by `e`, Decimal prices": msgspec.json.Decoder(Exact).decode,
    "msgspec, by the stream's name, text prices": by_name,
    "msgspec, one union by `e`, text prices": decode_tagged,
}


def measure(decode: Decode, frames: Sequence[bytes]) -> float:
    """Return frames per CPU second."""
    started = time.process_time()
    for frame in frames:
        decode(frame)
    return len(frames) / (time.process_time() - started)


def main(loops: int = 10, rounds: int = 9) -> None:
    """Print a table, median of alternated rounds."""
    source, looped = loop_frames(loops)
    frames = [frame for loop in looped for frame in loop]
    rates: dict[str, list[float]] = {name: [] for name in DECODERS}
    for _ in range(rounds):
        for name, decode in DECODERS.items():
            rates[name].append(measure(decode, frames))
    print(f"{len(frames)} frames, {source}; frames per CPU second: median (highest)")
    for name, runs in rates.items():
        print(f"{name:42} {median(runs):12,.0f} {max(runs):12,.0f}")


if __name__ == "__main__":
    typer.run(main)
