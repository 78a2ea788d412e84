"""Faults by order, over the admin port, seen by the client they befall."""

import itertools
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.simulator import Simulator

# A bounded queue left unread would hold up the closing handshake.
connect = partial(connect_socket, max_queue=None)
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
CONFIG = SimulatorConfig(rate=800, symbols=2, history_minutes=2, channels=("aggTrade",))
STREAM = "btcusdt@aggTrade"


async def inject(http: aiohttp.ClientSession, simulator: Simulator, **fault: Any) -> Any:
    async with http.post(f"{simulator.admin_url}/faults", json=fault) as response:
        assert response.status == 201, await response.text()
        return await response.json()


async def fetch(http: aiohttp.ClientSession, simulator: Simulator, path: str) -> Any:
    async with http.get(f"{simulator.admin_url}{path}") as response:
        assert response.status == 200
        return await response.json()


@pytest.mark.parametrize(
    ("close_frame", "code"),
    [
        pytest.param(True, 1001, id="with a close frame"),
        pytest.param(False, None, id="without a word"),
    ],
)
async def test_drop_ends_every_connection(
    close_frame: bool,
    code: int | None,
    http: aiohttp.ClientSession,
    read: Any,
    eventually: Eventually,
) -> None:
    async with Simulator(CONFIG) as simulator:
        async with connect(f"{simulator.spot_url}/ws/{STREAM}") as socket:
            await socket.recv()
            applied = await inject(http, simulator, kind="drop", close_frame=close_frame)
            with pytest.raises(ConnectionClosed) as closed:
                await read(socket, lambda _seen: False)
            await eventually(lambda: simulator.connections() == [])
        received = closed.value.rcvd
        assert (received.code if received is not None else None) == code
        assert applied["applied"] == 1


async def test_mute_stream_leaves_the_others_alone(http: aiohttp.ClientSession, read: Any) -> None:
    async with Simulator(CONFIG) as simulator:
        url = f"{simulator.spot_url}/stream?streams={STREAM}/ethusdt@aggTrade"
        async with connect(url) as socket:
            await read(socket, lambda seen: any(f["stream"] == STREAM for f in seen))
            fault = await inject(http, simulator, kind="mute", streams="btcusdt@*")
            muted_from = simulator.truth.emitted[Market.SPOT, "aggTrade", "BTCUSDT"].last or 0
            frames = await read(socket, lambda seen: len(seen) >= 60)
            async with http.delete(f"{simulator.admin_url}/faults/{fault['id']}") as response:
                assert await response.json() == {"cleared": 1}
            after = await read(socket, lambda seen: any(f["stream"] == STREAM for f in seen))
        [row] = [
            row
            for row in simulator.truth.summarize()
            if (row["channel"], row["symbol"], row["market"]) == ("aggTrade", "BTCUSDT", "spot")
        ]
    late = [f for f in frames if f["stream"] == STREAM and f["data"]["a"] > muted_from]
    assert late == []
    back = next(f["data"]["a"] for f in after if f["stream"] == STREAM)
    assert row["delivered"][0]["withheld"] >= back - 1 - muted_from


async def test_mute_until_resubscribed_is_cured_so(http: aiohttp.ClientSession, read: Any) -> None:
    async with (
        Simulator(CONFIG) as simulator,
        connect(f"{simulator.spot_url}/stream?streams={STREAM}/ethusdt@aggTrade") as socket,
    ):
        await inject(http, simulator, kind="mute", streams=STREAM, until_resubscribed=True)
        for number, method in enumerate(("UNSUBSCRIBE", "SUBSCRIBE")):
            request = {"method": method, "params": [STREAM], "id": number}
            await socket.send(json.dumps(request))
        frames = await read(
            socket,
            lambda seen: (
                bool(seen)
                and seen[-1].get("stream") == STREAM
                and any("id" in frame for frame in seen)
            ),
        )
    assert frames[-1]["data"]["s"] == "BTCUSDT"


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        pytest.param(
            {"kind": "skip", "probability": 0.5},
            lambda ids: any(b - a > 1 for a, b in itertools.pairwise(ids)),
            id="skipped ids leave holes",
        ),
        pytest.param(
            {"kind": "duplicate", "count": 5},
            lambda ids: sum(a == b for a, b in itertools.pairwise(ids)) == 5,
            id="five frames come twice",
        ),
        pytest.param(
            {"kind": "reorder", "count": 4},
            lambda ids: sum(a > b for a, b in itertools.pairwise(ids)) >= 2,
            id="neighbours change places",
        ),
    ],
)
async def test_fault_disturbs_the_order_of_ids(
    fault: dict[str, Any],
    check: Callable[[list[int]], bool],
    http: aiohttp.ClientSession,
    read: Any,
) -> None:
    async with (
        Simulator(CONFIG) as simulator,
        connect(f"{simulator.spot_url}/ws/{STREAM}") as socket,
    ):
        await inject(http, simulator, **fault)
        frames = await read(socket, lambda seen: check([frame["a"] for frame in seen]))
    assert frames[0]["s"] == "BTCUSDT"


async def test_skip_everywhere_spares_no_connection(http: aiohttp.ClientSession, read: Any) -> None:
    async with Simulator(CONFIG) as simulator:
        url = f"{simulator.spot_url}/ws/{STREAM}"
        await inject(http, simulator, kind="skip", probability=0.3, everywhere=True)
        async with connect(url) as one, connect(url) as other:
            ids = [
                {frame["a"] for frame in await read(socket, lambda seen: len(seen) >= 60)}
                for socket in (one, other)
            ]
    low, high = max(map(min, ids)), min(map(max, ids))
    assert {i for i in ids[0] if low <= i <= high} == {i for i in ids[1] if low <= i <= high}


