"""Waiting for an event with a limit; what asyncio has no single call for."""

import asyncio


async def wait_for_event(event: asyncio.Event, timeout_seconds: float | None) -> bool:
    """Wait until an event is set; False when time ran out first."""
    try:
        async with asyncio.timeout(timeout_seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
