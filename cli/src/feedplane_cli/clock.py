"""The system's clock: the one place in the command that reads time."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock


def monotonic_seconds() -> float:
    """Return seconds that only ever go up, for measuring how long something took."""
    return time.monotonic()
