"""Many who ask one venue from one address: its own count never passes the limit.

The simulator is the referee: it counts weight and writes down who asked before a pause was over.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from rig import Venue
from trial import DSN_ENV

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.allowance import LocalAllowance, build_allowance
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.budget import Priority
from feedplane_feeder.errors import VenueThrottledError
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.rest import RestClient
from feedplane_feeder.sinks.factory import build_budget_store

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIMIT = 6_000
HEAVY = ("/api/v3/depth?symbol=BTCUSDT&limit=5000", 250)
LIGHT = ("/api/v3/ping", 1)


class Pod:
    """One process behind the address."""

    def __init__(self, rest: RestClient, allowance: LocalAllowance) -> None:
        self.rest = rest
        self.allowance = allowance
        self.answered = 0

    async def ask(self, request: tuple[str, int], priority: Priority) -> None:
        await self.rest.fetch(*request, priority)
        self.answered += 1

    async def ask_on(self, request: tuple[str, int], priority: Priority) -> None:
        while True:
            try:
                await self.ask(request, priority)
            except VenueThrottledError:
                continue


@pytest.fixture
def venue_url(market: Venue, dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(DSN_ENV, dsn)
    return f"http://127.0.0.1:{market.spot_port}"


@asynccontextmanager
async def pods(url: str, count: int) -> AsyncIterator[list[Pod]]:
    adapter, clock = find_adapter("binance-spot"), SystemClock()
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            store = build_budget_store(PostgresSinkConfig(dsn_env=DSN_ENV), "binance-spot")
            allowance = build_allowance(LIMIT, clock, store, url)
            stack.push_async_callback(allowance.close)
            rest = RestClient(url, {}, allowance, adapter.capabilities, clock)
            made.append(Pod(await stack.enter_async_context(rest), allowance))
        yield made


async def over(pods: list[Pod], seconds: float, priorities: list[Priority]) -> None:
    """Let every pod ask for heavy things as fast as it may."""
    tasks = [
        asyncio.create_task(pod.ask_on(HEAVY, priority))
        for pod, priority in zip(pods, priorities, strict=True)
        for _ in range(2)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), outcome


async def test_pods_at_full_speed_stay_within_the_venues_limit(
    venue_url: str, market: Venue
) -> None:
    async with pods(venue_url, 5) as made:
        backfills, repair, live = made[:3], made[3], made[4]
        await over([*backfills, repair], 6, [Priority.BACKFILL] * 3 + [Priority.REPAIR])
        started = asyncio.get_running_loop().time()
        await live.ask(LIGHT, Priority.LIVE)
        waited = asyncio.get_running_loop().time() - started
    assert await asyncio.to_thread(market.ask, "/violations") == []
    assert repair.answered > 0
    assert sum(pod.answered for pod in made) > 12
    # Whatever the others used up, live work had room at once.
    assert waited < 3


async def test_pause_asked_of_one_pod_is_kept_by_all(venue_url: str, market: Venue) -> None:
    async with pods(venue_url, 3) as made:
        for pod in made:
            await pod.ask(LIGHT, Priority.LIVE)
        await asyncio.to_thread(
            market.fault, "rest", status=418, retry_after_seconds=4, count=1, market="spot"
        )
        with pytest.raises(VenueThrottledError):
            await made[0].ask(LIGHT, Priority.LIVE)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(pod.ask(LIGHT, Priority.LIVE) for pod in made))
        waited = asyncio.get_running_loop().time() - started
        ends: set[Any] = {pod.allowance.banned_until_ns for pod in made}
    assert await asyncio.to_thread(market.ask, "/violations") == []
    assert 4 <= waited < 15
    assert len(ends) == 1
    assert ends != {0}
