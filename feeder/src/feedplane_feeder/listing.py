"""Listings: the venue's instrument list, read at the start, at intervals and when asked for.

At the pace the venue bears. Must not know what follows from it.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from feedplane_api.worker import ListedInstrument, Listing
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.ports import Adapter, Clock, Fetch
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.errors import FeederError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.status import moment
from feedplane_feeder.waiting import wait_for_event

FIRST_SECONDS: Final = 5.0
"""How long to wait for the venue's list before named symbols are taken on trust."""
SECOND_NS: Final = 1_000_000_000


class Listings:
    """The list of one venue."""

    def __init__(
        self, adapter: Adapter, clock: Clock, rng: Rng, log: FieldLog, standing: Standing
    ) -> None:
        self.read_ns = 0
        self._adapter = adapter
        self._terms = adapter.capabilities.instruments or InstrumentList()
        self._clock = clock
        self._rng = rng
        self._log = log
        self._standing = standing
        self._listed: tuple[ListedInstrument, ...] | None = None
        self._refresh = asyncio.Event()
        self._next_ns = 0
        """When the venue may be asked for more of its list."""

    def refresh(self) -> None:
        """Read the list again soon, or as soon as the venue bears it."""
        self._refresh.set()

    def report(self) -> Listing | None:
        """Return the list, None before it was read."""
        if self._listed is None:
            return None
        return Listing(
            venue=self._adapter.venue, time=moment(self.read_ns), instruments=self._listed
        )

    def trading(self) -> Mapping[str, bool] | None:
        """Return which listed symbols trade, None before the list was read."""
        if self._listed is None:
            return None
        return {listed.symbol: listed.trading for listed in self._listed}

    async def keep(
        self, fetch: Fetch, every_seconds: Callable[[], float], on_try: Callable[[], None]
    ) -> None:
        """Read the list until cancelled; `on_try` is told after each try, whatever came.

        The first reading may take long, so it is told meanwhile too.
        """
        backoff = Backoff(cap_seconds=self._terms.retry_cap_seconds)
        async with asyncio.TaskGroup() as group:
            impatience = group.create_task(self._lose_patience(on_try))
            while True:
                try:
                    await self._wait_out_ban()
                    listed = await self._adapter.instruments(partial(self._fetch, fetch))
                except FeederError as error:
                    self._log.warning(Event.INSTRUMENTS_REFRESHED, error=error)
                    backoff.lost(0)
                    pause = 1.0 + backoff.delay_seconds(self._rng)
                else:
                    self._listed, self.read_ns = listed, self._clock.now_ns()
                    self._log.debug(Event.INSTRUMENTS_REFRESHED, instrument_count=len(listed or ()))
                    backoff = Backoff(cap_seconds=self._terms.retry_cap_seconds)
                    pause = max(every_seconds(), self._terms.again_seconds)
                impatience.cancel()
                on_try()
                await self._wait(pause)

    # Where nothing hangs on the list there is nothing to wait for.
    async def _lose_patience(self, on_try: Callable[[], None]) -> None:
        if self._terms.complete:
            await self._clock.sleep(FIRST_SECONDS)
        on_try()

    async def _wait(self, pause: float) -> None:
        patience = min(pause, self._terms.again_seconds)
        await self._clock.sleep(patience)
        await wait_for_event(self._refresh, pause - patience)
        self._refresh.clear()

    async def _fetch(self, fetch: Fetch, path: str, weight: int) -> bytes:
        early_ns = self._next_ns - self._clock.now_ns()
        if early_ns > 0:
            await self._clock.sleep(early_ns / SECOND_NS)
        self._next_ns = self._clock.now_ns() + int(self._terms.spacing_seconds * SECOND_NS)
        return await fetch(path, weight)

    # Whoever asks while the address is banned is banned for longer.
    async def _wait_out_ban(self) -> None:
        while (left_ns := self._standing.banned_until_ns(Side.STREAM) - self._clock.now_ns()) > 0:
            await self._clock.sleep(left_ns / SECOND_NS)
