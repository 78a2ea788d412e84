import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from feedplane_api.worker import ElectionConfig
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.lease_object import LeaseContext
from feedplane_feeder.log import get_log
from feedplane_feeder.seat import LeaseSeat, OpenSeat

pytestmark = pytest.mark.looptime


class LoopClock:
    """Wall time that follows the loop's own (virtual) time."""

    def now_ns(self) -> int:
        return int((1e9 + asyncio.get_running_loop().time()) * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class FakeApi:
    """One Lease with optimistic locking; some pods cannot reach it."""

    lease: Document = field(default_factory=lambda: {"metadata": {"resourceVersion": "1"}})
    away: set[str] = field(default_factory=set)


@dataclass
class Wire:
    """One pod's way to the API server."""

    api: FakeApi
    pod: str

    async def get(self, path: str) -> Document:
        if self.pod in self.api.away:
            raise ClusterUnavailableError(f"connection refused at {path}")
        return copy.deepcopy(self.api.lease)

    async def put(self, path: str, document: Document) -> Document:
        now = await self.get(path)
        if document["metadata"]["resourceVersion"] != now["metadata"]["resourceVersion"]:
            raise ClusterRefusedError(path, 409, "the object has been modified")
        self.api.lease = copy.deepcopy(document)
        version = int(now["metadata"]["resourceVersion"]) + 1
        self.api.lease["metadata"]["resourceVersion"] = str(version)
        return copy.deepcopy(self.api.lease)


@asynccontextmanager
async def running(seat: LeaseSeat) -> AsyncIterator[None]:
    task = asyncio.create_task(seat.run())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_open_seat_is_held_and_never_lost() -> None:
    seat = OpenSeat()
    await seat.run()
    await seat.wait_held()
    assert seat.held
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3_600):
            await seat.wait_lost()
    await seat.release()
    assert seat.held


def build(api: FakeApi, pod: str) -> LeaseSeat:
    context = LeaseContext(
        api=cast("ClusterApi", Wire(api, pod)), clock=LoopClock(), log=get_log("seat"), pod=pod
    )
    config = ElectionConfig(namespace="feeds", lease_name="demo-publisher-0")
    return LeaseSeat(config, "demo-account-main", "main", context)


async def test_seat_that_is_free_is_taken_and_given_away() -> None:
    api = FakeApi()
    first, second = build(api, "p1"), build(api, "p2")
    async with running(first):
        await first.wait_held()
        assert first.held
        async with running(second):
            await asyncio.sleep(60)
            assert (first.held, second.held) == (True, False)
            await first.release()
            await first.wait_lost()
            async with asyncio.timeout(1.5):
                await second.wait_held()


async def test_seat_outlasts_a_minute_without_the_api_server() -> None:
    api = FakeApi()
    seat = build(api, "p1")
    async with running(seat):
        await seat.wait_held()
        api.away.add("p1")
        await asyncio.sleep(60)
        assert seat.held
        api.away.clear()
        await asyncio.sleep(60)
        assert seat.held


async def test_seat_not_renewed_is_given_up_before_another_takes_it() -> None:
    api = FakeApi()
    first, second = build(api, "p1"), build(api, "p2")
    async with running(first):
        await first.wait_held()
        async with running(second):
            await asyncio.sleep(1)
            api.away.add("p1")
            async with asyncio.timeout(95):
                await first.wait_lost()
            assert not second.held
            async with asyncio.timeout(35):
                await second.wait_held()
            assert not first.held


async def test_seat_released_without_the_api_server_is_no_longer_held() -> None:
    api = FakeApi()
    seat = build(api, "p1")
    async with running(seat):
        await seat.wait_held()
        api.away.add("p1")
        await seat.release()
        assert not seat.held
