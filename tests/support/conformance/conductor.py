"""Plays cards side by side in a loop of its own, so that waiting costs once and not each time.

A card mostly waits: for a grace period, for a silence to be noticed. Tests ask for the outcome of
their card and get its own failure.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any

SIDE_BY_SIDE = 14
CARD_SECONDS = 100.0

Play = Callable[[], Coroutine[Any, Any, None]]


class Conductor:
    """One loop in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._outcomes: dict[str, Future[None]] = {}
        self._seats = asyncio.Semaphore(SIDE_BY_SIDE)

    def begin(self, name: str, play: Play) -> None:
        """Let a card be played as soon as there is a seat."""
        if name not in self._outcomes:
            future = asyncio.run_coroutine_threadsafe(self._seated(play), self._loop)
            self._outcomes[name] = future

    def outcome(self, name: str) -> None:
        """Wait for a card and raise what it raised."""
        self._outcomes[name].result()

    def settle(self, name: str) -> None:
        """Wait for a card, whatever came of it."""
        wait([self._outcomes[name]])

    def close(self) -> None:
        """End what is still played, then the loop."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _seated(self, play: Play) -> None:
        async with self._seats, asyncio.timeout(CARD_SECONDS):
            await play()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
