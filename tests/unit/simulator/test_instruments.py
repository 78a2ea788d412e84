import pytest

from feedplane_simulator.config import Market
from feedplane_simulator.instruments import build_instruments, describe_spot, describe_usdm


def test_symbols_are_unique_and_known_first() -> None:
    symbols = [instrument.symbol for instrument in build_instruments(Market.SPOT, 200)]
    assert symbols[:2] == ["BTCUSDT", "ETHUSDT"]
    assert len(set(symbols)) == 200


@pytest.mark.parametrize(
    ("market", "price", "size", "amount"),
    [
        pytest.param(
            Market.SPOT, "61234.50000000", "0.00001000", "0.61234500", id="spot pads to eight"
        ),
        pytest.param(Market.USDM, "61234.50", "0.00001", "0.6123450", id="futures print exactly"),
    ],
)
def test_market_prints_decimals_its_own_way(
    market: Market, price: str, size: str, amount: str
) -> None:
    [btc] = build_instruments(market, 1)
    assert btc.price_text(6_123_450) == price
    assert btc.size_text(1) == size
    assert btc.amount_text(6_123_450) == amount


def test_exchange_info_states_tick_and_lot() -> None:
    [spot] = build_instruments(Market.SPOT, 1)
    [usdm] = build_instruments(Market.USDM, 1)
    for entry in (describe_spot(spot, "TRADING"), describe_usdm(usdm, "TRADING")):
        filters = {f["filterType"]: f for f in entry["filters"]}
        assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.01
        assert float(filters["LOT_SIZE"]["stepSize"]) == 0.00001
        assert entry["status"] == "TRADING"
