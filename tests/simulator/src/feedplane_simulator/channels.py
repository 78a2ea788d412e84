"""Stream names: what a client may ask for, and on which route it is ever pushed."""

from dataclasses import dataclass

from feedplane_simulator.config import Market

INTERVAL_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
}

MARKET_ROUTE = ("aggTrade", "kline_")
PUBLIC_ROUTE = ("bookTicker", "depth")
ALL_ROUTE = ""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream a client named, taken apart: `btcusdt@depth@100ms` is BTCUSDT, depth@100ms."""

    text: str
    symbol: str
    channel: str


def parse_stream(text: str) -> StreamName | None:
    """Take a stream name apart; None when it has no symbol and channel."""
    symbol, separator, channel = text.partition("@")
    if not separator or not symbol or not channel or symbol != symbol.lower():
        return None
    return StreamName(text, symbol.upper(), channel)


def build_stream(symbol: str, channel: str) -> str:
    """Return the name under which a channel of a symbol is pushed."""
    return f"{symbol.lower()}@{channel}"


def check_interval(market: Market, interval: str) -> bool:
    """Tell whether a market has bars of an interval."""
    return interval in INTERVAL_MS and not (interval == "1s" and market is Market.USDM)


def is_routed(market: Market, route: str, channel: str) -> bool:
    """Tell whether a channel is ever pushed on a route.

    Source: Important WebSocket Change Notice (2026-03-05): an unrouted futures connection is
    `/public` only; what lives under `/market` is acknowledged there and stays mute.
    """
    if market is Market.SPOT:
        return True
    if route == "market":
        return channel.startswith(MARKET_ROUTE)
    return channel.startswith(PUBLIC_ROUTE)


def open_time(interval_ms: int, at_ms: int) -> int:
    """Return the open time of the bar that holds a moment; weeks open on Mondays."""
    if interval_ms == INTERVAL_MS["1w"]:
        monday = 4 * INTERVAL_MS["1d"]
        return (at_ms - monday) // interval_ms * interval_ms + monday
    return at_ms // interval_ms * interval_ms
