"""Keys to work on: each once however often it is asked for, and never in two hands at a time."""

import asyncio
from collections import OrderedDict
from typing import Final, NamedTuple

from feedplane_operator.clock import monotonic_seconds
from feedplane_operator.metrics import QUEUE_AGE, QUEUE_DEPTH

BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Key(NamedTuple):
    """One resource of ours."""

    kind: str
    namespace: str
    name: str


class WorkQueue:
    """What is to be reconciled, oldest first; what can wait comes after what cannot."""

    def __init__(self, patient: frozenset[str] = frozenset()) -> None:
        self._patient_kinds = patient
        self._ready: OrderedDict[Key, float] = OrderedDict()
        self._patient: OrderedDict[Key, float] = OrderedDict()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready) + len(self._patient)

    def add(self, key: Key, after_seconds: float = 0.0) -> None:
        """Ask for a key, now or later; the earliest time asked for counts."""
        if after_seconds <= 0:
            self._cancel_timer(key)
            self._make_ready(key)
            return
        if key in self._ready or key in self._patient:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + after_seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(after_seconds, self._ripen, key)

    async def take(self) -> Key:
        """Return the next key, once there is one; give it back by `done`."""
        while not self._ready and not self._patient:
            self._wake.clear()
            await self._wake.wait()
        key, _ = (self._ready or self._patient).popitem(last=False)
        self._busy.add(key)
        self._measure()
        return key

    def done(self, key: Key, *, failed: bool, after_seconds: float | None = None) -> None:
        """Give a key back; a failed one comes again after a growing pause.

        `after_seconds` is when a good one is to be looked at again, or the least pause of a
        failed one.
        """
        self._busy.discard(key)
        if failed:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
            pause = BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS) - 1)]
            self._again.discard(key)
            self.add(key, max(pause, after_seconds or 0.0))
            return
        self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self._make_ready(key)
        elif after_seconds is not None:
            self.add(key, after_seconds)

    def forget(self, key: Key) -> None:
        """Drop everything about a key whose resource is gone."""
        self._cancel_timer(key)
        self._failures.pop(key, None)

    def age_seconds(self) -> float:
        """Return how long the key at the head has waited; 0 when there is none."""
        heads = [next(iter(keys.values())) for keys in (self._ready, self._patient) if keys]
        return monotonic_seconds() - min(heads) if heads else 0.0

    def _ripen(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._make_ready(key)

    def _make_ready(self, key: Key) -> None:
        if key in self._busy:
            self._again.add(key)
        else:
            keys = self._patient if key.kind in self._patient_kinds else self._ready
            keys.setdefault(key, monotonic_seconds())
            self._wake.set()
        self._measure()

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _measure(self) -> None:
        QUEUE_DEPTH.set(len(self))
        QUEUE_AGE.set(self.age_seconds())
