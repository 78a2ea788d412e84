"""Dates of Chinese futures: who prints which day for a night, and what it means."""

from datetime import datetime, timedelta, timezone

import pytest

from feedplane_feeder.adapters.ctp_dates import (
    EXCHANGE_OF,
    find_exchange,
    is_open,
    read_clock,
    resolve,
)
from feedplane_feeder.errors import ImpossibleValueError

CHINA = timezone(timedelta(hours=8))
EXCHANGES = ("SHFE", "INE", "DCE", "CZCE", "CFFEX", "GFEX")
NIGHTS = {"SHFE", "INE", "DCE", "CZCE"}


def at(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=CHINA)
    return int(moment.timestamp() * 1_000) * 1_000_000


def printed(exchange: str, natural: str, trading: str, *, evening: bool) -> tuple[str, str]:
    """TradingDay and ActionDay as that exchange prints them."""
    natural, trading = natural.replace("-", ""), trading.replace("-", "")
    if exchange == "DCE":
        return trading, trading
    if exchange == "CZCE" and evening:
        return natural, natural
    return trading, natural


# 2026-01-05 is a Monday.
MOMENTS = [
    pytest.param("2026-01-05 09:00:00.500", "2026-01-05", id="Monday morning"),
    pytest.param("2026-01-05 14:59:59.000", "2026-01-05", id="Monday afternoon"),
    pytest.param("2026-01-05 20:59:00.500", "2026-01-06", id="Monday's evening auction"),
    pytest.param("2026-01-05 21:00:00.500", "2026-01-06", id="Monday evening"),
    pytest.param("2026-01-05 23:59:59.500", "2026-01-06", id="a moment before midnight"),
    pytest.param("2026-01-06 00:00:00.000", "2026-01-06", id="midnight"),
    pytest.param("2026-01-06 02:29:59.500", "2026-01-06", id="the end of Monday's night"),
    pytest.param("2026-01-09 21:00:00.500", "2026-01-12", id="Friday evening"),
    pytest.param("2026-01-10 00:00:00.500", "2026-01-12", id="Saturday's first moment"),
    pytest.param("2026-01-10 02:29:59.500", "2026-01-12", id="Saturday after midnight"),
    pytest.param("2026-01-12 09:00:00.000", "2026-01-12", id="Monday after that night"),
]


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("moment", "trading"), MOMENTS)
def test_every_exchange_gets_its_dates_right(exchange: str, moment: str, trading: str) -> None:
    natural, clock = moment.split(" ")
    night = not "04" < clock < "20"
    if night and exchange not in NIGHTS:
        return
    days = printed(exchange, natural, trading, evening=clock >= "20")
    seconds = read_clock(clock[:8])
    stamp = resolve(exchange, days, seconds, int(clock[9:]), at(moment) + 3_000_000)
    assert (stamp.ts_event, stamp.trading_day) == (at(moment), trading)


@pytest.mark.parametrize("exchange", sorted(NIGHTS))
@pytest.mark.parametrize(("moment", "trading"), MOMENTS)
def test_dates_need_no_clock_where_the_exchange_is_known(
    exchange: str, moment: str, trading: str
) -> None:
    natural, clock = moment.split(" ")
    days = printed(exchange, natural, trading, evening=clock >= "20")
    stamp = resolve(exchange, days, read_clock(clock[:8]), int(clock[9:]), 0)
    assert (stamp.ts_event, stamp.trading_day) == (at(moment), trading)


@pytest.mark.parametrize("quirk", sorted(NIGHTS))
@pytest.mark.parametrize(("moment", "trading"), MOMENTS)
def test_unknown_exchange_is_told_by_the_clock(quirk: str, moment: str, trading: str) -> None:
    natural, clock = moment.split(" ")
    days = printed(quirk, natural, trading, evening=clock >= "20")
    stamp = resolve("", days, read_clock(clock[:8]), int(clock[9:]), at(moment))
    assert (stamp.ts_event, stamp.trading_day) == (at(moment), trading)


