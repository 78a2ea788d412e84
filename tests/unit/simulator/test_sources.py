import json

import pytest

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.sources import GeneratedSource, Window

START = 1_700_000_040_000
CONFIG = SimulatorConfig(symbols=2, history_minutes=30)


def build_source(market: Market = Market.SPOT, steps: int = 400) -> GeneratedSource:
    source = GeneratedSource(market, CONFIG, START)
    for number in range(steps):
        source.poll(START + number * 10)
        source.step(START + number * 10)
    return source


@pytest.mark.parametrize("market", Market)
def test_snapshot_continues_with_the_next_depth_event(market: Market) -> None:
    source = build_source(market)
    snapshot = source.depth("BTCUSDT", 1000, START)
    for number in range(400, 600):
        source.step(START + number * 10)
    diff = next(
        json.loads(event.payload)
        for event in source.poll(START + 60_000)
        if (event.channel, event.symbol) == ("depth@100ms", "BTCUSDT")
    )
    assert diff["u"] > snapshot["lastUpdateId"]
    if market is Market.SPOT:
        assert diff["U"] <= snapshot["lastUpdateId"] + 1


def test_removed_symbol_leaves_exchange_info() -> None:
    source = build_source(steps=1)
    source.remove("BTCUSDT", START)
    assert [e["symbol"] for e in source.exchange_info(START)["symbols"]] == ["ETHUSDT"]
    assert not source.lists("BTCUSDT")
    source.set_status("BTCUSDT", START, trading=True)
    assert source.lists("BTCUSDT")


@pytest.mark.parametrize(
    ("window", "minutes_back"),
    [
        pytest.param(Window(limit=3), [2, 1, 0], id="no times give the newest"),
        pytest.param(
            Window(limit=2, start_ms=START - 10 * 60_000), [10, 9], id="a start gives the oldest"
        ),
        pytest.param(
            Window(limit=2, end_ms=START - 10 * 60_000), [11, 10], id="an end gives up to it"
        ),
    ],
)
def test_klines_window_chooses_its_end(window: Window, minutes_back: list[int]) -> None:
    rows = build_source(steps=1).klines("BTCUSDT", "1m", window)
    assert [(START - row[0]) // 60_000 for row in rows] == minutes_back


def test_new_symbol_is_listed_and_trades() -> None:
    source = build_source(steps=1)
    source.set_status("NEWUSDT", START, trading=True)
    assert source.exchange_info(START)["symbols"][-1]["symbol"] == "NEWUSDT"
    traded = {event.symbol for n in range(500) for event in source.step(START + n)}
    assert "NEWUSDT" in traded
