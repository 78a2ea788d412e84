"""The calendar of a market by its name, for who judges what should be there.

Calendars are imported when one is named: they bring pandas, which the command does without.
"""

import importlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from feedplane_api.feed_source import ALWAYS_OPEN
from feedplane_cli.core.quality import LOOK_AHEAD_DAYS
from feedplane_cli.core.tape import DAY_NS
from feedplane_cli.errors import UsageError
from feedplane_feeder.core.integrity import AlwaysOpen, Calendar


class MarketDays:
    """Sessions by day, known beforehand."""

    def __init__(self, by_day: dict[int, list[tuple[int, int]]]) -> None:
        self._by_day = by_day

    def sessions(self, day_ns: int) -> Sequence[tuple[int, int]]:
        """Return the sessions of a UTC day as nanoseconds after its midnight; none when shut."""
        return self._by_day.get(day_ns, ())


def open_calendar(name: str, start: datetime, end: datetime) -> Calendar:
    """Return a market's calendar; one that never closes where none is named.

    Raises:
        UsageError: there is no such calendar, or calendars are not installed.
    """
    if not name or name == ALWAYS_OPEN:
        return AlwaysOpen()
    try:
        calendars: Any = importlib.import_module("exchange_calendars")
    except ImportError:
        raise UsageError(
            f"Calendar {name} needs the package exchange-calendars.",
            "Install it beside the command: pip install exchange-calendars",
        ) from None
    first = start.date() - timedelta(days=1)
    last = end.date() + timedelta(days=LOOK_AHEAD_DAYS)
    try:
        market = calendars.get_calendar(name, start=first.isoformat(), end=last.isoformat())
    except calendars.errors.InvalidCalendarName:
        raise UsageError(
            f"There is no calendar {name!r}.", "Codes are those of markets, as XNYS or XSHG."
        ) from None
    return MarketDays(_by_day(market.schedule))


def _by_day(schedule: Any) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for row in schedule.itertuples():
        for begin, end in _parts(row):
            # A session that runs past midnight belongs to two days.
            for day in range(begin // DAY_NS * DAY_NS, end, DAY_NS):
                part = (max(begin - day, 0), min(end - day, DAY_NS))
                found.setdefault(day, []).append(part)
    return found


def _parts(row: Any) -> list[tuple[int, int]]:
    opens, closes = row.open.value, row.close.value
    # A market without a lunch has no time there, and no time equals itself not.
    if row.break_start != row.break_start:
        return [(opens, closes)]
    return [(opens, row.break_start.value), (row.break_end.value, closes)]
