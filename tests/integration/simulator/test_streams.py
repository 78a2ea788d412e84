"""The stream side of the simulator, seen by an independent WebSocket client."""

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.simulator import Simulator
from feedplane_simulator.violations import Rule

# A bounded queue left unread would hold up the closing handshake.
connect = partial(connect_socket, max_queue=None)
TRADES_AND_QUOTES = ("aggTrade", "bookTicker")
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
CONFIG = SimulatorConfig(rate=800, symbols=3, history_minutes=2)


def rules_of(simulator: Simulator) -> list[Rule]:
    return [Rule(violation["rule"]) for violation in simulator.violations.list_all()]


async def ask(client: Any, **request: Any) -> Any:
    await client.send(json.dumps(request))
    while True:
        answer = json.loads(await client.recv())
        if "id" in answer or "code" in answer:
            return answer


def open_unread(address: tuple[str, int], streams: str, account: str) -> socket.socket:
    """Open a connection with streams, none of which is ever read."""
    unread = socket.socket()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    unread.connect(address)
    head = f"GET /stream?streams={streams} HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\n"
    head += f"X-Feedplane-Account: {account}\r\n"
    key = "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    unread.sendall(f"{head}{key}dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    return unread


async def flood(client: Any) -> None:
    for number in range(50):
        await ask(client, method="LIST_SUBSCRIPTIONS", id=number)


async def test_combined_streams_deliver_what_truth_emitted(read: Any) -> None:
    async with Simulator(CONFIG) as simulator:
        url = f"{simulator.spot_url}/stream?streams=btcusdt@aggTrade/ethusdt@bookTicker"
        async with connect(url) as socket:
            frames = await read(socket, lambda seen: len(seen) >= 60)
        by_stream: dict[str, list[Any]] = {}
        for frame in frames:
            by_stream.setdefault(frame["stream"], []).append(frame["data"])
        for stream, channel in (
            ("btcusdt@aggTrade", "aggTrade"),
            ("ethusdt@bookTicker", "bookTicker"),
        ):
            key = (Market.SPOT, channel, stream[:7].upper())
            emitted = [json.loads(payload) for _, _, payload in simulator.truth.events(key)]
            first = emitted.index(by_stream[stream][0])
            assert emitted[first : first + len(by_stream[stream])] == by_stream[stream]


async def test_aggregate_trades_of_a_stream_have_contiguous_ids(read: Any) -> None:
    async with (
        Simulator(CONFIG) as simulator,
        connect(f"{simulator.usdm_url}/market/ws/btcusdt@aggTrade") as socket,
    ):
        frames = await read(socket, lambda seen: len(seen) >= 50)
    ids = [frame["a"] for frame in frames]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert list(frames[0]) == ["e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m"]


@pytest.mark.parametrize(
    ("path", "pushed"),
    [
        pytest.param("/public", {"bookTicker"}, id="the public route pushes quotes only"),
        pytest.param("/market", {"aggTrade"}, id="the market route pushes trades only"),
        pytest.param("", {"bookTicker"}, id="an unrouted connection is the public one"),
    ],
)
async def test_futures_route_pushes_its_own_channels(
    path: str, pushed: set[str], read: Any
) -> None:
    async with Simulator(CONFIG) as simulator:
        async with connect(f"{simulator.usdm_url}{path}/ws") as socket:
            streams = ["btcusdt@aggTrade", "btcusdt@bookTicker"]
            assert (await ask(socket, method="SUBSCRIBE", params=streams, id=1)) == {
                "result": None,
                "id": 1,
            }
            frames = await read(socket, lambda seen: len(seen) >= 20)
        assert {frame["e"] for frame in frames} == pushed
        assert rules_of(simulator) == []


async def test_control_messages_change_and_list_streams() -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        async with connect(f"{simulator.usdm_url}/market/ws/ethusdt@kline_1m") as socket:
            await ask(socket, method="SUBSCRIBE", params=["btcusdt@aggTrade"], id=1)
            await ask(socket, method="UNSUBSCRIBE", params=["ethusdt@kline_1m"], id=2)
            listed = await ask(socket, method="LIST_SUBSCRIPTIONS", id=3)
            before = await ask(socket, method="GET_PROPERTY", params=["combined"], id=4)
            await ask(socket, method="SET_PROPERTY", params=["combined", True], id=5)
            after = await ask(socket, method="GET_PROPERTY", params=["combined"], id=6)
        assert listed == {"result": ["btcusdt@aggTrade"], "id": 3}
        assert (before["result"], after["result"]) == (False, True)
        assert rules_of(simulator) == []


async def test_unknown_stream_is_acknowledged_and_mute(read: Any) -> None:
    async with Simulator(CONFIG) as simulator, connect(f"{simulator.spot_url}/ws") as socket:
        params = ["nonesuch@aggTrade", "btcusdt@aggTrade"]
        answer = await ask(socket, method="SUBSCRIBE", params=params, id=9)
        frames = await read(socket, lambda seen: len(seen) >= 20)
    assert answer == {"result": None, "id": 9}
    assert {frame["s"] for frame in frames} == {"BTCUSDT"}


async def test_second_subscription_of_a_stream_is_a_violation() -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        async with connect(f"{simulator.spot_url}/ws/btcusdt@trade") as socket:
            await ask(socket, method="SUBSCRIBE", params=["btcusdt@trade"], id=1)
        assert rules_of(simulator) == [Rule.SUBSCRIBED_TWICE]


