"""What the simulator's socket tests share: reading frames, and waiting on conditions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection

from feedplane_simulator.simulator import Simulator

Frame = dict[str, Any]
Fetch = Callable[[str], Awaitable[tuple[int, Any, "aiohttp.typedefs.LooseHeaders"]]]


class Read(Protocol):
    async def __call__(
        self, socket: ClientConnection, until: Callable[[list[Frame]], bool]
    ) -> list[Frame]: ...


@pytest.fixture
def read() -> Read:
    async def read_until(
        socket: ClientConnection, until: Callable[[list[Frame]], bool]
    ) -> list[Frame]:
        frames: list[Frame] = []
        async with asyncio.timeout(5):
            while not until(frames):
                frames.append(json.loads(await socket.recv()))
        return frames

    return read_until


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition is the other side's
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def rest_url() -> Callable[[Simulator, str], str]:
    def build(simulator: Simulator, market: str) -> str:
        return f"http://127.0.0.1:{simulator.ports[market]}"

    return build
