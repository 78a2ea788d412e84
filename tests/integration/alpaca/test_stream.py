"""Alpaca's own ways, over real sockets: two forms, the login, its errors, symbol limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec
import pytest
from conformance.cards import streams_value_for_value
from conformance.fixture import VenueUnderTest, all_venues
from websockets.asyncio.client import connect

from feedplane_feeder.adapters.alpaca import ADAPTER, KEY_HEADER, SECRET_HEADER
from feedplane_feeder.adapters.alpaca_history import HISTORY
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.history import Page
from feedplane_feeder.core.ports import Channel, ConnectionPlan, Received, StreamConnection
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transport import Engine, build_transport
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.simulator import Simulator

VENUE = next(venue for venue in all_venues() if venue.name == "alpaca")
LOGIN = {KEY_HEADER: "right-key", SECRET_HEADER: "right-key"}
CHANNELS = (Channel("AAPL", "trade"), Channel("MSFT", "trade"))


class Reader:
    """Feeds a session with what comes, and keeps what it makes of it."""

    def __init__(self) -> None:
        plan = ConnectionPlan(key="stocks-0", url="", channels=CHANNELS)
        self.session = ADAPTER.session(plan, ADAPTER.capabilities.limits)
        self.received: list[Received] = []
        self.connection: StreamConnection | None = None

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        self.received.append(self.session.receive(frames, ts_recv))
        self.send_due()

    def send_due(self) -> None:
        if self.connection is not None:
            for outgoing in self.session.due(SystemClock().now_ns()).outgoing:
                self.connection.send(outgoing.text)

    def gathered(self, name: str) -> list[Any]:
        return [each for received in self.received for each in getattr(received, name)]

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not happened():  # noqa: ASYNC110 - the other side's state, no event to wait on
                await asyncio.sleep(0.01)


@asynccontextmanager
async def simulated(**fields: Any) -> AsyncIterator[tuple[Simulator, str]]:
    config = SimulatorConfig(markets=(), venues={"alpaca": 0}, rate=100, symbols=2, **fields)
    async with Simulator(config) as simulator:
        yield simulator, f"ws://127.0.0.1:{simulator.ports['alpaca']}/v2/iex"


async def log_in(
    url: str, login: dict[str, str] = LOGIN, engine: Engine = Engine.PICOWS
) -> tuple[Reader, StreamConnection]:
    clock, reader = SystemClock(), Reader()
    transport = ADAPTER.transport(clock, lambda: build_transport(engine, clock))
    connection = await transport.connect(url, login, reader)
    reader.connection = connection
    reader.session.opened(clock.now_ns())
    reader.send_due()
    return reader, connection


async def test_binary_form_streams_the_same_values() -> None:
    told = {**VENUE.told, "endpoints": {"stream": "ws://{alpaca}/v2/iex#msgpack"}}
    packed = VenueUnderTest(VENUE.adapter, {**VENUE.header, "conformance": told})
    await streams_value_for_value(packed)


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("form", ["", "#msgpack"], ids=["json", "msgpack"])
async def test_both_engines_log_in_and_stream(engine: Engine, form: str) -> None:
    async with simulated(valid_keys=("right-key",)) as (_, url):
        reader, connection = await log_in(url + form, engine=engine)
        await reader.until(lambda: len(reader.gathered("records")) > 5)
        assert reader.gathered("acknowledged") == list(CHANNELS)
        await connection.close()
        assert await connection.run() != ""


async def test_refused_key_is_a_refused_login() -> None:
    async with simulated(valid_keys=("right-key",)) as (simulator, url):
        with pytest.raises(CredentialsRefusedError, match="402 auth failed") as refused:
            await log_in(url, {KEY_HEADER: "wrong", SECRET_HEADER: "hidden"})
        assert "hidden" not in str(refused.value)
        assert simulator.connections() == []


async def test_slot_of_another_session_is_left_alone_until_it_is_free() -> None:
    async with simulated(sessions_per_account=1) as (simulator, url):
        reader, first = await log_in(url)
        with pytest.raises(VenueThrottledError, match="406 connection limit") as refused:
            await log_in(url)
        assert refused.value.retry_after_seconds > 5
        # A second account has a slot of its own; the first one's is free once it has gone.
        _, other = await log_in(url, {KEY_HEADER: "other", SECRET_HEADER: "other"})
        await first.close()
        await reader.until(lambda: len(simulator.connections()) == 1)
        _, again = await log_in(url)
        await asyncio.gather(other.close(), again.close())


async def test_silent_venue_is_given_up() -> None:
    async with simulated() as (simulator, url):
        host, _, _ = url.rpartition("/v2/")
        with pytest.raises(VenueUnavailableError):
            await log_in(f"{host}/v2/nowhere")
        assert simulator.connections() == []


async def test_symbols_beyond_the_limit_are_refused_by_name() -> None:
    async with simulated(venue_options={"alpaca": {"symbol_limit": "1"}}) as (_, url):
        reader, connection = await log_in(url)
        await reader.until(lambda: bool(reader.gathered("refusals")))
        (refusal,) = reader.gathered("refusals")
        assert (refusal.channel, refusal.reason) == (CHANNELS[1], "SymbolLimit")
        assert reader.gathered("acknowledged") == [CHANNELS[0]]
        await connection.close()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param({"action": "subscribe", "trades": ["AAPL"]}, 401, id="not logged in"),
        pytest.param({"action": "dance"}, 401, id="an action before the login"),
        pytest.param({"trades": ["AAPL"]}, 400, id="no action"),
    ],
)
async def test_simulated_venue_refuses_as_the_real_one(message: Any, code: int) -> None:
    async with simulated() as (_, url), connect(url) as socket:
        assert msgspec.json.decode(await socket.recv()) == [{"T": "success", "msg": "connected"}]
        await socket.send(msgspec.json.encode(message).decode())
        (answer,) = msgspec.json.decode(await socket.recv())
        assert (answer["T"], answer["code"]) == ("error", code)


async def test_history_brings_what_was_streamed_page_by_page() -> None:
    async with simulated(valid_keys=("right-key",)) as (simulator, url):
        reader, connection = await log_in(url)
        await reader.until(lambda: len(reader.gathered("records")) > 30)
        simulator.rates["alpaca"] = 0.0
        await asyncio.sleep(0.2)
        await connection.close()
        streamed = [r for r in reader.gathered("records") if r.instrument_id == "AAPL.ALPACA"]
        address = url.replace("ws:", "http:").partition("/v2")[0]
        (page,) = HISTORY.pages("AAPL", "trade", streamed[0].ts_event, 2**62)
        rows: list[Any] = []
        pages = 0
        following: Page | None = replace(page, path=page.path.replace("limit=10000", "limit=7"))
        async with aiohttp.ClientSession(headers=LOGIN) as http:
            while following is not None:
                async with http.get(f"{address}{following.path}") as answer:
                    parsed = HISTORY.parse_page(following, await answer.read())
                assert len(parsed.rows) <= 7
                rows += parsed.rows
                pages += 1
                following = HISTORY.next_page(following, parsed)
            async with http.get(f"{address}{page.path}", headers={KEY_HEADER: "wrong"}) as answer:
                assert answer.status == 403
    told = [(r.ts_event // 1_000, r.trade_id, r.price, r.size) for r in streamed]
    assert [(row[0], row[1], row[5], row[6]) for row in rows] == told
    assert pages > 1


async def test_history_refuses_a_start_that_is_no_time() -> None:
    async with simulated(valid_keys=("right-key",)) as (_, url):
        address = url.replace("ws:", "http:").partition("/v2")[0]
        path = "/v2/stocks/trades?symbols=AAPL&start=yesterday"
        async with (
            aiohttp.ClientSession(headers=LOGIN) as http,
            http.get(f"{address}{path}") as answer,
        ):
            assert answer.status == 400
