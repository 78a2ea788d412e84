"""Backoff: capped exponential delay with full jitter, reset after a stable while.

Source of the shape: AWS Architecture Blog, "Exponential Backoff and Jitter". Randomness is an
argument. Must not know what is tried again.
"""

from typing import Final, Protocol

STABLE_NS: Final = 5_000_000_000
"""What held this long was no failure to begin with."""


class Rng(Protocol):
    """The part of `random.Random` that is needed."""

    def uniform(self, a: float, b: float) -> float:
        """Return a number between the two."""


class Backoff:
    """The delays of one thing that is tried again and again."""

    def __init__(self, *, initial_seconds: float = 0.5, cap_seconds: float = 30.0) -> None:
        self._initial = initial_seconds
        self._cap = cap_seconds
        self._failures = 0

    def lost(self, lasted_ns: int) -> None:
        """Tell that the last try ended, and how long it had held."""
        self._failures = 1 if lasted_ns >= STABLE_NS else self._failures + 1

    def delay_seconds(self, rng: Rng, cap_seconds: float | None = None) -> float:
        """Return how long to wait before the next try; nothing before the first.

        `cap_seconds` is a lower cap for this time.
        """
        if self._failures == 0:
            return 0.0
        ceiling = self._initial * 2.0 ** min(self._failures - 1, 63)
        cap = self._cap if cap_seconds is None else min(self._cap, cap_seconds)
        return rng.uniform(0.0, min(cap, ceiling))
