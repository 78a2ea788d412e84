"""JSON decoders on the recorded mix: what decision record 7 rests on. Writes no figure.

uv run python -m tests.bench.decoders   (RECORDINGS=DIR for recorded frames)
"""

import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median
from typing import Annotated, Any

import msgspec
import typer
from tests.bench.corpus import loop_frames

from feedplane_feeder.adapters import binance_frames as frames_module

Decode = Callable[[bytes], Any]


class Trade(frames_module.TradeData, tag_field="e", tag="aggTrade", gc=False):
    """The adapter's fields, found by the tag."""


class Quote(frames_module.QuoteData, tag_field="e", tag="bookTicker", gc=False):
    """The adapter's fields, found by the tag."""


class Depth(frames_module.BookData, tag_field="e", tag="depthUpdate", gc=False):
    """The adapter's fields, found by the tag."""


class Bar(frames_module.BarData, tag_field="e", tag="kline", gc=False):
    """The adapter's fields, found by the tag."""


class Tagged(msgspec.Struct, gc=False):
    """A combined frame whose payload says what it is; spot quotes do not."""

    stream: str
    data: Trade | Quote | Depth | Bar


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
    data: Annotated[ExactTrade | ExactQuote | ExactDepth | Bar, "by tag"]


def by_stream(frame: bytes) -> object:
    """Decode with the decoder of the frame's stream, as the adapter does."""
    kind = frame[11 : frame.find(b'"', 11)].partition(b"@")[2]
    return _BY_KIND[kind[:4]](frame)


_BY_KIND: dict[bytes, Decode] = {
    b"aggT": msgspec.json.Decoder(frames_module.TradeFrame).decode,
    b"book": msgspec.json.Decoder(frames_module.QuoteFrame).decode,
    b"dept": msgspec.json.Decoder(frames_module.BookFrame).decode,
    b"klin": msgspec.json.Decoder(frames_module.BarFrame).decode,
}
DECODERS: dict[str, Decode] = {
    "standard library": json.loads,
    "msgspec, untyped": msgspec.json.Decoder().decode,
    "msgspec, union by tag, text prices": msgspec.json.Decoder(Tagged).decode,
    "msgspec, union by tag, Decimal prices": msgspec.json.Decoder(Exact).decode,
    "msgspec, decoder per stream, text prices": by_stream,
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
