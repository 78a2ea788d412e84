"""When markets open and close, by the trading calendar of their codes.

The calendars come with pandas, which is 80 MiB nobody should pay for who names none: so they are
imported at the first question, and asked in a thread. Must not know FeedSources.
"""

import asyncio
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_operator.core.futures_hours import (
    PRODUCT_HOURS,
    Opening,
    build_openings,
    find_starts,
)

AHEAD: Final = timedelta(days=28)
"""How far a calendar is worked out, from the Monday of the present week; longer than any
holiday."""
BEHIND: Final = timedelta(days=35)
"""As far back as a tape is checked day by day, and a little more."""
PAUSE: Final = timedelta(hours=3)
"""A shorter one between two openings is a break, and what follows it no new start."""
CHINA_FUTURES: Final = "ChinaFutures"
SHANGHAI: Final = "XSHG"
SAME_DAYS: Final = {"XSHE": SHANGHAI}
"""Markets that trade when another one does."""


@dataclass(frozen=True, slots=True)
class Known:
    """A calendar over a few weeks."""

    hours: MarketHours
    starts: tuple[datetime, ...]
    """The opens a trading day begins with."""


class Calendars:
    """Hours by calendar, each worked out once a week."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, datetime], Known | None] = {}
        self._lock = asyncio.Lock()

    async def next_open(self, calendar: str, now: datetime) -> datetime | None:
        """Return when a trading day begins next; None when nobody knows."""
        known = await self._find(calendar, now)
        return next((at for at in known.starts if at > now), None) if known else None

    async def hours(self, calendar: str, now: datetime) -> MarketHours | None:
        """Return the hours of these weeks; None when there is no such calendar.

        The answer is the same all week, so who writes it down writes it once a week.
        """
        known = await self._find(calendar, now)
        return known.hours if known else None

    async def _find(self, calendar: str, now: datetime) -> Known | None:
        monday = find_monday(now)
        async with self._lock:
            if (calendar, monday) not in self._known:
                for old in [key for key in self._known if key[1] != monday]:
                    del self._known[old]
                self._known[calendar, monday] = await asyncio.to_thread(
                    work_out, calendar, monday - BEHIND, monday + AHEAD
                )
            return self._known[calendar, monday]


def find_monday(now: datetime) -> datetime:
    """Return when the present week began, in UTC."""
    today = now.astimezone(UTC).date()
    return datetime.combine(today - timedelta(days=today.weekday()), datetime.min.time(), UTC)


def work_out(name: str, since: datetime, until: datetime) -> Known | None:
    """Return the openings of a calendar within a time; None when there is no such calendar."""
    futures = name == CHINA_FUTURES
    calendars: Any = importlib.import_module("exchange_calendars")
    try:
        get: Callable[..., Any] = calendars.get_calendar
        calendar = _load(get, SHANGHAI if futures else SAME_DAYS.get(name, name), since, until)
    except calendars.errors.InvalidCalendarName:
        return None
    if calendar is None:
        unknown = MarketHours(since=since, until=since, lines=(TradingHours(),))
        return Known(unknown, ())
    rows = list(calendar.schedule.itertuples())
    last = datetime.combine(calendar.last_session.date() + timedelta(days=1), since.time(), UTC)
    until = min(until, last)
    days = [row.Index.date() for row in rows]
    groups = _futures_groups(days) if futures else [((), _stock_openings(rows))]
    lines = tuple(
        TradingHours(products=products, openings=_render(openings, since, until))
        for products, openings in groups
    )
    starts = find_starts((each for _, openings in groups for each in openings), PAUSE)
    return Known(MarketHours(since=since, until=until, lines=lines), starts)


# Lists of holidays end somewhere; then what is known is returned, and None where that is nothing.
def _load(get: Callable[..., Any], name: str, since: datetime, until: datetime) -> Any | None:
    # A little more on both sides: a night belongs to the day after, and days differ by time zone.
    first = (since - timedelta(days=14)).date().isoformat()
    try:
        return get(name, start=first, end=(until + timedelta(days=14)).date().isoformat())
    except ValueError:
        try:
            return get(name, start=first)
        except ValueError:
            return None


def _futures_groups(days: Sequence[date]) -> list[tuple[tuple[str, ...], tuple[Opening, ...]]]:
    return [(group.products, build_openings(group, days)) for group in PRODUCT_HOURS]


def _stock_openings(rows: Iterable[Any]) -> tuple[Opening, ...]:
    openings: list[Opening] = []
    for row in rows:
        opened, closed = row.open.to_pydatetime(), row.close.to_pydatetime()
        # Missing, the break is a time that does not equal itself.
        if row.break_start == row.break_start and row.break_start < row.close:
            openings.append((opened, row.break_start.to_pydatetime()))
            opened = row.break_end.to_pydatetime()
        openings.append((opened, closed))
    return tuple(openings)


def _render(openings: Iterable[Opening], since: datetime, until: datetime) -> tuple[str, ...]:
    return tuple(
        f"{opened.astimezone(UTC):%Y-%m-%dT%H:%MZ}/{closed.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        for opened, closed in openings
        if opened >= since and closed <= until
    )
