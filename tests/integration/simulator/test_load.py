"""Load runs over a socket: what arrives is what the arithmetic of the run says."""

import asyncio
import json
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_socket

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.load import LoadSpec
from feedplane_simulator.simulator import Simulator

# A bounded queue left unread would hold up the closing handshake.
connect = partial(connect_socket, max_queue=None)
CONFIG = SimulatorConfig(rate=0, symbols=3, history_minutes=2)


async def receive(socket: Any, count: int) -> list[Any]:
    return [json.loads(await socket.recv()) for _ in range(count)]


@pytest.mark.parametrize("rate", [None, 20_000.0])
async def test_load_delivers_every_trade_once(
    rate: float | None, http: aiohttp.ClientSession
) -> None:
    async with Simulator(CONFIG) as simulator:
        url = f"{simulator.spot_url}/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade"
        async with connect(url) as one, connect(url) as other:
            run = await simulator.start_load(LoadSpec(frames=4000, rate=rate))
            await simulator.loads_ended()
            frames = await receive(one, run.frames_written // 2)
            assert frames == await receive(other, run.frames_written // 2)
        rest = f"http://127.0.0.1:{simulator.ports['spot']}/api/v3/aggTrades"
        ids = [f["data"]["a"] for f in frames if f["stream"] == "btcusdt@aggTrade"]
        async with http.get(f"{rest}?symbol=BTCUSDT&fromId={ids[700]}&limit=40") as response:
            rows = await response.json()
        [row] = [
            row
            for row in simulator.truth.summarize()
            if (row["channel"], row["symbol"]) == ("aggTrade", "BTCUSDT")
        ]
        truth = simulator.truth.emitted[Market.SPOT, "aggTrade", "BTCUSDT"]
    assert ids == list(range(ids[0], ids[0] + 1334))
    assert [(w["count"], w["first"], w["last"]) for w in row["delivered"]] == [
        (1334, ids[0], ids[-1])
    ] * 2
    assert (truth.first, truth.last, truth.count) == (ids[0], ids[-1], 1334)
    streamed = [f["data"] for f in frames if f["stream"] == "btcusdt@aggTrade"][700:740]
    assert rows == [
        {key: trade[key] for key in row} for row, trade in zip(rows, streamed, strict=True)
    ]


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_mixed_load_keeps_every_chain(market: str, http: aiohttp.ClientSession) -> None:
    async with Simulator(CONFIG) as simulator:
        spec = LoadSpec(market=Market(market), pattern="mix", frames=2400)
        streams = {
            "public": "btcusdt@depth@100ms/btcusdt@bookTicker",
            "market": "btcusdt@aggTrade/btcusdt@kline_1m",
        }
        base = {"spot": simulator.spot_url, "usdm": simulator.usdm_url}[market]
        frames: list[Any] = []
        for route, names in streams.items():
            prefix = "" if market == "spot" else f"/{route}"
            async with connect(f"{base}{prefix}/stream?streams={names}") as socket:
                run = await simulator.start_load(spec)
                await simulator.loads_ended()
                frames += await receive(socket, run.frames_written)
        path = "/api/v3/depth" if market == "spot" else "/fapi/v1/depth"
        rest = f"http://127.0.0.1:{simulator.ports[market]}{path}?symbol=BTCUSDT&limit=1000"
        async with http.get(rest) as response:
            snapshot = await response.json()
    depths = [f["data"] for f in frames if f["stream"].endswith("depth@100ms")]
    assert all(b["U"] == a["u"] + 1 for a, b in pairwise(depths))
    if market == "usdm":
        assert all(b["pu"] == a["u"] for a, b in pairwise(depths))
    trades = [f["data"]["a"] for f in frames if f["stream"].endswith("aggTrade")]
    assert all(b == a + 1 for a, b in pairwise(trades))
    quotes = [f["data"]["u"] for f in frames if f["stream"].endswith("bookTicker")]
    assert all(b > a for a, b in pairwise(quotes))
    assert snapshot["lastUpdateId"] > depths[-1]["u"]
    assert float(snapshot["bids"][0][0]) < float(snapshot["asks"][0][0])


async def test_halted_load_goes_on_after_resume(eventually: Any) -> None:
    async with Simulator(CONFIG) as simulator:
        run = await simulator.start_load(LoadSpec(frames=3000, rate=5000.0))
        await eventually(lambda: run.position > 0)
        await simulator.inject(Fault(kind=FaultKind.HALT, market=Market.SPOT))
        halted_at = run.position
        await asyncio.sleep(0.05)
        assert (run.position, run.state) == (halted_at, "running")
        await simulator.inject(Fault(kind=FaultKind.RESUME))
        await simulator.loads_ended()
    assert (run.position, run.state) == (3000, "ended")
