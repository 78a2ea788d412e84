"""EastMoney's klines: what is asked, and what the answers become."""

import json

import pytest

from feedplane_feeder.adapters.eastmoney_history import HISTORY
from feedplane_feeder.core.exchange import TradingDays
from feedplane_feeder.errors import MalformedFrameError

DAY_NS = 86_400 * 10**9
DAY = 1_734_480_000 * 10**9  # 2024-12-18
KLINE = "2024-12-18,6.11,6.18,6.28,6.10,842743,542829495.00,2.96,1.64,0.10,1.03"


def answer(*klines: str, total: int = 4_621, rc: int = 0) -> bytes:
    data = {"code": "601872", "market": 1, "dktotal": total, "klines": list(klines)}
    return json.dumps({"rc": rc, "rt": 17, "data": data}).encode()


def rows(channel: str, *klines: str) -> list[tuple[object, ...]]:
    (page,) = HISTORY.pages("601872", channel, DAY, DAY + DAY_NS)
    return list(HISTORY.parse_page(page, answer(*klines)).rows)


def test_daily_kline_starts_at_midnight_of_its_date() -> None:
    (row,) = rows("bar-1d", KLINE)
    assert row[:7] == (DAY // 1_000, "6.11", "6.28", "6.10", "6.18", "842743", "542829495.00")
    assert row[10] == (DAY + DAY_NS) // 1_000 - 1


def test_minute_kline_is_labelled_by_its_start() -> None:
    (row,) = rows("bar-5m", KLINE.replace("2024-12-18,", "2024-12-18 09:35,"))
    assert row[0] == (DAY + (90 * 60) * 10**9) // 1_000
    assert row[10] == (DAY + (95 * 60) * 10**9) // 1_000 - 1


def test_rows_outside_the_range_are_left_out() -> None:
    later = KLINE.replace("12-18", "12-19")
    earlier = KLINE.replace("12-18", "12-17")
    assert len(rows("bar-1d", earlier, KLINE, later)) == 1


def test_page_asks_for_whole_local_days_of_the_right_market() -> None:
    (page,) = HISTORY.pages("000001", "bar-1m", DAY, DAY + DAY_NS)
    assert "secid=0.000001&klt=1&fqt=0&beg=20241218&end=20241219&" in page.path
    assert HISTORY.next_page(page, HISTORY.parse_page(page, answer())) is None
    assert HISTORY.pages("000001", "bar-1w", DAY, DAY + DAY_NS) == ()
    assert HISTORY.pages("000001", "trade", DAY, DAY + DAY_NS) == ()
    assert HISTORY.pages("000001", "bar-1m", DAY, DAY) == ()


def test_listing_is_the_first_kline_ever() -> None:
    page = HISTORY.listing_page("601872")
    parsed = HISTORY.parse_page(page, answer(KLINE, KLINE.replace("12-18", "12-19")))
    assert [row[0] for row in parsed.rows] == [DAY // 1_000]


def test_trading_days_are_those_of_the_index() -> None:
    assert isinstance(HISTORY, TradingDays)
    page = HISTORY.days_page(DAY, DAY + DAY_NS)
    assert "secid=1.000001&klt=101&" in page.path
    assert [row[0] for row in HISTORY.parse_page(page, answer(KLINE)).rows] == [DAY // 1_000]
    assert HISTORY.rows_of_days("bar-1d", (1, 2)) == 2
    assert HISTORY.rows_of_days("bar-1m", (1, 2)) == 480
    assert HISTORY.rows_of_days("bar-1h", (1,)) == 4


@pytest.mark.parametrize(
    ("kline", "reason"),
    [
        ("2024-12-18,6.11", "MalformedRow"),
        ("yesterday,6.11,6.18,6.28,6.10,1,1", "ImpossibleTime"),
        ("2024-12-18,6.11,6.18,6.05,6.10,1,1", "ImpossibleRange"),
        ("2024-12-18,0,0,0,0,1,1", "ZeroPrice"),
    ],
)
def test_kline_that_cannot_be_true_is_refused_alone(kline: str, reason: str) -> None:
    (page,) = HISTORY.pages("601872", "bar-1d", DAY, DAY + DAY_NS)
    parsed = HISTORY.parse_page(page, answer(kline, KLINE))
    assert [each for each, _ in parsed.refused] == [reason]
    assert len(parsed.rows) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"rc":0,"data":null}', b'{"rc":102,"data":null}', b'{"rc":0,"data":{}}',
     answer(total=0)],
)  # fmt: skip
def test_empty_answer_is_a_failure_and_no_history(body: bytes) -> None:
    (page,) = HISTORY.pages("601872", "bar-1d", DAY, DAY + DAY_NS)
    with pytest.raises(MalformedFrameError):
        HISTORY.parse_page(page, body)


def test_unknown_instrument_has_no_rows() -> None:
    (page,) = HISTORY.pages("601872", "bar-1d", DAY, DAY + DAY_NS)
    assert HISTORY.parse_page(page, b'{"rc":100,"rt":17,"data":null}').rows == []


def test_there_is_no_archive_and_no_trade_by_number() -> None:
    assert HISTORY.archive_files("601872", "bar-1d", 0, DAY, monthly=True) == ()
    assert HISTORY.parse_archive("601872", "bar-1d", b"").rows == []
    assert HISTORY.id_page("601872", 1, 2) == HISTORY.first_page("601872", 1)
    assert HISTORY.page_rows("bar-1m") == 5_000
