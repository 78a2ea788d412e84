import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.generator import Generator

CONFIG = SimulatorConfig(symbols=4, history_minutes=3)
START = 1_700_000_000_000


def run(
    market: Market, config: SimulatorConfig = CONFIG, steps: int = 1500, every_ms: int = 40
) -> list[VenueEvent]:
    generator = Generator(market, config, START)
    events = []
    for number in range(steps):
        now = START + number * every_ms
        events += generator.poll(now)
        events += generator.step(now)
    return events


def payloads(events: list[VenueEvent], channel: str, symbol: str = "BTCUSDT") -> list[Any]:
    return [json.loads(e.payload) for e in events if (e.channel, e.symbol) == (channel, symbol)]


def test_same_seed_makes_the_same_events() -> None:
    assert run(Market.SPOT, steps=500) == run(Market.SPOT, steps=500)
    assert run(Market.SPOT, steps=500) != run(Market.SPOT, replace(CONFIG, seed=8), steps=500)


def test_event_rhythm_leaves_the_tape_unchanged() -> None:
    slow = payloads(run(Market.SPOT, steps=500, every_ms=40), "aggTrade")
    fast = payloads(run(Market.SPOT, steps=500, every_ms=3), "aggTrade")
    moving = {"E": 0, "T": 0}
    assert [trade | moving for trade in slow] == [trade | moving for trade in fast]


@pytest.mark.parametrize("market", Market)
def test_trade_ids_are_contiguous(market: Market) -> None:
    trades = payloads(run(market), "aggTrade")
    assert len(trades) > 100
    assert all(b["a"] == a["a"] + 1 and b["f"] == a["l"] + 1 for a, b in pairwise(trades))


def test_single_trades_add_up_to_aggregates() -> None:
    events = run(Market.SPOT)
    singles = {trade["t"]: trade for trade in payloads(events, "trade")}
    for aggregate in payloads(events, "aggTrade"):
        parts = [singles[n] for n in range(aggregate["f"], aggregate["l"] + 1)]
        assert sum(round(float(p["q"]) * 1e8) for p in parts) == round(float(aggregate["q"]) * 1e8)
        assert {p["p"] for p in parts} == {aggregate["p"]}


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize("speed", ["depth", "depth@100ms"])
def test_depth_events_form_an_unbroken_chain(market: Market, speed: str) -> None:
    diffs = payloads(run(market), speed)
    assert len(diffs) > 20
    if market is Market.SPOT:
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(diffs))
    else:
        assert all(b["pu"] == a["u"] and b["U"] > a["u"] for a, b in pairwise(diffs))


@pytest.mark.parametrize("market", Market)
def test_quotes_are_never_crossed(market: Market) -> None:
    quotes = payloads(run(market), "bookTicker")
    assert all(float(q["b"]) < float(q["a"]) for q in quotes)
    assert all(float(q["B"]) > 0 and float(q["A"]) > 0 for q in quotes)
    assert all(b["u"] > a["u"] for a, b in pairwise(quotes))


def test_final_bars_hold_exactly_their_trades() -> None:
    events = run(Market.SPOT, every_ms=120)
    bars = [p["k"] for p in payloads(events, "kline_1m") if p["k"]["x"]]
    trades = payloads(events, "aggTrade")
    assert len(bars) >= 2
    for bar in bars[1:]:
        inside = [t for t in trades if bar["t"] <= t["T"] <= bar["T"]]
        assert bar["n"] == sum(t["l"] - t["f"] + 1 for t in inside)
        assert (bar["f"], bar["L"]) == (inside[0]["f"], inside[-1]["l"])
        assert (bar["o"], bar["c"]) == (inside[0]["p"], inside[-1]["p"])
        volume = sum(round(float(t["q"]) * 1e8) for t in inside)
        assert round(float(bar["v"]) * 1e8) == volume


def test_halted_instrument_emits_nothing_more() -> None:
    generator = Generator(Market.SPOT, CONFIG, START)
    generator.halted.add("BTCUSDT")
    generator.rank()
    events = [e for n in range(500) for e in generator.step(START + n)]
    assert {e.symbol for e in events} == {"ETHUSDT", "BNBUSDT", "SOLUSDT"}


def test_first_instruments_are_the_busiest() -> None:
    trades = [e.symbol for e in run(Market.SPOT) if e.channel == "aggTrade"]
    assert trades.count("BTCUSDT") > 1.5 * trades.count("SOLUSDT")


def test_only_wanted_channels_are_emitted() -> None:
    events = run(Market.USDM, replace(CONFIG, channels=("aggTrade",)), steps=200)
    assert {event.channel for event in events} == {"aggTrade"}
    assert len(events) == 200


def test_wanted_interval_is_pushed_from_then_on() -> None:
    generator = Generator(Market.SPOT, CONFIG, START)
    generator.want_interval("3m", START)
    generator.step(START)
    events = [
        e for n in range(300) for e in (*generator.poll(START + n * 20), *generator.step(START))
    ]
    assert "kline_3m" in {event.channel for event in events}


def test_id_base_moves_every_first_id() -> None:
    plain = payloads(run(Market.SPOT, steps=50), "aggTrade")
    moved = payloads(run(Market.SPOT, replace(CONFIG, id_base=10**9), steps=50), "aggTrade")
    assert [trade["a"] - 10**9 for trade in moved] == [trade["a"] for trade in plain]
