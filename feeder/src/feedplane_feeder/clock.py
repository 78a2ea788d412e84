"""The system's clock: the one place in the feeder that reads wall time."""

import asyncio
import time


class SystemClock:
    """Wall time and waiting, as the operating system gives them."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()  # noqa: TID251 - this is the clock

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
