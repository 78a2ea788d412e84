"""Liveness by progress: each loop says when it last came round.

An operator that is alive but does nothing is the failure most reported of operators; so a loop
that stands still makes the probe fail, however well the process answers.
"""

from collections.abc import Callable
from typing import Final

from feedplane_operator.clock import monotonic_seconds

BEAT_LIMIT_SECONDS: Final = 60.0
QUEUE_LIMIT_SECONDS: Final = 120.0
"""A resource that waits this long for a worker means that no worker is free any more."""


class Health:
    """The ages of the loops that must not stand still."""

    def __init__(self, clock: Callable[[], float] = monotonic_seconds) -> None:
        self._clock = clock
        self._beats: dict[str, float] = {}
        self._queue_age: Callable[[], float] = lambda: 0.0
        self.ready = False
        """Everything was listed once."""

    def beat(self, loop: str) -> None:
        """Note that a loop came round; from its first beat on it must not stand still."""
        self._beats[loop] = self._clock()

    def watch_queue(self, age: Callable[[], float]) -> None:
        """Watch the age of the queue's head; only where somebody works the queue off."""
        self._queue_age = age

    def complaints(self) -> tuple[str, ...]:
        """Return what stands still, in words; nothing when all is well."""
        now = self._clock()
        found = [
            f"{loop} stood still for {now - beat:.0f} s"
            for loop, beat in sorted(self._beats.items())
            if now - beat > BEAT_LIMIT_SECONDS
        ]
        age = self._queue_age()
        if age > QUEUE_LIMIT_SECONDS:
            found.append(f"the queue's head has waited for {age:.0f} s")
        return tuple(found)
