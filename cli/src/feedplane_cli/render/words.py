"""Numbers, ages and states as people read them."""

from datetime import datetime
from typing import Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
NOTHING: Final = "-"

GOOD: Final = "green"
BAD: Final = "bold red"
DOUBTFUL: Final = "yellow"
QUIET: Final = "dim"

_STYLES: Final = {
    "Active": "bold green",
    "Streaming": GOOD,
    "Running": GOOD,
    "True": GOOD,
    "False": BAD,
    "Disconnected": BAD,
    "Stale": BAD,
    "Unknown": DOUBTFUL,
    "Connecting": DOUBTFUL,
    "Subscribing": DOUBTFUL,
    "Maintenance": DOUBTFUL,
    "Paused": DOUBTFUL,
    "Standby": "cyan",
    "Stopped": QUIET,
}


def style_of(state: str) -> str:
    """Return the style of a state's word; empty for words that say neither good nor bad."""
    return _STYLES.get(state, "")


def render_age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was, by two units at most; `-` when it never was.

    A moment ahead of our clock counts as now: another machine wrote it by its own.
    """
    if moment is None:
        return NOTHING
    return render_seconds(max(0, int((now - moment).total_seconds())))


def render_seconds(seconds: int) -> str:
    """Return a duration as kubectl writes ages: `42s`, `5m10s`, `3h5m`, `2d4h`."""
    for unit, size, letter, small in (
        (DAY, HOUR, "d", "h"),
        (HOUR, MINUTE, "h", "m"),
        (MINUTE, 1, "m", "s"),
    ):
        if seconds >= unit:
            rest = seconds % unit // size
            return f"{seconds // unit}{letter}" + (f"{rest}{small}" if rest else "")
    return f"{seconds}s"


def render_count(count: int | None) -> str:
    """Return a count with its thousands apart; `-` when nobody knows it."""
    return NOTHING if count is None else f"{count:,}"


def render_milliseconds(milliseconds: int | None) -> str:
    """Return a short duration; `-` when nobody knows it."""
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"