async def test_too_many_messages_end_the_connection() -> None:
    async with Simulator(replace(CONFIG, rate=0)) as simulator:
        async with connect(f"{simulator.spot_url}/ws") as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await flood(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert rules_of(simulator) == [Rule.MESSAGE_RATE]


async def test_too_many_streams_end_the_connection(eventually: Eventually) -> None:
    async with Simulator(CONFIG.with_rules(streams_max=2)) as simulator:
        async with connect(
            f"{simulator.spot_url}/stream?streams=a@trade/b@trade/c@trade"
        ) as socket:
            await socket.wait_closed()
        assert rules_of(simulator) == [Rule.STREAM_COUNT]


async def test_too_many_connects_are_refused() -> None:
    async with Simulator(CONFIG.with_rules(connects_max=2)) as simulator:
        for _ in range(2):
            async with connect(f"{simulator.spot_url}/ws"):
                pass
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{simulator.spot_url}/ws")
        assert refused.value.response.status_code == 429
        assert rules_of(simulator) == [Rule.CONNECT_RATE]


async def test_pings_carry_payloads_and_silence_is_dropped(
    http: aiohttp.ClientSession, eventually: Eventually
) -> None:
    config = CONFIG.with_rules(ping_interval_seconds=0.1, pong_timeout_seconds=0.3)
    async with (
        Simulator(config) as simulator,
        connect(f"{simulator.spot_url}/ws", ping_interval=None) as answering,
        http.ws_connect(f"{simulator.spot_url}/ws", autoping=False) as silent,
    ):
        first = await silent.receive()
        assert (first.type, first.data.isdigit()) == (aiohttp.WSMsgType.PING, True)
        await eventually(lambda: rules_of(simulator) == [Rule.NO_PONG])
        await answering.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert json.loads(await answering.recv())["result"] == []
        await eventually(lambda: len(simulator.connections()) == 1)


@pytest.mark.timeout(180)
async def test_dead_reader_holds_up_nobodys_pings(http: aiohttp.ClientSession) -> None:
    config = replace(CONFIG, rate=20_000).with_rules(
        ping_interval_seconds=0.5, pong_timeout_seconds=300
    )
    streams = (f"{name}usdt@{each}" for name in ("btc", "eth") for each in TRADES_AND_QUOTES)
    async with (
        Simulator(config) as simulator,
        http.ws_connect(f"{simulator.spot_url}/ws", autoping=False) as alive,
    ):
        address = ("127.0.0.1", simulator.ports["spot"])
        with closing(open_unread(address, "/".join(streams), account="dead")):
            async with asyncio.timeout(90):
                while all(each["bufferedBytes"] < 200_000 for each in simulator.connections()):
                    await alive.receive()
            simulator.rates = dict.fromkeys(Market, 0.0)
            await simulator.inject(
                Fault(kind=FaultKind.ROTATE, market="spot", client="dead", notice_seconds=0)
            )
            pings = 0
            async with asyncio.timeout(60):
                while pings < 5 or len(simulator.connections()) > 1:
                    assert (await alive.receive()).type is aiohttp.WSMsgType.PING
                    pings += 1


async def test_end_of_life_is_announced_then_kept(read: Any) -> None:
    config = replace(CONFIG, rate=0).with_rules(lifetime_seconds=0.4, shutdown_notice_seconds=0.3)
    async with (
        Simulator(config) as simulator,
        connect(f"{simulator.spot_url}/stream") as socket,
    ):
        [notice] = await read(socket, lambda seen: len(seen) == 1)
        assert notice["stream"] == "!serverShutdown"
        assert notice["data"]["e"] == "serverShutdown"
        with pytest.raises(ConnectionClosed):
            await socket.recv()


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_book_from_snapshot_and_diffs_agrees(
    market: str, read: Any, http: aiohttp.ClientSession
) -> None:
    async with Simulator(CONFIG) as simulator:
        base = simulator.spot_url if market == "spot" else f"{simulator.usdm_url}/public"
        path = "/api/v3/depth" if market == "spot" else "/fapi/v1/depth"
        rest = f"http://127.0.0.1:{simulator.ports[market]}{path}?symbol=BTCUSDT&limit=1000"

        async def snapshot() -> Any:
            async with http.get(rest) as response:
                return await response.json()

        async with connect(f"{base}/ws/btcusdt@depth@100ms") as socket:
            diffs = await read(socket, lambda seen: len(seen) >= 2)
            first = await snapshot()
            simulator.rates = dict.fromkeys(Market, 400.0)
            diffs += await read(socket, lambda seen: len(seen) >= 8)
            simulator.rates = dict.fromkeys(Market, 0.0)
            last = await snapshot()
            while diffs[-1]["u"] < last["lastUpdateId"]:
                diffs += await read(socket, lambda seen: len(seen) == 1)
    book = {side: dict(map(tuple, first[side])) for side in ("bids", "asks")}
    fresh = [diff for diff in diffs if diff["u"] > first["lastUpdateId"]]
    if market == "spot":
        assert fresh[0]["U"] <= first["lastUpdateId"] + 1
        assert all(b["U"] == a["u"] + 1 for a, b in itertools.pairwise(diffs))
    else:
        assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(diffs))
    for diff in fresh:
        for side, key in (("bids", "b"), ("asks", "a")):
            for price, size in diff[key]:
                book[side][price] = size
            book[side] = {p: q for p, q in book[side].items() if float(q)}
    assert book == {side: dict(map(tuple, last[side])) for side in ("bids", "asks")}
