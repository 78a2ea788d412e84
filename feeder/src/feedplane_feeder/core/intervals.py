"""Bar intervals: how long each is and which open time follows another.

Must not know venues; the names are those of the channels, for instance `bar-1m`.
"""

from datetime import UTC, datetime
from typing import Final

SECOND_NS: Final = 1_000_000_000
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def next_open_ns(ts_open: int, interval: str) -> int:
    """Return the open time that follows; months have no fixed length."""
    if interval == "1M":
        opened = datetime.fromtimestamp(ts_open // SECOND_NS, UTC)
        year, month = divmod(opened.year * 12 + opened.month, 12)
        return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS
    return ts_open + int(interval[:-1]) * _UNIT_SECONDS[interval[-1]] * SECOND_NS


def previous_open_ns(ts_open: int, interval: str) -> int:
    """Return the open time before; months have no fixed length."""
    if interval == "1M":
        opened = datetime.fromtimestamp(ts_open // SECOND_NS, UTC)
        year, month = divmod(opened.year * 12 + opened.month - 2, 12)
        return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS
    return ts_open - int(interval[:-1]) * _UNIT_SECONDS[interval[-1]] * SECOND_NS
