"""Replayed recordings: the first loop is the recording moved in time, the next ones go on."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_socket

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.simulator import Simulator

# A bounded queue left unread would hold up the closing handshake.
connect = partial(connect_socket, max_queue=None)
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
URL = "wss://fstream.binance.com/stream?streams=aaausdt@depth@100ms <-> 1600000000.0"


def build_frames() -> list[Any]:
    def depth(first: int, last: int, previous: int, bids: list[list[str]], at: int) -> Any:
        data = {"e": "depthUpdate", "E": at, "T": at, "s": "AAAUSDT", "U": first, "u": last}
        data |= {"pu": previous, "b": bids, "a": [["1.0200", "7"]]}
        return {"stream": "aaausdt@depth@100ms", "data": data}

    def trade(number: int, at: int) -> Any:
        data = {"e": "aggTrade", "E": at, "a": number, "s": "AAAUSDT", "p": "1.0100", "q": "3"}
        data |= {"f": number * 2, "l": number * 2 + 1, "T": at, "m": False}
        return {"stream": "aaausdt@aggTrade", "data": data}

    return [
        depth(11, 14, 9, [["1.0000", "5"], ["0.9900", "2"]], 1_600_000_000_050),
        trade(500, 1_600_000_000_060),
        depth(17, 21, 14, [["0.9900", "0"]], 1_600_000_000_070),
        trade(501, 1_600_000_000_080),
    ]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    lines = [URL]
    lines += [
        f"{(frame['data']['E'] + 4) / 1000}: {json.dumps(frame, separators=(',', ':'))}"
        for frame in build_frames()
    ]
    (tmp_path / "usdm.ws.txt").write_text("\n".join(lines) + "\n")
    info = {"timezone": "UTC", "symbols": [{"symbol": "AAAUSDT", "status": "TRADING"}]}
    text = f"https://fapi.binance.com/fapi/v1/exchangeInfo -> 1.5: {json.dumps(info)}\n"
    (tmp_path / "usdm.exchangeInfo.txt").write_text(text)
    return tmp_path


async def test_replay_moves_times_and_keeps_values(
    recordings: Path, eventually: Eventually
) -> None:
    config = SimulatorConfig(rate=0, recordings=recordings, recordings_loop=False)
    async with Simulator(config) as simulator:
        market = simulator.markets[Market.USDM]
        await eventually(lambda: market.emitted_count == 4)
        replayed = [
            json.loads(payload)
            for channel in ("aggTrade", "depth@100ms")
            for _, _, payload in simulator.truth.events((Market.USDM, channel, "AAAUSDT"))
        ]
        now_ms = market.now_ms()
    recorded = [f["data"] for f in build_frames()]
    recorded.sort(key=lambda data: (data["e"], data["E"]))
    for was, now in zip(recorded, replayed, strict=True):
        assert now_ms - 60_000 < now["E"] <= now_ms
        assert now | {"E": 0, "T": 0} == was | {"E": 0, "T": 0}


async def test_replay_loops_with_chains_that_go_on(
    recordings: Path, http: aiohttp.ClientSession, read: Any
) -> None:
    config = SimulatorConfig(rate=200, recordings=recordings, recorded_pace=False)
    async with Simulator(config) as simulator:
        public, market = f"{simulator.usdm_url}/public", f"{simulator.usdm_url}/market"
        async with (
            connect(f"{public}/ws/aaausdt@depth@100ms") as books,
            connect(f"{market}/ws/aaausdt@aggTrade") as tape,
        ):
            depths = await read(books, lambda seen: len(seen) >= 12)
            trades = await read(tape, lambda seen: len(seen) >= 12)
        rest = f"http://127.0.0.1:{simulator.ports['usdm']}/fapi/v1"
        async with http.get(f"{rest}/exchangeInfo") as response:
            info = await response.json()
        async with http.get(f"{rest}/depth?symbol=AAAUSDT") as response:
            snapshot = await response.json()
    assert all(b["pu"] == a["u"] for a, b in pairwise(depths))
    assert all(b["a"] == a["a"] + 1 and b["f"] == a["l"] + 1 for a, b in pairwise(trades))
    assert [entry["symbol"] for entry in info["symbols"]] == ["AAAUSDT"]
    assert snapshot["bids"][0] == ["1.0000", "5"]
    assert snapshot["asks"] == [["1.0200", "7"]]
