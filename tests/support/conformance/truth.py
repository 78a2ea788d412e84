"""What a venue emitted, in the words of normalized records, and what became of it.

Hosted venues tell their truth in these words; what the built-in markets tell is put into them
here.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from feedplane_feeder.records import Bar, BookDelta, Gap, Metric, Quote, Record, Trade
from feedplane_simulator.simulator import Simulator

Facts = dict[str, Any]
KINDS: dict[type, str] = {
    Trade: "trade",
    Quote: "quote",
    BookDelta: "book",
    Metric: "metric",
}


@dataclass(frozen=True)
class Emitted:
    """One event of a venue."""

    sequence: int
    facts: Facts


def channel_of(record: Record) -> str:
    """Return the channel a record belongs to."""
    if isinstance(record, Bar):
        return f"bar-{record.interval}"
    return KINDS.get(type(record), type(record).__name__.lower())


def facts_of(record: Record, keys: Iterable[str]) -> Facts:
    """Return these fields of a record."""
    fields = {name: getattr(record, name) for name in keys}
    return {
        name: json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else value
        for name, value in fields.items()
    }


def emitted(simulator: Simulator, market: str, channel: str, symbol: str) -> list[Emitted]:
    """Return what a channel emitted, oldest first."""
    told = BUILT_IN.get(market)
    name, read = (channel, _same) if told is None else told[channel]
    events = simulator.truth.events((market, name, symbol))
    return [Emitted(sequence, read(json.loads(payload))) for sequence, _, payload in events]


def stream_name(market: str, channel: str, symbol: str) -> str:
    """Return how a fault names one stream."""
    told = BUILT_IN.get(market)
    return f"{symbol}@{channel}" if told is None else f"{symbol.lower()}@{told[channel][0]}"


def find_lost(
    told: Iterable[Emitted], records: Iterable[Record], gaps: Iterable[Gap]
) -> list[Emitted]:
    """Return what was emitted between the first and last record, and is neither kept nor named."""
    told, kept = list(told), list(records)
    keys = told[0].facts.keys() if told else ()
    left = Counter(_key(facts_of(record, keys)) for record in kept)
    have = [left[_key(each.facts)] > 0 for each in told]
    if True not in have:
        return told
    first, last = have.index(True), len(have) - 1 - have[::-1].index(True)
    inside = zip(told[first : last + 1], have[first : last + 1], strict=True)
    named = list(gaps)
    return [each for each, kept in inside if not kept and not _is_named(each, named)]


def find_doubled(records: Iterable[Record], keys: Iterable[str]) -> list[str]:
    """Return the facts that stand in more than one record of one identity."""
    names = list(keys)
    counted = Counter(_key(facts_of(record, names)) for record in records)
    return [text for text, count in counted.items() if count > 1]


def _is_named(each: Emitted, gaps: Iterable[Gap]) -> bool:
    at = each.facts.get("ts_open", each.facts.get("ts_event"))
    for gap in gaps:
        if gap.from_id is not None and gap.to_id is not None:
            first = each.facts.get("first_id", each.sequence)
            if gap.from_id <= each.sequence and first <= gap.to_id:
                return True
        elif gap.from_ts is not None and (at is None or _holds(gap.from_ts, gap.to_ts, at)):
            return True
    return False


def _holds(from_ts: int, to_ts: int | None, at: int) -> bool:
    return from_ts <= at and (to_ts is None or at <= to_ts)


def _key(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True)


def _same(facts: Facts) -> Facts:
    return facts


def _trade(p: Facts) -> Facts:
    return {
        "ts_event": p["T"] * 1_000_000,
        "trade_id": p["a"],
        "price": p["p"],
        "size": p["q"],
        "aggressor_side": "S" if p["m"] else "B",
    }


def _quote(p: Facts) -> Facts:
    facts = {"sequence": p["u"], "bid_price": p["b"], "bid_size": p["B"]}
    return facts | {"ask_price": p["a"], "ask_size": p["A"]}


def _bar(p: Facts) -> Facts:
    k = p["k"]
    return {
        "ts_open": k["t"] * 1_000_000,
        "open": k["o"],
        "high": k["h"],
        "low": k["l"],
        "close": k["c"],
        "volume": k["v"],
        "trade_count": k["n"],
        "final": k["x"],
    }


def _book(p: Facts) -> Facts:
    return {"first_id": p["U"], "last_id": p["u"], "bids": p["b"], "asks": p["a"]}


Reader = Callable[[Facts], Facts]
_STREAMS: dict[str, tuple[str, Reader]] = {
    "trade": ("aggTrade", _trade),
    "quote": ("bookTicker", _quote),
    "bar-1m": ("kline_1m", _bar),
    "book": ("depth@100ms", _book),
}
BUILT_IN: dict[str, dict[str, tuple[str, Reader]]] = {"spot": _STREAMS, "usdm": _STREAMS}