@pytest.mark.parametrize(
    ("days", "clock", "now", "event", "trading"),
    [
        pytest.param(
            ("20260106", "20260105"),
            "00:00:00",
            "2026-01-06 00:00:00.100",
            "2026-01-06 00:00:00.000",
            "2026-01-06",
            id="the time turned before the date did",
        ),
        pytest.param(
            ("20260106", "20260106"),
            "23:59:59",
            "2026-01-06 00:00:00.100",
            "2026-01-05 23:59:59.000",
            "2026-01-06",
            id="the date turned before the time did",
        ),
        pytest.param(
            ("20260106", ""),
            "21:00:00",
            "2026-01-05 21:00:00.100",
            "2026-01-05 21:00:00.000",
            "2026-01-06",
            id="no ActionDay at night",
        ),
        pytest.param(
            ("", "20260109"),
            "21:00:00",
            "2026-01-09 21:00:00.100",
            "2026-01-09 21:00:00.000",
            "2026-01-12",
            id="no TradingDay on a Friday evening",
        ),
        pytest.param(
            ("", ""),
            "10:00:00",
            "2026-01-09 10:00:00.100",
            "2026-01-09 10:00:00.000",
            "2026-01-09",
            id="no day at all",
        ),
    ],
)
def test_dates_that_are_missing_or_turn_late_are_found(
    days: tuple[str, str], clock: str, now: str, event: str, trading: str
) -> None:
    stamp = resolve("SHFE", days, read_clock(clock), 0, at(now))
    assert (stamp.ts_event, stamp.trading_day) == (at(event), trading)


def test_stock_options_have_no_night() -> None:
    stamp = resolve("SSE", ("20260105", "20260104"), read_clock("14:59:59"), 0, 0)
    assert (stamp.ts_event, stamp.trading_day) == (at("2026-01-05 14:59:59"), "2026-01-05")


@pytest.mark.parametrize(
    ("symbol", "exchange"),
    [
        ("rb2605", "SHFE"),
        ("sc2606", "INE"),
        ("m2605-C-3000", "DCE"),
        ("TA605", "CZCE"),
        ("IF2606", "CFFEX"),
        ("lc2605", "GFEX"),
        ("10004567", ""),
        ("XX99", ""),
    ],
)
def test_exchange_is_found_by_product(symbol: str, exchange: str) -> None:
    assert find_exchange(symbol, "") == exchange
    assert find_exchange(symbol, "SHFE") == "SHFE"


def test_products_are_listed_once() -> None:
    assert set(EXCHANGE_OF.values()) == set(EXCHANGES)
    assert EXCHANGE_OF["c"] == "DCE"


@pytest.mark.parametrize(
    ("clock", "open_"),
    [
        ("08:55:00", True),
        ("15:30:00", True),
        ("16:05:00", False),
        ("19:12:00", False),
        ("20:55:00", True),
        ("02:30:00", True),
        ("03:00:00", False),
    ],
)
def test_times_outside_every_session_are_known(clock: str, open_: bool) -> None:
    assert is_open(read_clock(clock)) is open_


@pytest.mark.parametrize("text", ["", "25:00:00", "aa:bb:cc", "10:00", "10:00:61", "-1:00:00"])
def test_clock_that_is_none_is_impossible(text: str) -> None:
    with pytest.raises(ImpossibleValueError):
        read_clock(text)


@pytest.mark.parametrize("day", ["2026", "20261332", "xxxxxxxx", "0"])
def test_day_that_is_none_is_impossible(day: str) -> None:
    with pytest.raises(ImpossibleValueError):
        resolve("SHFE", (day, "20260105"), 36_000, 0, 0)


def test_millisecond_beyond_a_second_is_impossible() -> None:
    with pytest.raises(ImpossibleValueError):
        resolve("SHFE", ("20260105", "20260105"), 36_000, 1_000, 0)
