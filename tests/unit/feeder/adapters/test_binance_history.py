import json
from datetime import UTC, datetime

import pytest

from feedplane_feeder.adapters.binance_history import SPOT_HISTORY, USDM_HISTORY
from feedplane_feeder.core.history import Page, Parsed
from feedplane_feeder.errors import MalformedFrameError

OPENED = 1_793_491_200_000
KLINE = [OPENED, "1", "2", "1", "2", "9", OPENED + 59_999, "9", 4, "3", "3", "0"]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("channel", "monthly", "paths"),
    [
        ("bar-1m", True, ["/data/spot/monthly/klines/B/1m/B-1m-2026-10.zip"]),
        (
            "bar-1m",
            False,
            [
                "/data/spot/daily/klines/B/1m/B-1m-2026-10-30.zip",
                "/data/spot/daily/klines/B/1m/B-1m-2026-10-31.zip",
            ],
        ),
        ("bar-1M", True, ["/data/spot/monthly/klines/B/1mo/B-1mo-2026-10.zip"]),
        ("bar-1M", False, []),
        ("trade", True, ["/data/spot/monthly/aggTrades/B/B-aggTrades-2026-10.zip"]),
        ("metric", True, []),
    ],
)
def test_files_of_a_range_have_the_archive_s_names(
    channel: str, monthly: bool, paths: list[str]
) -> None:
    files = SPOT_HISTORY.archive_files(
        "B", channel, at("2026-10-30"), at("2026-11-01"), monthly=monthly
    )
    assert [file.path for file in files] == paths


def test_files_of_futures_metrics_are_daily() -> None:
    (file,) = USDM_HISTORY.archive_files(
        "B", "metric", at("2026-10-30"), at("2026-10-31"), monthly=False
    )
    assert file.path == "/data/futures/um/daily/metrics/B/B-metrics-2026-10-30.zip"
    assert file.end_ns - file.start_ns == 86_400 * 10**9


def test_spot_has_no_metrics_and_neither_has_books() -> None:
    assert not SPOT_HISTORY.carries("metric")
    assert USDM_HISTORY.carries("metric")
    assert not USDM_HISTORY.carries("book")
    assert SPOT_HISTORY.pages("B", "metric", 0, 1) == ()


def test_bar_pages_go_on_until_the_last_open_of_the_range() -> None:
    (page,) = SPOT_HISTORY.pages("B", "bar-1m", at("2026-11-01"), at("2026-11-01T00:02:00"))
    assert page.path == (
        "/api/v3/klines?symbol=B&interval=1m&startTime=1793491200000&endTime=1793491319999"
        "&limit=1000"
    )
    first = SPOT_HISTORY.parse_page(page, json.dumps([KLINE]).encode())
    after = SPOT_HISTORY.next_page(page, first)
    assert after is not None
    assert "startTime=1793491260000" in after.path
    moved = [OPENED + 60_000, *KLINE[1:6], OPENED + 119_999, *KLINE[7:]]
    last = SPOT_HISTORY.parse_page(after, json.dumps([moved]).encode())
    assert SPOT_HISTORY.next_page(after, last) is None
    assert SPOT_HISTORY.next_page(page, Parsed()) is None


def trades(*numbers: int) -> bytes:
    rows = [
        {"a": n, "p": "1.0", "q": "2.0", "f": n, "l": n, "T": 1_793_491_200_000 + n, "m": False}
        for n in numbers
    ]
    return json.dumps(rows).encode()


def test_trade_pages_go_on_by_number() -> None:
    (page,) = SPOT_HISTORY.pages("B", "trade", at("2026-11-01"), at("2026-11-02"))
    assert page.path == "/api/v3/aggTrades?symbol=B&startTime=1793491200000&limit=1000"
    after = SPOT_HISTORY.next_page(page, SPOT_HISTORY.parse_page(page, trades(7, 8)))
    assert after is not None
    assert after.path == "/api/v3/aggTrades?symbol=B&fromId=9&limit=1000"


def test_hole_is_asked_for_by_its_numbers_and_no_further() -> None:
    page = USDM_HISTORY.id_page("B", 5, 8)
    assert page.path == "/fapi/v1/aggTrades?symbol=B&fromId=5&limit=4"
    assert page.weight == 20
    assert USDM_HISTORY.next_page(page, USDM_HISTORY.parse_page(page, trades(5, 6, 7, 8))) is None
    assert USDM_HISTORY.next_page(page, USDM_HISTORY.parse_page(page, trades(5, 6))) is not None


def test_metrics_have_a_page_each_and_their_own_budget() -> None:
    pages = USDM_HISTORY.pages("B", "metric", at("2026-11-01"), at("2026-11-02"))
    assert len(pages) == 5
    assert {page.pool for page in pages} == set(USDM_HISTORY.pools)
    interest = next(page for page in pages if page.series == "openInterestHist")
    body = json.dumps(
        [{"sumOpenInterest": "5.1", "sumOpenInterestValue": "6", "timestamp": "1793491200000"}]
    ).encode()
    parsed = USDM_HISTORY.parse_page(interest, body)
    assert [row[1:] for row in parsed.rows] == [
        ("open_interest", "5.1"),
        ("open_interest_value", "6"),
    ]
    after = USDM_HISTORY.next_page(interest, parsed)
    assert after is not None
    assert "startTime=1793491500000" in after.path


@pytest.mark.parametrize("page", [SPOT_HISTORY.listing_page("B"), SPOT_HISTORY.first_page("B", 1)])
def test_page_of_one_row_has_none_after_it(page: Page) -> None:
    body = json.dumps([KLINE]).encode() if "klines" in page.path else trades(1)
    parsed = SPOT_HISTORY.parse_page(page, body)
    assert len(parsed.rows) == 1
    assert SPOT_HISTORY.next_page(page, parsed) is None


def test_answer_that_is_no_list_is_malformed() -> None:
    page = SPOT_HISTORY.listing_page("B")
    for body in (b"{}", b"<html>", b"\xff"):
        with pytest.raises(MalformedFrameError):
            SPOT_HISTORY.parse_page(page, body)


def test_rows_of_an_answer_that_cannot_be_true_are_refused() -> None:
    page = SPOT_HISTORY.listing_page("B")
    parsed = SPOT_HISTORY.parse_page(page, json.dumps([KLINE, [], {"a": 1}, [1] * 12]).encode())
    assert len(parsed.rows) == 1
    assert [reason for reason, _ in parsed.refused] == [
        "MalformedRow",
        "MalformedRow",
        "ImpossibleTime",
    ]
