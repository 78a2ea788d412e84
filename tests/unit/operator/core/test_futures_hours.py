from datetime import date, datetime, timedelta

import pytest

from feedplane_operator.core.futures_hours import (
    CHINA,
    PRODUCT_HOURS,
    ProductHours,
    build_openings,
    find_starts,
)

THURSDAY, FRIDAY, MONDAY = date(2026, 4, 30), date(2026, 5, 8), date(2026, 5, 11)


def hours_of(product: str) -> ProductHours:
    return next(hours for hours in PRODUCT_HOURS if product in hours.products)


def local(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=CHINA)


def test_night_of_friday_belongs_to_monday() -> None:
    openings = build_openings(hours_of("au"), [FRIDAY, MONDAY])
    assert openings == (
        (local(FRIDAY, 21), local(FRIDAY + timedelta(days=1), 2, 30)),
        (local(MONDAY, 9), local(MONDAY, 10, 15)),
        (local(MONDAY, 10, 30), local(MONDAY, 11, 30)),
        (local(MONDAY, 13, 30), local(MONDAY, 15)),
    )


def test_night_before_a_holiday_is_left_out() -> None:
    openings = build_openings(hours_of("rb"), [THURSDAY, date(2026, 5, 6)])
    assert [opened for opened, _ in openings] == [
        local(date(2026, 5, 6), 9),
        local(date(2026, 5, 6), 10, 30),
        local(date(2026, 5, 6), 13, 30),
    ]


@pytest.mark.parametrize(
    ("product", "ends"),
    [
        pytest.param("cu", [(1, 0), (10, 15), (11, 30), (15, 0)], id="night to one"),
        pytest.param("TA", [(23, 0), (10, 15), (11, 30), (15, 0)], id="night to eleven"),
        pytest.param("IF", [(11, 30), (15, 0)], id="an index"),
        pytest.param("TL", [(11, 30), (15, 15)], id="a bond"),
    ],
)
def test_products_have_hours_of_their_own(product: str, ends: list[tuple[int, int]]) -> None:
    openings = build_openings(hours_of(product), [FRIDAY, MONDAY])
    assert [(closed.hour, closed.minute) for _, closed in openings] == ends


def test_every_product_stands_in_one_line() -> None:
    named = [product.upper() for hours in PRODUCT_HOURS for product in hours.products]
    assert len(named) == len(set(named))
    assert [hours.night_end for hours in PRODUCT_HOURS if not hours.products] == [None]


def test_starts_are_opens_after_a_long_pause() -> None:
    openings = build_openings(hours_of("au"), [FRIDAY, MONDAY])
    assert find_starts(openings, timedelta(hours=3)) == (local(FRIDAY, 21), local(MONDAY, 9))
    assert find_starts((), timedelta(hours=3)) == ()
