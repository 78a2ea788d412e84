"""Backoff: capped exponential delay with full jitter, reset after a stable while.

Source of the shape: AWS Architecture Blog, "Exponential Backoff and Jitter". Randomness is an
argument. Must not know what is tried again.
"""

from typing import Final, Protocol

STABLE_NS: Final = 30_000_000_000


class Rng(Protocol):
    """The part of `random.Random` that is needed."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between the two."""


class Backoff:
    """The delays of one thing that is tried again and again."""

    def __init__(
        self, *, initial_seconds: float = 0.5, cap_seconds: float = 30.0, factor: float = 2.0
    ) -> None:
        self._initial = initial_seconds
        self._cap = cap_seconds
        self._factor = factor
        self._failures = 0

    def delay_seconds(self, rng: Rng) -> float:
        """Return how long to wait before the next try."""
        ceiling = min(self._cap, self._initial * self._factor ** min(self._failures, 63))
        self._failures += 1
        return rng.uniform(0.0, ceiling)

    def lasted(self, duration_ns: int) -> None:
        """Tell how long the last try held; after a stable while the delays start over."""
        if duration_ns >= STABLE_NS:
            self._failures = 0
