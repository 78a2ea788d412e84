"""Who the venue lets in: bans, keys, one session per account, lines that pass nothing."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.simulator import Simulator

CONFIG = SimulatorConfig(rate=500, symbols=2, channels=("aggTrade",))
STREAM = "btcusdt@aggTrade"
KEY = (Market.SPOT, "aggTrade", "BTCUSDT")


def login(simulator: Simulator, account: str, key: str = "") -> connect:
    headers = {"X-Feedplane-Account": account}
    if key:
        headers["X-MBX-APIKEY"] = key
    url = f"{simulator.spot_url}/ws/{STREAM}"
    return connect(url, additional_headers=headers, max_queue=None)


async def refused(attempt: connect) -> tuple[int, str | None]:
    with pytest.raises(InvalidStatus) as error:
        await attempt
    response = error.value.response
    return response.status_code, response.headers.get("Retry-After")


async def order(simulator: Simulator, path: str, **body: Any) -> Any:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{simulator.admin_url}{path}", json=body) as response,
    ):
        return await response.json()


async def ask(simulator: Simulator, path: str) -> Any:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{simulator.admin_url}{path}") as response,
    ):
        return await response.json()


def rules_broken(simulator: Simulator) -> list[str]:
    return [violation["rule"] for violation in simulator.violations.list_all()]


async def is_cut(socket: ClientConnection) -> bool:
    try:
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return True
    except TimeoutError:
        return False


async def test_ban_cuts_the_account_and_says_when_it_ends() -> None:
    async with Simulator(CONFIG) as simulator, login(simulator, "a") as a, login(simulator, "b"):
        await order(simulator, "/faults", kind="ban", client="a", seconds=30)
        assert await is_cut(a)
        assert [row["account"] for row in simulator.connections()] == ["b"]
        assert await refused(login(simulator, "a")) == (418, "30")
        assert rules_broken(simulator) == []
        assert await refused(login(simulator, "a")) == (418, "30")
        assert rules_broken(simulator) == ["connect-while-banned"]
        url = f"http://127.0.0.1:{simulator.ports['spot']}/api/v3/time"
        async with aiohttp.ClientSession() as http:
            for account, status in (("a", 418), ("b", 200)):
                headers = {"X-Feedplane-Account": account}
                async with http.get(url, headers=headers) as response:
                    assert response.status == status


async def test_ban_ends_with_its_time() -> None:
    async with Simulator(CONFIG) as simulator:
        fault = Fault(kind=FaultKind.BAN, client="a", seconds=0.3, status=429)
        await simulator.inject(fault)
        assert await refused(login(simulator, "a")) == (429, "1")
        await asyncio.sleep(0.35)
        async with login(simulator, "a") as socket:
            assert json.loads(await socket.recv())["s"] == "BTCUSDT"
        assert rules_broken(simulator) == []


async def test_only_valid_keys_may_log_in() -> None:
    async with Simulator(CONFIG) as simulator:
        assert await order(simulator, "/terms", validKeys=["good"]) == {
            "sessionsPerAccount": None,
            "validKeys": 1,
        }
        assert (await refused(login(simulator, "a", "bad")))[0] == 401
        assert (await refused(login(simulator, "a")))[0] == 401
        async with login(simulator, "a", "good"):
            assert simulator.connections()[0]["account"] == "a"
        url = f"http://127.0.0.1:{simulator.ports['spot']}/api/v3/time"
        async with (
            aiohttp.ClientSession() as http,
            http.get(url, headers={"X-MBX-APIKEY": "bad"}) as response,
        ):
            assert (response.status, (await response.json())["code"]) == (401, -2015)
        await order(simulator, "/terms", validKeys=None)
        async with login(simulator, "a", "bad"):
            pass


async def test_second_session_of_an_account_is_a_double_login() -> None:
    config = SimulatorConfig(rate=500, symbols=2, sessions_per_account=1)
    async with Simulator(config) as simulator, login(simulator, "a"), login(simulator, "b"):
        assert (await refused(login(simulator, "a")))[0] == 409
        assert rules_broken(simulator) == ["double-login"]
        await order(simulator, "/terms", sessionsPerAccount=None)
        async with login(simulator, "a"):
            pass
        assert rules_broken(simulator) == ["double-login"]


async def test_session_that_ended_leaves_room_at_once() -> None:
    config = SimulatorConfig(rate=500, symbols=2, sessions_per_account=1)
    async with Simulator(config) as simulator:
        for _ in range(5):
            async with login(simulator, "a") as socket:
                await socket.recv()
        assert rules_broken(simulator) == []


async def test_all_connections_of_one_account_are_dropped() -> None:
    async with Simulator(CONFIG) as simulator, login(simulator, "b") as other:
        async with login(simulator, "a") as one, login(simulator, "a") as two:
            await order(simulator, "/faults", kind="drop", client="a")
            assert await is_cut(one)
            assert await is_cut(two)
        assert json.loads(await other.recv())["s"] == "BTCUSDT"


async def test_account_can_be_mute_while_its_pings_go_on() -> None:
    config = CONFIG.with_rules(ping_interval_seconds=0.1)
    async with Simulator(config) as simulator, aiohttp.ClientSession() as http:
        url = f"{simulator.spot_url}/ws/{STREAM}"
        headers = {"X-Feedplane-Account": "a"}
        async with http.ws_connect(url, headers=headers, autoping=False) as socket:
            await order(simulator, "/faults", kind="mute", client="a")
            kinds = [(await socket.receive(timeout=5)).type for _ in range(3)]
            while kinds[-3:] != [aiohttp.WSMsgType.PING] * 3:
                kinds.append((await socket.receive(timeout=5)).type)


async def test_blackhole_passes_nothing_and_then_all_of_it() -> None:
    async with Simulator(CONFIG) as simulator, login(simulator, "a") as socket:
        before = json.loads(await socket.recv())["a"]
        number = (await simulator.inject(Fault(kind=FaultKind.BLACKHOLE, client="a"))).number
        await asyncio.sleep(0.2)
        late = asyncio.create_task(_first_id(simulator))
        while not await _is_quiet(socket):
            pass
        assert not late.done()
        assert simulator.truth.deliveries(KEY)["a"][0]["count"] < simulator.truth.emitted[KEY].count
        simulator.clear(number)
        ids = [json.loads(await socket.recv())["a"]]
        assert await late > ids[0]
        [delivery] = (await ask(simulator, "/deliveries/spot/aggTrade/BTCUSDT?ids=1"))["a"][:1]
        assert len(delivery["spans"]) == 1
        assert {before, ids[0]} <= set(delivery["ids"])


async def _first_id(simulator: Simulator) -> int:
    async with login(simulator, "a") as socket:
        return int(json.loads(await socket.recv())["a"])


async def _is_quiet(socket: ClientConnection) -> bool:
    try:
        async with asyncio.timeout(0.4):
            await socket.recv()
    except TimeoutError:
        return True
    return False


async def test_connection_lost_in_a_blackhole_was_not_sent_the_rest() -> None:
    async with Simulator(CONFIG) as simulator:
        async with login(simulator, "a") as socket:
            await socket.recv()
            await simulator.inject(Fault(kind=FaultKind.BLACKHOLE, client="a", seconds=30))
            await asyncio.sleep(0.3)
            seen = simulator.truth.deliveries(KEY)["a"][0]["last"]
            await asyncio.sleep(0.3)
            await simulator.inject(Fault(kind=FaultKind.DROP, client="a"))
            assert await is_cut(socket)
        [delivery] = simulator.truth.deliveries(KEY, "a")["a"]
        assert delivery["last"] == seen
        assert delivery["withheld"] > 0


async def test_lossy_line_stands_still_by_turns_and_loses_nothing() -> None:
    async with Simulator(CONFIG) as simulator, login(simulator, "a") as socket:
        fault = Fault(kind=FaultKind.LOSS, client="a", probability=0.5, delay_seconds=0.2)
        await simulator.inject(fault)
        ids, pauses = [json.loads(await socket.recv())["a"]], 0
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while pauses < 3:
                asked = loop.time()
                ids.append(json.loads(await socket.recv())["a"])
                pauses += loop.time() - asked > 0.12
    assert ids == list(range(ids[0], ids[-1] + 1))


async def test_deliveries_tell_accounts_apart() -> None:
    async with Simulator(CONFIG) as simulator:
        async with login(simulator, "a") as one, login(simulator, "b") as other:
            await one.recv()
            first = json.loads(await other.recv())["a"]
            skip = Fault(kind=FaultKind.SKIP, client="a", count=5)
            await simulator.inject(skip)
            while json.loads(await one.recv())["a"] < first + 40:
                pass
            told = simulator.truth.deliveries(KEY, with_ids=True)
        assert sorted(told) == ["a", "b"]
        [of_a], [of_b] = told["a"], told["b"]
        assert of_a["withheld"] == 5
        assert len(of_a["ids"]) == of_a["count"] == sum(s["count"] for s in of_a["spans"])
        assert len(of_a["spans"]) > 1
        assert len(set(of_b["ids"]) - set(of_a["ids"])) >= 5
        assert all(span["firstTime"] <= span["lastTime"] for span in of_a["spans"])
