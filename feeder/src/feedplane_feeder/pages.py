"""Pages of a venue's REST history, one after the other, within every budget they count against.

Must not know what a page says.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

from feedplane_feeder.core.budget import Allowance, Priority, WindowBudget
from feedplane_feeder.core.history import History, Page, Parsed
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.errors import VenueBannedError, VenueThrottledError

PAUSES: Final = 20
"""Times in a row that a page is asked again after a pause the venue asked for."""


class Fetcher(Protocol):
    """Who gets the answer to a page's path."""

    async def fetch(self, path: str, weight: int, priority: Priority = Priority.LIVE) -> bytes:
        """Return the answer; waits until the budget has room."""


class Pages:
    """The pages of one venue."""

    def __init__(
        self,
        history: History,
        rest: Fetcher,
        clock: Clock,
        priority: Priority = Priority.BACKFILL,
        *,
        pools: Mapping[str, Allowance] | None = None,
    ) -> None:
        """`pools` are the budgets besides the weight that others count against too."""
        self._shared = pools or {}
        self._priority = priority
        self.history = history
        self._rest = rest
        self._clock = clock
        self._pools: Mapping[str, WindowBudget] = {
            name: WindowBudget(pool.requests, pool.window_ns)
            for name, pool in history.pools.items()
        }
        self.throttled_count = 0

    async def follow(self, page: Page) -> AsyncIterator[Parsed]:
        """Yield the answer to a page and to those after it.

        Raises:
            VenueUnavailableError: no usable answer.
            MalformedFrameError: an answer that cannot be read.
        """
        following: Page | None = page
        while following is not None:
            parsed = await self.ask(following)
            yield parsed
            following = self.history.next_page(following, parsed)

    async def ask(self, page: Page) -> Parsed:
        """Return the answer to one page; pauses the venue asks for are kept and not counted.

        Raises:
            VenueUnavailableError: no usable answer.
            MalformedFrameError: an answer that cannot be read.
        """
        for pause in range(PAUSES + 1):
            await self._wait_for_others(page.pool)
            pool = self._pools.get(page.pool)
            while pool is not None and not pool.take(self._clock.now_ns()):
                now_ns = self._clock.now_ns()
                await self._clock.sleep((pool.room_at(now_ns) - now_ns) / 1e9)
            try:
                return self.history.parse_page(
                    page, await self._rest.fetch(page.path, page.weight, self._priority)
                )
            except VenueBannedError:
                # A ban lasts minutes to days: the chunk is told so, and tried again after it.
                raise
            except VenueThrottledError:
                # The budget remembers the pause and waits it out before the next request.
                self.throttled_count += 1
                if pause == PAUSES:
                    raise
        raise AssertionError("the last pause raises")  # pragma: no cover

    async def _wait_for_others(self, pool: str) -> None:
        shared = self._shared.get(pool)
        if shared is not None:
            minute = await shared.take(1, self._priority)
            await shared.settle(1, minute, None)
