"""Allowance: makes requests wait until the venue's budget of their address has room.

The budget is shared through a store by everybody behind the address; without a store, or while
it is away, this process counts alone. Must not know what is asked for.
"""

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Final, TypeVar
from urllib.parse import urlsplit

from feedplane_feeder.core.budget import (
    MINUTE_NS,
    AddressBudget,
    BudgetStore,
    Pause,
    Priority,
    find_ceiling,
)
from feedplane_feeder.core.history import Pool
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.errors import SinkUnavailableError

LONGEST_WAIT_SECONDS: Final = 5.0
"""A pause may be taken back no sooner than the budget is looked at again."""
AWAY_SECONDS: Final = 1.0
WATCH_SECONDS: Final = 5.0
STORE_SECONDS: Final = 2.0
"""A store that takes longer is away: live work must not wait for it."""
MARGIN_SECONDS: Final = 1.0
"""A venue tells whole seconds, perhaps cut off."""
ALONE_PERCENT: Final = 25
"""Of the limit, for each process while they cannot count together."""
SECOND_NS: Final = 1_000_000_000
T = TypeVar("T")


class LocalAllowance:
    """A budget of this process alone."""

    def __init__(self, limit: int, clock: Clock, *, backfill_percent: int = 50) -> None:
        self.limit = limit
        self.on_wait: Callable[[Priority, float], None] = _ignore
        """Told how long a request had to wait."""
        self._clock = clock
        self._backfill_percent = backfill_percent
        self._budget = AddressBudget()

    @property
    def banned_until_ns(self) -> int:
        """When a ban of the address ends; in the past where there is none."""
        return self._budget.banned_until_ns

    def used(self, now_ns: int) -> int:
        """Return what is known to be used of the present minute."""
        return copy(self._budget).used(now_ns)

    def repair_ceiling(self) -> int:
        """Return how much may be used of a minute when a repair asks."""
        return find_ceiling(self.limit, Priority.REPAIR)

    async def take(self, weight: int, priority: Priority) -> int:
        """Return once a request may go out, with the minute it counts in."""
        ceiling = find_ceiling(self.limit, priority, self._backfill_percent)
        while True:
            wait_ns, minute = await self._try(weight, ceiling, priority)
            if not wait_ns:
                return minute
            seconds = min(wait_ns / 1e9, LONGEST_WAIT_SECONDS)
            await self._clock.sleep(seconds)
            self.on_wait(priority, seconds)

    async def settle(
        self, weight: int, minute: int, told: int | None, pause: Pause | None = None
    ) -> None:
        """Tell of an answer: the venue's own count, and the pause it asked for."""
        _settle(self._budget, self._clock.now_ns(), (weight, minute, told), pause)

    def pool(self, name: str, pool: Pool) -> "LocalAllowance":
        """Return the allowance of another count that the venue keeps of the same address."""
        return LocalAllowance(_per_minute(pool), self._clock, backfill_percent=100)

    async def watch(self) -> None:
        """Learn of pauses that others were asked for, until cancelled."""

    async def close(self) -> None:
        """Release what is held; never raises."""

    async def _try(self, weight: int, ceiling: int, _priority: Priority) -> tuple[int, int]:
        wait_ns = self._budget.take(weight, ceiling, self._clock.now_ns())
        return wait_ns, self._budget.minute


