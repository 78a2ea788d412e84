"""The venue's JSON, key for key and in the venue's order.

Source: binance-spot-api-docs web-socket-streams.md (2026-07), developers.binance.com USDS-M
market streams (2026-05).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from feedplane_simulator.bars import Bar
from feedplane_simulator.book import BestPrices
from feedplane_simulator.config import Market
from feedplane_simulator.instruments import Instrument


class AggregateTrade(NamedTuple):
    """One aggregate trade in ticks and lots."""

    aggregate_id: int
    price: int
    lots: int
    first_id: int
    last_id: int
    time_ms: int
    maker_buys: bool


class DepthChange(NamedTuple):
    """The levels changed by updates `first_id..last_id`; `previous_id` is the last one before."""

    first_id: int
    last_id: int
    previous_id: int
    bids: Iterable[tuple[int, int]]
    asks: Iterable[tuple[int, int]]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def encode_agg_trade(
    market: Market, instrument: Instrument, trade: AggregateTrade, event_ms: int
) -> bytes:
    """Encode an aggTrade payload."""
    price, size = instrument.price_text(trade.price), instrument.size_text(trade.lots)
    ids = f'"f":{trade.first_id},"l":{trade.last_id},"T":{trade.time_ms}'
    maker = _flag(trade.maker_buys)
    if market is Market.SPOT:
        return (
            f'{{"e":"aggTrade","E":{event_ms},"s":"{instrument.symbol}","a":{trade.aggregate_id},'
            f'"p":"{price}","q":"{size}",{ids},"m":{maker},"M":true}}'
        ).encode()
    return (
        f'{{"e":"aggTrade","E":{event_ms},"a":{trade.aggregate_id},"s":"{instrument.symbol}",'
        f'"p":"{price}","q":"{size}","nq":"{size}",{ids},"m":{maker}}}'
    ).encode()


def encode_trade(instrument: Instrument, trade: AggregateTrade, trade_id: int, lots: int) -> bytes:
    """Encode one spot trade of an aggregate."""
    return (
        f'{{"e":"trade","E":{trade.time_ms},"s":"{instrument.symbol}","t":{trade_id},'
        f'"p":"{instrument.price_text(trade.price)}","q":"{instrument.size_text(lots)}",'
        f'"T":{trade.time_ms},"m":{_flag(trade.maker_buys)},"M":true}}'
    ).encode()


def encode_book_ticker(
    market: Market, instrument: Instrument, best: BestPrices, update_id: int, event_ms: int
) -> bytes:
    """Encode a bookTicker payload; the spot one has neither type nor time."""
    price, size = instrument.price_text, instrument.size_text
    sides = (
        f'"s":"{instrument.symbol}","b":"{price(best.bid)}","B":"{size(best.bid_lots)}",'
        f'"a":"{price(best.ask)}","A":"{size(best.ask_lots)}"'
    )
    if market is Market.SPOT:
        return f'{{"u":{update_id},{sides}}}'.encode()
    return (f'{{"e":"bookTicker","u":{update_id},{sides},"T":{event_ms},"E":{event_ms}}}').encode()


def render_levels(instrument: Instrument, levels: Iterable[tuple[int, int]]) -> str:
    """Write levels as the venue's array of pairs."""
    pairs = (
        f'["{instrument.price_text(price)}","{instrument.size_text(lots)}"]'
        for price, lots in levels
    )
    return "[" + ",".join(pairs) + "]"


def encode_depth(
    market: Market, instrument: Instrument, change: DepthChange, event_ms: int
) -> bytes:
    """Encode a diff depth payload."""
    levels = (
        f'"b":{render_levels(instrument, change.bids)},"a":{render_levels(instrument, change.asks)}'
    )
    ids = f'"s":"{instrument.symbol}","U":{change.first_id},"u":{change.last_id}'
    if market is Market.SPOT:
        return f'{{"e":"depthUpdate","E":{event_ms},{ids},{levels}}}'.encode()
    return (
        f'{{"e":"depthUpdate","E":{event_ms},"T":{event_ms},{ids},'
        f'"pu":{change.previous_id},{levels}}}'
    ).encode()


def encode_kline(
    instrument: Instrument, interval: str, bar: Bar, event_ms: int, *, final: bool
) -> bytes:
    """Encode a kline payload; both markets print it alike."""
    price, size, amount = instrument.price_text, instrument.size_text, instrument.amount_text
    return (
        f'{{"e":"kline","E":{event_ms},"s":"{instrument.symbol}","k":{{"t":{bar.open_ms},'
        f'"T":{bar.close_ms},"s":"{instrument.symbol}","i":"{interval}","f":{bar.first_id},'
        f'"L":{bar.last_id},"o":"{price(bar.open)}","c":"{price(bar.close)}",'
        f'"h":"{price(bar.high)}","l":"{price(bar.low)}","v":"{size(bar.lots)}","n":{bar.count},'
        f'"x":{_flag(final)},"q":"{amount(bar.amount)}","V":"{size(bar.taker_lots)}",'
        f'"Q":"{amount(bar.taker_amount)}","B":"0"}}}}'
    ).encode()


def build_kline_row(instrument: Instrument, bar: Bar) -> list[Any]:
    """Build the 12 positions of a REST kline."""
    price, size, amount = instrument.price_text, instrument.size_text, instrument.amount_text
    return [
        bar.open_ms,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        size(bar.lots),
        bar.close_ms,
        amount(bar.amount),
        bar.count,
        size(bar.taker_lots),
        amount(bar.taker_amount),
        "0",
    ]


def build_agg_trade_row(
    market: Market, instrument: Instrument, trade: AggregateTrade
) -> dict[str, Any]:
    """Build one entry of the REST aggTrades answer."""
    row: dict[str, Any] = {
        "a": trade.aggregate_id,
        "p": instrument.price_text(trade.price),
        "q": instrument.size_text(trade.lots),
        "f": trade.first_id,
        "l": trade.last_id,
        "T": trade.time_ms,
        "m": trade.maker_buys,
    }
    if market is Market.SPOT:
        row["M"] = True
    else:
        row["nq"] = row["q"]
    return row
