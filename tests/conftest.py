"""What every test needs before it starts."""

import asyncio


def pytest_configure() -> None:
    """Leave the main thread without an event loop.

    Otherwise the first asynchronous test after a plain one makes asyncio create a loop that
    nobody closes, which is a warning and so an error at the end of the run.
    """
    asyncio.set_event_loop(None)