class SharedAllowance(LocalAllowance):
    """A budget that all processes behind one address keep together."""

    def __init__(
        self,
        limit: int,
        clock: Clock,
        store: BudgetStore,
        address: str,
        *,
        backfill_percent: int = 50,
    ) -> None:
        super().__init__(limit, clock, backfill_percent=backfill_percent)
        self._store = store
        self._address = address
        self._known = AddressBudget()
        self._alone = False
        self._again_ns = 0

    @property
    def banned_until_ns(self) -> int:
        """When a ban of the address ends; in the past where there is none."""
        return max(self._known.banned_until_ns, self._budget.banned_until_ns)

    def used(self, now_ns: int) -> int:
        """Return what is known to be used of the present minute."""
        return copy(self._budget if self._alone else self._known).used(now_ns)

    def pool(self, name: str, pool: Pool) -> LocalAllowance:
        """Return the allowance of another count that the venue keeps of the same address."""
        limit, address = _per_minute(pool), f"{self._address}#{name}"
        return SharedAllowance(limit, self._clock, self._store, address, backfill_percent=100)

    async def settle(
        self, weight: int, minute: int, told: int | None, pause: Pause | None = None
    ) -> None:
        """Tell of an answer: the venue's own count, and the pause it asked for."""
        # Our own count goes on, so that it is right when the store is away.
        await super().settle(weight, minute, told, pause)

        def change(budget: AddressBudget, now_ns: int) -> AddressBudget:
            _settle(budget, now_ns, (weight, minute, told), pause)
            return budget

        self._learn(await self._change(change))

    async def watch(self) -> None:
        """Learn of pauses that others were asked for, until cancelled."""
        try:
            while True:
                await self._clock.sleep(WATCH_SECONDS)
                self._learn(await self._change(_same))
        finally:
            await self.close()

    async def close(self) -> None:
        """Release what is held; never raises."""
        await self._store.close()

    async def _try(self, weight: int, ceiling: int, priority: Priority) -> tuple[int, int]:
        def change(budget: AddressBudget, now_ns: int) -> tuple[int, AddressBudget]:
            return budget.take(weight, ceiling, now_ns), budget

        changed = await self._change(change)
        if changed is None:
            # Live work cannot wait for a store; the rest has nowhere to write without one.
            if priority is not Priority.LIVE:
                return int(AWAY_SECONDS * SECOND_NS), 0
            return await super()._try(weight, ceiling * ALONE_PERCENT // 100, priority)
        wait_ns, budget = changed
        self._learn(budget)
        if not wait_ns:
            self._budget.take(weight, 1 << 62, self._clock.now_ns())
        return wait_ns, budget.minute

    # What the store makes of it; None while it is away, and it is not asked all the time then.
    async def _change(self, change: Callable[[AddressBudget, int], T]) -> T | None:
        if self._clock.now_ns() < self._again_ns:
            return None
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._store.change(self._address, change)
        except (SinkUnavailableError, TimeoutError):
            self._alone = True
            self._again_ns = self._clock.now_ns() + int(WATCH_SECONDS * SECOND_NS)
            return None

    def _learn(self, budget: AddressBudget | None) -> None:
        if budget is not None:
            self._known, self._alone = budget, False


def build_allowance(
    limit: int,
    clock: Clock,
    store: BudgetStore | None,
    rest_url: str | None,
    *,
    backfill_percent: int = 50,
) -> LocalAllowance:
    """Return an allowance that all who ask the same host share through a store, if there is one."""
    if store is None or rest_url is None:
        return LocalAllowance(limit, clock, backfill_percent=backfill_percent)
    address = urlsplit(rest_url).netloc or rest_url
    return SharedAllowance(limit, clock, store, address, backfill_percent=backfill_percent)


def _settle(
    budget: AddressBudget, now_ns: int, answer: tuple[int, int, int | None], pause: Pause | None
) -> None:
    weight, minute, told = answer
    budget.settle(weight, minute, told, now_ns)
    if pause is not None:
        until_ns = now_ns + int(pause.seconds * SECOND_NS)
        budget.pause(
            until_ns + int(MARGIN_SECONDS * SECOND_NS),
            banned_until_ns=until_ns if pause.banned else 0,
        )


# A window that slides touches one more of our minutes than it is long.
def _per_minute(pool: Pool) -> int:
    return max(1, pool.requests // (-(-pool.window_ns // MINUTE_NS) + 1))


def _ignore(_priority: Priority, _seconds: float) -> None:
    return


def _same(budget: AddressBudget, _now_ns: int) -> AddressBudget:
    return budget
