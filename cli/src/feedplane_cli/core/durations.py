"""Durations as people type them."""

import re
from typing import Final

from feedplane_cli.errors import UsageError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WHOLE: Final = re.compile(r"(?:[0-9]+[smhd])+")


def parse_duration(text: str) -> int:
    """Read `90s`, `15m`, `1h30m` or `2d`; the seconds.

    Raises:
        UsageError: it is no duration, or none at all.
    """
    cleaned = text.strip().lower()
    seconds = 0
    if _WHOLE.fullmatch(cleaned):
        seconds = sum(
            int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)([smhd])", cleaned)
        )
    if seconds == 0:
        raise UsageError(f"Expected a duration, was {text!r}.", "As in: 90s, 15m, 1h30m, 2d")
    return seconds
