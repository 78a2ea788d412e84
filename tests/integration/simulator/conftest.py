"""What the simulator's socket tests share: reading frames, and waiting on conditions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection

Frame = dict[str, Any]
PATIENCE_SECONDS = 60
"""A busy machine is slow, which is no failure; only what never comes is."""


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
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not until(frames):
                frames.append(json.loads(await socket.recv()))
        return frames

    return read_until


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - the condition is the other side's
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
