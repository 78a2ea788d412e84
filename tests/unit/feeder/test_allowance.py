"""Waiting for room in a budget, alone and together with others, in virtual time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from support_stage import LoopClock

from feedplane_feeder.allowance import LocalAllowance, SharedAllowance, build_allowance
from feedplane_feeder.core.budget import MINUTE_NS, SECOND_NS, AddressBudget, Pause, Priority
from feedplane_feeder.core.history import Pool
from feedplane_feeder.errors import SinkUnavailableError

pytestmark = pytest.mark.looptime
T = TypeVar("T")


class MemoryStore:
    """Budgets in a dictionary; can be away or hang."""

    def __init__(self) -> None:
        self.budgets: dict[str, AddressBudget] = {}
        self.away = False
        self.hangs = False
        self.closed = False
        self.asked = 0

    async def change(self, address: str, change: Callable[[AddressBudget, int], T]) -> T:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(1_000)
        if self.away:
            raise SinkUnavailableError("store", "away")
        budget = self.budgets.setdefault(address, AddressBudget())
        return change(budget, LoopClock().now_ns())

    async def close(self) -> None:
        self.closed = True


def now() -> float:
    return asyncio.get_running_loop().time()


def share(store: MemoryStore, *, limit: int = 100, percent: int = 50) -> LocalAllowance:
    return build_allowance(
        limit, LoopClock(), store, "http://venue:80/api", backfill_percent=percent
    )


async def use(allowance: LocalAllowance, weight: int, priority: Priority = Priority.LIVE) -> None:
    minute = await allowance.take(weight, priority)
    await allowance.settle(weight, minute, None)


async def test_without_a_store_a_process_counts_alone() -> None:
    allowance = build_allowance(100, LoopClock(), None, "http://venue")
    assert type(allowance) is LocalAllowance
    await use(allowance, 90)
    assert allowance.used(LoopClock().now_ns()) == 90
    await allowance.watch()
    await allowance.close()
    await use(allowance, 90)
    assert now() == pytest.approx(60)


async def test_two_processes_share_what_the_venue_allows() -> None:
    store = MemoryStore()
    first, second = share(store), share(store)
    await use(first, 60)
    await use(second, 30)
    assert now() == 0
    assert second.used(LoopClock().now_ns()) == 90
    await use(first, 30)
    assert now() > 59
    assert list(store.budgets) == ["venue:80"]


async def test_live_work_finds_room_when_repairs_and_backfills_wait() -> None:
    store = MemoryStore()
    live, repair, backfill = share(store), share(store), share(store)
    done: list[str] = []

    async def ask(name: str, allowance: LocalAllowance, priority: Priority) -> None:
        await use(allowance, 10, priority)
        done.append(f"{name} {now():.0f}")

    waits: list[tuple[Priority, float]] = []
    backfill.on_wait = lambda priority, seconds: waits.append((priority, seconds))
    await use(live, 45)
    waiting = [
        asyncio.create_task(ask("backfill", backfill, Priority.BACKFILL)),
        asyncio.create_task(ask("repair", repair, Priority.REPAIR)),
    ]
    await asyncio.sleep(1)
    assert done == ["repair 0"]
    await ask("live", live, Priority.LIVE)
    assert repair.repair_ceiling() == 80
    await asyncio.gather(*waiting)
    assert done[:2] == ["repair 0", "live 1"]
    assert done[2] == "backfill 60"
    assert {priority for priority, _ in waits} == {Priority.BACKFILL}
    assert sum(seconds for _, seconds in waits) == pytest.approx(60)


@pytest.mark.parametrize("banned", [True, False], ids=["banned", "throttled"])
async def test_pause_of_one_stops_all_and_its_end_is_known(banned: bool) -> None:
    store = MemoryStore()
    first, second = share(store), share(store)
    watching = asyncio.create_task(second.watch())
    minute = await first.take(1, Priority.BACKFILL)
    await first.settle(1, minute, 7, Pause(seconds=30, banned=banned))
    await asyncio.sleep(6)
    until_ns = 31 * SECOND_NS if banned else 0
    assert (first.banned_until_ns, second.banned_until_ns) == (until_ns, until_ns)
    await use(second, 1)
    assert now() == pytest.approx(31)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert store.closed


async def test_pool_of_requests_is_shared_in_any_window() -> None:
    store = MemoryStore()
    pool = Pool(requests=60, window_ns=5 * MINUTE_NS)
    first, second = share(store).pool("metrics", pool), share(store).pool("metrics", pool)
    alone = LocalAllowance(100, LoopClock()).pool("metrics", pool)
    times: list[float] = []
    for _ in range(60):
        for allowance in (first, second):
            await use(allowance, 1, Priority.BACKFILL)
            times.append(now())
    assert max(sum(at <= other < at + 300 for other in times) for at in times) <= 60
    assert list(store.budgets) == ["venue:80#metrics"]
    assert alone.limit == first.limit == 10


@pytest.mark.parametrize("fault", ["away", "hangs"])
async def test_live_work_goes_on_while_the_store_is_away(fault: str) -> None:
    store = MemoryStore()
    allowance = share(store)
    setattr(store, fault, True)
    await use(allowance, 20)
    assert now() <= 2
    assert store.asked == 1
    repair = asyncio.create_task(allowance.take(1, Priority.REPAIR))
    await use(allowance, 20)
    assert now() > 58
    assert not repair.done()
    setattr(store, fault, False)
    await repair
    assert isinstance(allowance, SharedAllowance)
    assert allowance.used(LoopClock().now_ns()) == 1
