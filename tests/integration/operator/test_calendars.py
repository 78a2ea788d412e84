"""Hours by the real calendars; here and not among the unit tests, as they take seconds to load."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from feedplane_api.market_hours import MarketHours
from feedplane_api.worker import SessionConfig
from feedplane_feeder.core.sessions import Sessions
from feedplane_operator.calendars import AHEAD, BEHIND, Calendars, work_out

# What the calendars do with pandas is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MONDAY_OPEN = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
MINUTE_NS = 60_000_000_000
STEP_MINUTES = 5
STEP = timedelta(minutes=STEP_MINUTES)
FIRST, LAST = date(2025, 12, 22), date(2026, 12, 20)


async def test_next_open_passes_over_the_weekend() -> None:
    calendars = Calendars()
    assert await calendars.next_open("XNYS", SATURDAY) == MONDAY_OPEN
    assert await calendars.next_open("XNYS", SATURDAY + timedelta(hours=1)) == MONDAY_OPEN
    tuesday = await calendars.next_open("XNYS", MONDAY_OPEN)
    assert tuesday == MONDAY_OPEN + timedelta(days=1)


async def test_calendar_nobody_knows_has_no_open() -> None:
    calendars = Calendars()
    assert await calendars.next_open("NOPE", SATURDAY) is None
    assert await calendars.hours("NOPE", SATURDAY) is None


async def test_hours_change_once_a_week() -> None:
    calendars = Calendars()
    told = await calendars.hours("XHKG", SATURDAY)
    assert told is not None
    assert await calendars.hours("XHKG", SATURDAY + timedelta(hours=30)) is told
    later = await calendars.hours("XHKG", SATURDAY + timedelta(hours=36))
    assert later is not None
    assert later.since == told.since + timedelta(days=7)


async def test_starts_of_futures_are_mornings_and_nights() -> None:
    calendars = Calendars()
    monday = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
    assert await calendars.next_open("ChinaFutures", SATURDAY) == monday
    night = await calendars.next_open("ChinaFutures", monday)
    assert night == monday + timedelta(hours=12)


def test_calendar_that_ends_is_known_until_there() -> None:
    known = work_out("XSHG", datetime(2026, 12, 14, tzinfo=UTC), datetime(2027, 1, 25, tzinfo=UTC))
    assert known is not None
    assert known.hours.until == datetime(2027, 1, 1, tzinfo=UTC)
    beyond = work_out("XSHG", datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC))
    assert beyond is not None
    sessions = Sessions(beyond.hours)
    assert sessions.opened_ns(nanoseconds(datetime(2027, 3, 6, tzinfo=UTC)), "600000") == 0


def nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000


def mondays() -> Iterator[datetime]:
    monday = datetime(2025, 12, 22, tzinfo=UTC)
    while monday + AHEAD <= datetime(2026, 12, 24, tzinfo=UTC):
        yield monday
        monday += AHEAD


@pytest.fixture(scope="module")
def years() -> dict[str, list[tuple[datetime, MarketHours]]]:
    # One year, as the operator hands it over, with nobody there to renew it for four weeks.
    found: dict[str, list[tuple[datetime, MarketHours]]] = {}
    for name in ("XSHG", "XSHE", "XHKG", "XNYS", "ChinaFutures"):
        for monday in mondays():
            known = work_out(name, monday - BEHIND, monday + AHEAD)
            assert known is not None
            found.setdefault(name, []).append((monday, known.hours))
    return found


# Minutes a market is open on each local day of a year, walked step by step as a feeder sees it.
def walk(weeks: list[tuple[datetime, MarketHours]], symbol: str, offset: int) -> dict[date, int]:
    minutes: dict[date, int] = {}
    for monday, hours in weeks:
        sessions = Sessions(SessionConfig(hours=hours).hours)
        for minute in range(0, AHEAD // STEP * STEP_MINUTES, STEP_MINUTES):
            at = nanoseconds(monday) + minute * MINUTE_NS
            opened = sessions.opened_ns(at, symbol)
            assert opened != 0, "all of the time is known"
            if opened is not None:
                day = (monday + timedelta(hours=offset, minutes=minute)).date()
                minutes[day] = minutes.get(day, 0) + STEP_MINUTES
    return minutes


HOLIDAYS_2026 = {
    *(date(2026, 1, day) for day in (1, 2)),
    *(date(2026, 2, day) for day in (16, 17, 18, 19, 20, 23)),
    date(2026, 4, 6),
    *(date(2026, 5, day) for day in (1, 4, 5)),
    date(2026, 6, 19),
    date(2026, 9, 25),
    *(date(2026, 10, day) for day in (1, 2, 5, 6, 7)),
}


def weekdays(first: date, last: date) -> set[date]:
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return {day for day in days if day.weekday() < 5}


@pytest.mark.parametrize("name", ["XSHG", "XSHE"])
def test_year_of_a_chinese_stock_exchange(
    years: dict[str, list[tuple[datetime, MarketHours]]], name: str
) -> None:
    minutes = walk(years[name], "600000", 8)
    assert set(minutes.values()) == {240}
    expected = weekdays(FIRST, LAST) - HOLIDAYS_2026
    assert set(minutes) == expected


def test_year_in_hong_kong_has_half_days(
    years: dict[str, list[tuple[datetime, MarketHours]]],
) -> None:
    minutes = walk(years["XHKG"], "00700", 8)
    short = {day for day, count in minutes.items() if count == 150}
    # The eves of Christmas, of the year and of the lunar year.
    assert short == {date(2025, 12, 24), date(2025, 12, 31), date(2026, 2, 16)}
    assert {count for day, count in minutes.items() if day not in short} == {330}
    assert 240 <= len(minutes) <= 250


def test_year_in_new_york_follows_its_summer(
    years: dict[str, list[tuple[datetime, MarketHours]]],
) -> None:
    minutes = walk(years["XNYS"], "AAPL", -5)
    early = {day for day, count in minutes.items() if count == 210}
    assert early == {date(2025, 12, 24), date(2026, 11, 27)}
    assert {count for day, count in minutes.items() if day not in early} == {390}
    assert date(2026, 7, 3) not in minutes
    assert date(2026, 11, 26) not in minutes
    weeks = dict(years["XNYS"])
    opens = {opening[11:16] for hours in weeks.values() for opening in hours.lines[0].openings}
    assert opens == {"13:30", "14:30"}


@pytest.mark.parametrize(
    ("symbol", "with_night", "after_holiday"),
    [
        pytest.param("au2612", 555, 225, id="gold until half past two"),
        pytest.param("cu2612", 465, 225, id="copper until one"),
        pytest.param("TA612", 345, 225, id="acid until eleven"),
        pytest.param("jd2612", 225, 225, id="eggs by day"),
        pytest.param("IF2612", 240, 240, id="an index"),
        pytest.param("T2612", 255, 255, id="a bond"),
    ],
)
def test_year_of_a_future_leaves_out_nights_before_holidays(
    years: dict[str, list[tuple[datetime, MarketHours]]],
    symbol: str,
    with_night: int,
    after_holiday: int,
) -> None:
    # Counted from five in the morning in China, a night falls on the day it began on.
    minutes = walk(years["ChinaFutures"], symbol, 3)
    expected = weekdays(FIRST, LAST) - HOLIDAYS_2026
    assert set(minutes) == expected
    ordered = sorted(expected)
    for day, following in pairwise(ordered):
        next_weekday = timedelta(days=3 if day.weekday() == 4 else 1)
        night = following - day == next_weekday
        assert minutes[day] == (with_night if night else after_holiday), day
