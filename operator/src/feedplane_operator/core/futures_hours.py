"""When China's futures exchanges trade, by product: day sessions, and nights where there are any.

No calendar library knows the nights. A night belongs to the next trading day and is left out
before a public holiday, which is when the next trading day is not the next weekday. Pure: the
trading days are an argument; they are those of the Shanghai stock exchange.

Source: product table of China Resources Futures (read 2026-11), cross-checked with the session
table of wtpy. The lists of products with a night change now and then.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Final

CHINA: Final = timezone(timedelta(hours=8))
"""No daylight saving time since 1991."""
NIGHT_START: Final = time(21)
FRIDAY: Final = 4
Span = tuple[time, time]
Opening = tuple[datetime, datetime]

COMMODITY_DAY: Final[tuple[Span, ...]] = (
    (time(9), time(10, 15)),
    (time(10, 30), time(11, 30)),
    (time(13, 30), time(15)),
)
INDEX_DAY: Final[tuple[Span, ...]] = ((time(9, 30), time(11, 30)), (time(13), time(15)))
BOND_DAY: Final[tuple[Span, ...]] = ((time(9, 30), time(11, 30)), (time(13), time(15, 15)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductHours:
    """What products with the same hours share; without products it is all the others."""

    products: tuple[str, ...] = ()
    day: tuple[Span, ...] = COMMODITY_DAY
    night_end: time | None = None


# fmt: off
_NIGHT_TO_ELEVEN: Final = (
    "a", "b", "bu", "br", "bz", "c", "cs", "eb", "eg", "fu", "hc", "i", "j", "jm", "l", "lu", "m",
    "nr", "op", "p", "pg", "pp", "rb", "rr", "ru", "sp", "v", "y",
    "CF", "CY", "FG", "MA", "OI", "PF", "PL", "PR", "PX", "RM", "SA", "SH", "SR", "TA", "ZC",
)
# fmt: on
PRODUCT_HOURS: Final = (
    ProductHours(products=("ag", "au", "sc"), night_end=time(2, 30)),
    ProductHours(
        products=("ad", "al", "ao", "bc", "cu", "ni", "pb", "sn", "ss", "zn"),
        night_end=time(1),
    ),
    ProductHours(
        products=_NIGHT_TO_ELEVEN,
        night_end=time(23),
    ),
    ProductHours(products=("IC", "IF", "IH", "IM", "HO", "IO", "MO"), day=INDEX_DAY),
    ProductHours(products=("T", "TF", "TL", "TS"), day=BOND_DAY),
    # Everything that is day-only, and what came after this table was written.
    ProductHours(),
)


def build_openings(hours: ProductHours, days: Sequence[date]) -> tuple[Opening, ...]:
    """Return the openings of trading days, in order; the first day only tells what came before."""
    return tuple(sorted(_openings(hours, days)))


def find_starts(openings: Iterable[Opening], pause: timedelta) -> tuple[datetime, ...]:
    """Return the opens that follow a longer pause: those a day or a night begins with."""
    ordered = sorted(set(openings))
    starts = [later[0] for earlier, later in pairwise(ordered) if later[0] - earlier[1] >= pause]
    return (ordered[0][0], *starts) if ordered else ()


def _openings(hours: ProductHours, days: Sequence[date]) -> Iterator[Opening]:
    for before, day in pairwise(days):
        if hours.night_end is not None and _follows(before, day):
            after_midnight = hours.night_end < NIGHT_START
            end = before + timedelta(days=1) if after_midnight else before
            yield (
                datetime.combine(before, NIGHT_START, CHINA),
                datetime.combine(end, hours.night_end, CHINA),
            )
        for start, close in hours.day:
            yield datetime.combine(day, start, CHINA), datetime.combine(day, close, CHINA)


# A night between two trading days is one only where no holiday lies between them.
def _follows(before: date, day: date) -> bool:
    next_weekday = 3 if before.weekday() == FRIDAY else 1
    return (day - before).days == next_weekday
