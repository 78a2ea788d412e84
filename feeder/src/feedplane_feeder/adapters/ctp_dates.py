"""When a CTP snapshot happened: natural date and trading day, which exchanges fill differently.

A night session belongs to the next trading day. DCE prints that day as ActionDay as well, CZCE
prints the natural date as TradingDay as well, the others print both rightly. There is no night
session before a public holiday, so that the day before a night's trading day is a weekday. The
clock is asked only where the fields cannot tell.

Source: WonderTrader ParserCTP; vnpy_ctp gateway; SHFE, DCE and CZCE trading hours; read 2026-11-21.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from feedplane_feeder.errors import ImpossibleValueError

SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3_600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
CHINA: Final = 8 * HOUR_NS
"""Ahead of UTC, the whole year."""
EVENING: Final = 20
"""First hour of a night session's evening, with its auction."""
MORNING: Final = 4
"""A night session is over by then."""

_PRODUCTS: Final = {
    "SHFE": "ad ag al ao au br bu cu fu hc ni op pb rb ru sn sp ss wr zn",
    "INE": "bc ec lu nr sc",
    "DCE": "a b bb bz c cs eb eg fb i j jd jm l lg lh m p pg pp rr v y",
    "CZCE": "AP CF CJ CY FG JR LR MA OI PF PK PL PM PR PX RI RM RS SA SF SH SM SR TA UR WH ZC",
    "CFFEX": "HO IC IF IH IM IO MO T TF TL TS",
    "GFEX": "lc pd ps pt si",
}
EXCHANGE_OF: Final = {
    product: exchange for exchange, products in _PRODUCTS.items() for product in products.split()
}
"""Product -> exchange, for feeds that leave ExchangeID empty; letter case counts."""
DAY_ONLY: Final = frozenset({"SSE", "SZSE"})
"""Exchanges without a night; their ActionDay is not looked at."""

_letters = re.compile(r"[A-Za-z]*").match


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a snapshot happened."""

    ts_event: int
    trading_day: str
    """As `2026-01-05`."""


def find_exchange(symbol: str, printed: str) -> str:
    """Return the exchange of a symbol; empty where nothing tells."""
    if printed:
        return printed
    match = _letters(symbol)
    return EXCHANGE_OF.get(match.group() if match else "", "")


def is_open(seconds: int) -> bool:
    """Tell whether any exchange trades or settles at that second of the day.

    What bears another time is an old state that was sent again, or junk.
    """
    return not 2.6 * 3_600 <= seconds < 8.9 * 3_600 and not 15.6 * 3_600 <= seconds < 20.8 * 3_600


def read_clock(text: str) -> int:
    """Return the second of the day of `21:00:01`.

    Raises:
        ImpossibleValueError: NoUpdateTime, BadUpdateTime.
    """
    if not text:
        raise ImpossibleValueError("NoUpdateTime")
    try:
        hour, minute, second = map(int, text.split(":"))
    except ValueError:
        raise ImpossibleValueError("BadUpdateTime") from None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise ImpossibleValueError("BadUpdateTime")
    return hour * 3_600 + minute * 60 + second


def resolve(
    exchange: str, days: tuple[str, str], seconds: int, millisecond: int, now_ns: int
) -> Stamp:
    """Return when a snapshot happened and to which trading day it belongs.

    Args:
        exchange: as `find_exchange` returns it.
        days: TradingDay and ActionDay as printed, either of which may be empty.
        seconds: second of the day as printed, in China.
        millisecond: as printed.
        now_ns: when the snapshot was read.

    Raises:
        ImpossibleValueError: BadDate, BadUpdateTime.
    """
    if not 0 <= millisecond < 1_000:
        raise ImpossibleValueError("BadUpdateTime")
    hour = seconds // 3_600
    natural, trading = _days(exchange, days, hour, (now_ns + CHINA) // DAY_NS)
    inside = seconds * SECOND_NS + millisecond * 1_000_000
    ts_event = natural * DAY_NS + inside - CHINA
    if hour in (0, 23):
        ts_event = _across_midnight(ts_event, now_ns)
    return Stamp(ts_event, _text(trading))


# Days are counted from 1970-01-01, which was a Thursday.
@lru_cache(maxsize=256)
def _days(exchange: str, days: tuple[str, str], hour: int, today: int) -> tuple[int, int]:
    trading, action = map(_read_day, days)
    if trading is None:
        action = today if action is None else action
        return action, _trading_day_of(action, hour)
    if exchange in DAY_ONLY or MORNING <= hour < EVENING:
        return trading, trading
    if action == trading:
        return _equal_days(exchange, trading, hour, today)
    return (_night_of(trading, hour) if action is None else action), trading


# In the evening one of the two is wrong; after midnight both are right but before a Monday.
def _equal_days(exchange: str, day: int, hour: int, today: int) -> tuple[int, int]:
    evening = _night_of(day, hour)
    if exchange == "CZCE":
        return day, _trading_day_of(day, hour)
    if exchange or hour < MORNING:
        return evening, day
    if abs(day - today) < abs(evening - today):
        return day, _trading_day_of(day, hour)
    return evening, day


def _read_day(text: str) -> int | None:
    if not text:
        return None
    try:
        return (date(int(text[:4]), int(text[4:6]), int(text[6:8])) - date(1970, 1, 1)).days
    except ValueError:
        raise ImpossibleValueError("BadDate") from None


def _weekday(day: int) -> int:
    return (day + 3) % 7


def _night_of(trading: int, hour: int) -> int:
    evening = trading - 1
    while _weekday(evening) > 4:
        evening -= 1
    return evening if hour >= EVENING else evening + 1


def _trading_day_of(natural: int, hour: int) -> int:
    day = natural + 1 if hour >= EVENING else natural
    while _weekday(day) > 4:
        day += 1
    return day


# The printed date may turn a moment before or after the printed time does.
def _across_midnight(ts_event: int, now_ns: int) -> int:
    for shifted in (ts_event - DAY_NS, ts_event + DAY_NS):
        if abs(shifted - now_ns) < HOUR_NS:
            return shifted
    return ts_event


@lru_cache(maxsize=64)
def _text(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")
