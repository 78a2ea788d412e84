"""Frames to measure with: recorded ones looped with unbroken ids, or constructed in their mix.

`RECORDINGS=DIR` names a folder with `usdm-*.ws.txt`: first line the URL, then
`receive-time: frame`. Without it frames of the same shapes and shares are made up.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VENUE = "binance-usdm"
SYMBOLS = ("SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT")
LOOP_IDS = 10**9
MINUTE_MS = 60_000
FRAMES = 1_500


def read_frames() -> tuple[str, list[dict[str, Any]]]:
    """Return where the frames are from, and one loop of them."""
    folder = os.environ.get("RECORDINGS")
    if folder:
        path = min(Path(folder).glob("usdm-*.ws.txt"))
        return path.name, list(_read_recording(path))
    return "constructed", list(_construct())


def loop_frames(loops: int) -> tuple[str, list[list[bytes]]]:
    """Return where the frames are from, and that many loops of them with unbroken sequences."""
    source, frames = read_frames()
    last_ids: dict[tuple[str, str], int] = {}
    return source, [
        [
            json.dumps(_restamp(frame, loop, last_ids), separators=(",", ":")).encode()
            for frame in frames
        ]
        for loop in range(loops)
    ]


def _restamp(
    frame: dict[str, Any], loop: int, last_ids: dict[tuple[str, str], int]
) -> dict[str, Any]:
    data = dict(frame["data"])
    key = (data["e"], data["s"])
    match data["e"]:
        case "depthUpdate":
            data["U"] += loop * LOOP_IDS
            data["u"] += loop * LOOP_IDS
            data["pu"] = last_ids.get(key, data["pu"])
            last_ids[key] = data["u"]
        case "bookTicker":
            data["u"] += loop * LOOP_IDS
        case "aggTrade":
            data["a"] = last_ids[key] = last_ids.get(key, data["a"] - 1) + 1
        case "kline":
            data["k"] = {**data["k"], "t": data["k"]["t"] + loop * MINUTE_MS}
            data["E"] += loop * MINUTE_MS
    return {"stream": frame["stream"], "data": data}


def _read_recording(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines()[1:]:
        _, _, text = line.partition(": ")
        if text.startswith('{"stream"'):
            yield json.loads(text)


# Half depth, two fifths quotes, the rest trades and bars, as recordings of this market show.
def _construct() -> Iterator[dict[str, Any]]:
    rng = random.Random(7)  # noqa: S311 - made-up prices
    update_id, trade_id, now = 600_859_600_000, 16_599_292, 1_626_992_741_000
    last_ids = dict.fromkeys(SYMBOLS, update_id)
    for number in range(FRAMES):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        stream = symbol.lower()
        update_id += rng.randint(5, 2_000)
        now += rng.randint(1, 60)
        price = f"{7.6 + rng.randint(-99, 99) / 1_000:.4f}"
        share = rng.random()
        if share < 0.50:
            levels = [[f"{7 + i / 1_000:.4f}", str(rng.randint(0, 9_999))] for i in range(4)]
            asks = [[f"{8 + i / 1_000:.4f}", str(rng.randint(0, 9_999))] for i in range(3)]
            data = {"e": "depthUpdate", "E": now, "T": now - 13, "s": symbol}
            data |= {"U": update_id - 4, "u": update_id, "pu": last_ids[symbol]}
            data |= {"b": levels, "a": asks}
            last_ids[symbol] = update_id
            yield {"stream": f"{stream}@depth@100ms", "data": data}
        elif share < 0.90:
            data = {"e": "bookTicker", "u": update_id, "s": symbol, "b": "7.6110", "B": "2"}
            data |= {"a": "7.6120", "A": "297", "T": now - 5, "E": now}
            yield {"stream": f"{stream}@bookTicker", "data": data}
        elif share < 0.96:
            trade_id += 1
            data = {"e": "aggTrade", "E": now, "a": trade_id, "s": symbol, "p": price, "q": "10"}
            data |= {"f": trade_id, "l": trade_id, "T": now - 9, "m": rng.random() < 0.5}
            yield {"stream": f"{stream}@aggTrade", "data": data}
        else:
            opened = now // MINUTE_MS * MINUTE_MS
            bar = {"t": opened, "T": opened + MINUTE_MS - 1, "s": symbol, "i": "1m", "f": 1}
            bar |= {"L": 2, "o": "7.6", "c": "7.6", "h": "7.7", "l": "7.5", "v": str(number)}
            bar |= {"n": number, "x": False, "q": "39", "V": "17", "Q": "17.4", "B": "0"}
            data = {"e": "kline", "E": now, "s": symbol, "k": bar}
            yield {"stream": f"{stream}@kline_1m", "data": data}
