import json
from typing import Any

import pytest

from feedplane_simulator.bars import Bar
from feedplane_simulator.book import BestPrices
from feedplane_simulator.config import Market
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.payloads import (
    AggregateTrade,
    DepthChange,
    build_agg_trade_row,
    build_kline_row,
    encode_agg_trade,
    encode_book_ticker,
    encode_depth,
    encode_kline,
    encode_trade,
)

TRADE = AggregateTrade(7, 6_123_450, 1500, 70, 72, 1_700_000_000_000, maker_buys=True)
KEYS = {
    ("aggTrade", Market.SPOT): "e E s a p q f l T m M",
    ("aggTrade", Market.USDM): "e E a s p q nq f l T m",
    ("bookTicker", Market.SPOT): "u s b B a A",
    ("bookTicker", Market.USDM): "e u s b B a A T E",
    ("depth", Market.SPOT): "e E s U u b a",
    ("depth", Market.USDM): "e E T s U u pu b a",
}


def encode(channel: str, market: Market) -> Any:
    [btc] = build_instruments(market, 1)
    if channel == "aggTrade":
        return json.loads(encode_agg_trade(market, btc, TRADE, 5))
    if channel == "bookTicker":
        return json.loads(encode_book_ticker(market, btc, BestPrices(1, 2, 3, 4), 9, 5))
    change = DepthChange(3, 5, 2, [(100, 0)], [(101, 7)])
    return json.loads(encode_depth(market, btc, change, 5))


@pytest.mark.parametrize(("channel", "market"), KEYS)
def test_payload_has_the_venues_keys_in_order(channel: str, market: Market) -> None:
    assert " ".join(encode(channel, market)) == KEYS[channel, market]


def test_agg_trade_prints_exact_decimals() -> None:
    payload = encode("aggTrade", Market.USDM)
    assert (payload["p"], payload["q"], payload["nq"]) == ("61234.50", "0.01500", "0.01500")
    assert (payload["f"], payload["l"], payload["m"]) == (70, 72, True)


def test_depth_prints_removed_levels_as_zero() -> None:
    payload = encode("depth", Market.USDM)
    assert payload["b"] == [["1.00", "0.00000"]]
    assert (payload["U"], payload["u"], payload["pu"]) == (3, 5, 2)


def test_single_trade_carries_its_own_id_and_size() -> None:
    [btc] = build_instruments(Market.SPOT, 1)
    payload = json.loads(encode_trade(btc, TRADE, 71, 500))
    assert " ".join(payload) == "e E s t p q T m M"
    assert (payload["t"], payload["q"]) == (71, "0.00500000")


def test_kline_stream_and_rest_print_the_same_bar() -> None:
    [btc] = build_instruments(Market.SPOT, 1)
    bar = Bar(
        60_000, 119_999, 100, 120, 90, 110, first_id=1, last_id=4, lots=6, amount=660, count=4
    )
    streamed = json.loads(encode_kline(btc, "1m", bar, 119_999, final=True))
    assert " ".join(streamed["k"]) == "t T s i f L o c h l v n x q V Q B"
    row = build_kline_row(btc, bar)
    keys = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    assert row == [streamed["k"][key] for key in keys]
    assert streamed["k"]["x"] is True


@pytest.mark.parametrize(("market", "extra"), [(Market.SPOT, {"M"}), (Market.USDM, {"nq"})])
def test_rest_trade_equals_the_streamed_one(market: Market, extra: set[str]) -> None:
    [btc] = build_instruments(market, 1)
    row = build_agg_trade_row(market, btc, TRADE)
    streamed = encode("aggTrade", market)
    assert row == {key: streamed[key] for key in row}
    assert set(row) == {"a", "p", "q", "f", "l", "T", "m"} | extra
