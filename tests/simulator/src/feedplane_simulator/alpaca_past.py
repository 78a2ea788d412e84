"""Alpaca's past: trades and minutes of the days before the simulator began.

They are drawn from the seed alone, so that whoever asks again is told the same.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAYS: Final = 10
"""How far the past reaches."""
OPENS: Final = timedelta(hours=14, minutes=30)
MINUTES: Final = 390
TRADES_A_MINUTE: Final = 3
EXCHANGES: Final = "DKQVZ"


def past_trades(seed: int, symbol: str, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the trades of a range, its end not included, as the venue prints them."""
    for minute in _minutes(start, end):
        for at, row in _draw(seed, symbol, minute):
            if start <= at < end:
                yield {**row, "t": _print_time(at)}


def past_bars(seed: int, symbol: str, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the minutes that open in a range, its end not included, as the venue prints them."""
    for minute in _minutes(start, end):
        if start <= minute < end:
            trades = [row for _, row in _draw(seed, symbol, minute)]
            yield {**_merge(trades), "t": _print_time(minute)}


def print_price(cents: int) -> int | float:
    """Return a price as the venue prints it: whole numbers without a point."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def _print_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.000000000Z"


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    day = datetime(start.year, start.month, start.day, tzinfo=UTC)
    while day < end:
        if day.weekday() < 5:
            for number in range(MINUTES):
                minute = day + OPENS + timedelta(minutes=number)
                if start - timedelta(minutes=1) < minute < end:
                    yield minute
        day += timedelta(days=1)


def _draw(seed: int, symbol: str, minute: datetime) -> list[tuple[datetime, dict[str, Any]]]:
    rng = random.Random(f"{seed} {symbol} {minute}")  # noqa: S311 - prices, not a secret
    first = (minute.hour * 60 + minute.minute) * TRADES_A_MINUTE
    seconds = sorted(rng.sample(range(60), TRADES_A_MINUTE))
    return [
        (
            minute + timedelta(seconds=second),
            {
                "i": first + number,
                "x": rng.choice(EXCHANGES),
                "p": print_price(rng.randrange(10_000, 20_000)),
                "s": rng.randint(1, 900),
                "c": ["@"],
                "z": "C",
            },
        )
        for number, second in enumerate(seconds)
    ]


def _merge(trades: list[dict[str, Any]]) -> dict[str, Any]:
    prices, volume = [row["p"] for row in trades], sum(row["s"] for row in trades)
    return {
        "o": prices[0],
        "h": max(prices),
        "l": min(prices),
        "c": prices[-1],
        "v": volume,
        "n": len(trades),
        "vw": round(sum(row["p"] * row["s"] for row in trades) / volume, 6),
    }
