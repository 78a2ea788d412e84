"""How late the event loop runs: the delay of a timer that should fire on the beat.

Must not know what keeps the loop busy.
"""

import asyncio
from collections import deque
from typing import Final

from prometheus_client import Gauge

BEAT_SECONDS: Final = 0.5
WINDOW_BEATS: Final = 20


class LoopLag:
    """Measures the event loop's delay, worst of the last ten seconds."""

    def __init__(self, gauge: Gauge, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._gauge = gauge
        self._beat_seconds = beat_seconds
        self._delays: deque[float] = deque(maxlen=WINDOW_BEATS)

    @property
    def worst_seconds(self) -> float:
        """The longest delay of the last ten seconds."""
        return max(self._delays, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._beat_seconds
            await asyncio.sleep(self._beat_seconds)
            self._delays.append(max(0.0, loop.time() - due))
            self._gauge.set(self.worst_seconds)
