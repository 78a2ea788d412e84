import json
from typing import Any

import pytest

from feedplane_feeder.adapters.alpaca_history import HISTORY, PAGE_ROWS
from feedplane_feeder.core.history import NO_ID, build_records
from feedplane_feeder.errors import MalformedFrameError
from feedplane_feeder.records import Bar, Trade

START, END = 1_614_009_060_000_000_000, 1_614_009_180_000_000_000


def answer(series: str, rows: list[Any], token: str | None = None) -> bytes:
    return json.dumps({series: {"AAPL": rows}, "next_page_token": token}).encode()


def trade(time: str) -> dict[str, Any]:
    return {"i": 96921, "x": "D", "p": 126.55, "s": 1, "t": time, "z": "C"}


def test_history_asks_in_the_words_of_the_venue() -> None:
    (page,) = HISTORY.pages("BRK.B", "bar-5m", START, END)
    assert page.path == (
        "/v2/stocks/bars?symbols=BRK.B&start=2021-02-22T15:51:00.000000000Z"
        "&end=2021-02-22T15:53:00.000000000Z&timeframe=5Min&adjustment=raw&sort=asc&limit=10000"
    )
    assert HISTORY.page_rows("bar-5m") == PAGE_ROWS


def test_history_carries_trades_and_its_intervals() -> None:
    assert all(map(HISTORY.carries, ("trade", "bar-1m", "bar-1d")))
    assert not any(map(HISTORY.carries, ("quote", "book", "bar-7m")))
    assert HISTORY.pages("AAPL", "quote", START, END) == ()
    assert HISTORY.archive_files("AAPL", "trade", START, END, monthly=True) == ()


def test_trade_page_becomes_the_rows_of_the_live_tape() -> None:
    (page,) = HISTORY.pages("AAPL", "trade", START, END)
    rows = [trade("2021-02-22T15:51:44.208Z"), trade("2021-02-22T15:53:00Z")]
    parsed = HISTORY.parse_page(page, answer("trades", rows))
    (row,) = parsed.rows  # the end is not ours
    number = -((96921 << 6) + (ord("D") & 63)) - 2
    assert row == (1614009104208000, number, NO_ID, NO_ID, "N", "126.55", "1")
    (record,) = build_records("trade", "AAPL.ALPACA", parsed.rows, 5)
    assert isinstance(record, Trade)
    assert (record.trade_id, record.first_id, record.last_id) == (number, None, None)


def test_bar_page_becomes_final_bars() -> None:
    (page,) = HISTORY.pages("AAPL", "bar-1m", START, END)
    row = {"o": 132.65, "h": 136, "l": 132.12, "c": 134.65, "v": 205, "n": 16, "vw": 133.7}
    parsed = HISTORY.parse_page(page, answer("bars", [{**row, "t": "2021-02-22T15:51:00Z"}]))
    (record,) = build_records("bar-1m", "AAPL.ALPACA", parsed.rows, 5)
    assert isinstance(record, Bar)
    assert (record.ts_open, record.ts_event) == (START, START + 60_000_000_000)
    assert (record.high, record.quote_volume, record.trade_count) == ("136", "27408.5", 16)


def test_pages_are_followed_by_their_token() -> None:
    (page,) = HISTORY.pages("AAPL", "trade", START, END)
    parsed = HISTORY.parse_page(page, answer("trades", [], "a b="))
    following = HISTORY.next_page(page, parsed)
    assert following is not None
    assert following.path == f"{page.path}&page_token=a%20b%3D"
    again = HISTORY.next_page(following, parsed)
    assert again == following
    assert HISTORY.next_page(page, HISTORY.parse_page(page, answer("trades", []))) is None


def test_single_pages_are_not_followed() -> None:
    parsed = HISTORY.parse_page(HISTORY.first_page("AAPL", START), answer("trades", [], "more"))
    for page in (HISTORY.first_page("AAPL", START), HISTORY.listing_page("AAPL")):
        assert HISTORY.next_page(page, parsed) is None
    assert HISTORY.id_page("AAPL", -9, -5).end_ns == 1_000_000_000


def test_rows_that_cannot_be_true_are_set_aside() -> None:
    (page,) = HISTORY.pages("AAPL", "trade", START, END)
    rows = [{**trade("2021-02-22T15:51:44Z"), "p": 0}, {"t": "now"}, 5]
    parsed = HISTORY.parse_page(page, answer("trades", rows))
    assert parsed.rows == []
    assert [reason for reason, _ in parsed.refused] == ["ZeroPrice", "MalformedRow", "MalformedRow"]


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"trades": 5}', b"[]"], ids=["html", "number", "list"]
)
def test_answer_that_is_no_page_is_refused(body: bytes) -> None:
    (page,) = HISTORY.pages("AAPL", "trade", START, END)
    with pytest.raises(MalformedFrameError):
        HISTORY.parse_page(page, body)