async def test_delay_and_corruption_reach_the_client(
    http: aiohttp.ClientSession, read: Any
) -> None:
    async with (
        Simulator(CONFIG) as simulator,
        connect(f"{simulator.spot_url}/ws/{STREAM}") as socket,
    ):
        await inject(http, simulator, kind="corrupt", count=1)
        with pytest.raises(json.JSONDecodeError):
            await read(socket, lambda seen: len(seen) >= 50)
        await inject(http, simulator, kind="delay", delay_seconds=0.2)
        frames = await read(socket, lambda seen: len(seen) >= 60)
        now_ms = simulator.markets[Market.SPOT].now_ms()
    assert now_ms - frames[-1]["E"] >= 190


async def test_stall_stops_pings_and_frames(http: aiohttp.ClientSession) -> None:
    config = CONFIG.with_rules(ping_interval_seconds=0.05)
    async with Simulator(config) as simulator:
        url = f"{simulator.spot_url}/ws/{STREAM}"
        async with http.ws_connect(url, autoping=False) as socket:
            await inject(http, simulator, kind="stall", seconds=0.6)
            stalled_at = simulator.markets[Market.SPOT].now_ms()
            gap = 0
            while gap < 400:
                before = simulator.markets[Market.SPOT].now_ms()
                await socket.receive(timeout=2)
                gap = simulator.markets[Market.SPOT].now_ms() - before
    assert before >= stalled_at - 1000


@pytest.mark.parametrize("status", [401, 503])
async def test_refused_upgrade_answers_with_status(
    status: int, http: aiohttp.ClientSession
) -> None:
    async with Simulator(CONFIG) as simulator:
        await inject(http, simulator, kind="refuse", status=status, client="*key-a*")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{simulator.spot_url}/ws?account=key-a")
        async with connect(f"{simulator.spot_url}/ws?account=b"):
            pass
    assert refused.value.response.status_code == status


async def test_second_session_of_an_account_is_refused(http: aiohttp.ClientSession) -> None:
    async with Simulator(CONFIG) as simulator:
        await inject(http, simulator, kind="single-session")
        async with connect(f"{simulator.spot_url}/ws?account=a"):
            async with connect(f"{simulator.spot_url}/ws?account=b"):
                pass
            with pytest.raises(InvalidStatus):
                await connect(f"{simulator.spot_url}/ws?account=a")
        violations = await fetch(http, simulator, "/violations")
    assert [v["rule"] for v in violations] == ["second-session"]


async def test_rotation_announces_then_disconnects(http: aiohttp.ClientSession, read: Any) -> None:
    async with (
        Simulator(CONFIG) as simulator,
        connect(f"{simulator.spot_url}/stream?streams={STREAM}") as socket,
    ):
        await inject(http, simulator, kind="rotate", notice_seconds=0.2)
        await read(socket, lambda seen: bool(seen) and seen[-1]["stream"] == "!serverShutdown")
        with pytest.raises(ConnectionClosed) as closed:
            await read(socket, lambda _seen: False)
    assert closed.value.rcvd is not None


async def test_halt_silences_and_resume_goes_on(
    http: aiohttp.ClientSession, eventually: Eventually
) -> None:
    async with Simulator(CONFIG) as simulator:
        market = simulator.markets[Market.SPOT]
        await eventually(lambda: market.emitted_count > 10)
        await inject(http, simulator, kind="halt", market="spot")
        halted_at = market.emitted_count
        await fetch(http, simulator, "/truth")
        assert market.emitted_count == halted_at
        await inject(http, simulator, kind="resume")
        await eventually(lambda: market.emitted_count > halted_at)


@pytest.mark.parametrize("path", ["/faults", "/load", "/rate", "/truth/mark"])
async def test_malformed_order_is_refused(path: str, http: aiohttp.ClientSession) -> None:
    async with Simulator(CONFIG) as simulator:
        async with http.post(f"{simulator.admin_url}{path}", json={"kind": "x"}) as response:
            assert response.status == 400
        assert await fetch(http, simulator, "/faults") == {"active": [], "past": []}


async def test_truth_since_a_mark_names_the_range(
    http: aiohttp.ClientSession, eventually: Eventually
) -> None:
    async with Simulator(CONFIG) as simulator:
        channel = simulator.truth.channel(Market.SPOT, "aggTrade", "BTCUSDT")
        await eventually(lambda: channel.count > 5)
        async with http.post(f"{simulator.admin_url}/truth/mark", json={"name": "m"}) as response:
            assert response.status == 200
        marked = channel.last
        assert marked is not None
        await eventually(lambda: channel.count > 30)
        rows = await fetch(http, simulator, "/truth?since=m")
        detail = await fetch(
            http, simulator, f"/truth/spot/aggTrade/BTCUSDT?events=1&after={marked}"
        )
    [row] = [r["emitted"] for r in rows if (r["market"], r["symbol"]) == ("spot", "BTCUSDT")]
    assert row["first"] == marked + 1
    assert row["count"] == row["last"] - marked
    assert [event["payload"]["a"] for event in detail["events"]][:3] == [
        marked + 1,
        marked + 2,
        marked + 3,
    ]
