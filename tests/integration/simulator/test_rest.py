"""The REST side of the simulator: answers that agree with the streams, weights, limits, bans."""

import itertools
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec
import pytest

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.simulator import Simulator
from feedplane_simulator.violations import Rule

CONFIG = SimulatorConfig(rate=500, symbols=3, history_minutes=30)
PREFIX = {"spot": "/api/v3", "usdm": "/fapi/v1"}


async def get(
    http: aiohttp.ClientSession, simulator: Simulator, market: str, path: str
) -> tuple[int, Any, dict[str, str]]:
    url = f"http://127.0.0.1:{simulator.ports[market]}{PREFIX[market]}/{path}"
    async with http.get(url) as response:
        return response.status, await response.json(content_type=None), dict(response.headers)


def rules_of(simulator: Simulator) -> list[Rule]:
    return [Rule(violation["rule"]) for violation in simulator.violations.list_all()]


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_exchange_info_names_symbols_and_steps(
    market: str, http: aiohttp.ClientSession
) -> None:
    async with Simulator(CONFIG) as simulator:
        status, info, headers = await get(http, simulator, market, "exchangeInfo")
        await simulator.inject(
            Fault(kind=FaultKind.DELIST, market=Market(market), symbol="ETHUSDT")
        )
        _, changed, _ = await get(http, simulator, market, "exchangeInfo")
    assert status == 200
    assert headers["X-MBX-USED-WEIGHT-1M"] == ("20" if market == "spot" else "1")
    assert [entry["symbol"] for entry in info["symbols"]] == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
    assert {entry["status"] for entry in info["symbols"]} == {"TRADING"}
    assert [entry["status"] for entry in changed["symbols"]] == ["TRADING", "BREAK", "TRADING"]


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_agg_trades_from_an_id_equal_the_stream(
    market: str, http: aiohttp.ClientSession, eventually: Any
) -> None:
    async with Simulator(CONFIG) as simulator:
        key = (Market(market), "aggTrade", "BTCUSDT")
        await eventually(lambda: len(simulator.truth.ids(key)) > 30)
        ids = simulator.truth.ids(key)
        path = f"aggTrades?symbol=BTCUSDT&fromId={ids[5]}&limit=20"
        _, rows, _ = await get(http, simulator, market, path)
        _, newest, _ = await get(http, simulator, market, "aggTrades?symbol=BTCUSDT&limit=1")
        events = simulator.truth.events(key)
    assert [row["a"] for row in rows] == ids[5:25]
    assert newest[0]["a"] >= ids[-1]
    streamed = [msgspec.json.decode(payload) for _, _, payload in events[5:25]]
    for row, event in zip(rows, streamed, strict=True):
        assert row == {key: event[key] for key in row}


@pytest.mark.parametrize(
    ("interval", "width_ms"),
    [
        pytest.param("1m", 60_000, id="minutes come as they are"),
        pytest.param("5m", 300_000, id="coarser bars are merged from minutes"),
    ],
)
async def test_klines_are_contiguous_and_end_open(
    interval: str, width_ms: int, http: aiohttp.ClientSession
) -> None:
    async with Simulator(CONFIG) as simulator:
        path = f"klines?symbol=BTCUSDT&interval={interval}&limit=5"
        _, rows, _ = await get(http, simulator, "spot", path)
        now_ms = simulator.markets[Market.SPOT].now_ms()
    assert [b[0] - a[0] for a, b in itertools.pairwise(rows)] == [width_ms] * 4
    assert rows[-1][0] <= now_ms <= rows[-1][6]
    assert all(len(row) == 12 and row[6] == row[0] + width_ms - 1 for row in rows)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("depth?symbol=NONESUCH", -1121, id="a symbol it does not list"),
        pytest.param("depth", -1102, id="no symbol"),
        pytest.param("klines?symbol=BTCUSDT&interval=7m", -1120, id="an interval it lacks"),
        pytest.param("aggTrades?symbol=BTCUSDT&fromId=x", -1100, id="letters for a number"),
    ],
)
async def test_bad_request_is_refused_with_code(
    path: str, code: int, http: aiohttp.ClientSession
) -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        status, body, _ = await get(http, simulator, "spot", path)
        assert (status, body["code"]) == (400, code)
        assert rules_of(simulator) == [Rule.MALFORMED_REQUEST]


async def test_overused_weight_is_limited_then_banned(http: aiohttp.ClientSession) -> None:
    config = replace(CONFIG, rate=0).with_rules(weight_per_minute=40)
    async with Simulator(config) as simulator:
        answers = [await get(http, simulator, "spot", "exchangeInfo") for _ in range(10)]
        assert [status for status, _, _ in answers] == [200] * 2 + [429] * 5 + [418] * 3
        limited, banned = answers[2], answers[7]
        assert 1 <= int(limited[2]["Retry-After"]) <= 60
        assert limited[1]["code"] == -1003
        assert "banned until" in banned[1]["msg"]
        rules = rules_of(simulator)
    assert rules[0] is Rule.REST_WEIGHT
    assert rules[1:] == [Rule.REST_WHILE_LIMITED] * 5 + [Rule.REST_WHILE_BANNED] * 2


async def test_ordered_limit_answers_once_and_judges_patience(
    http: aiohttp.ClientSession,
) -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        await simulator.inject(Fault(kind=FaultKind.REST, count=1, retry_after_seconds=7))
        status, _, headers = await get(http, simulator, "spot", "ping")
        again, _, _ = await get(http, simulator, "spot", "ping")
        assert (status, headers["Retry-After"], again) == (429, "7", 200)
        assert rules_of(simulator) == [Rule.REST_WHILE_LIMITED]


async def test_unknown_endpoint_is_a_violation(http: aiohttp.ClientSession) -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        async with http.get(f"http://127.0.0.1:{simulator.ports['usdm']}/nonesuch") as response:
            assert response.status == 404
        assert rules_of(simulator) == [Rule.UNKNOWN_ENDPOINT]
