import json
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.adapters.baostock import (
    END,
    PAGE_ROWS,
    VENUE,
    BaoStockExchange,
    BaoStockHistory,
    frame,
)
from feedplane_feeder.core.exchange import TradingDays
from feedplane_feeder.core.history import Parsed
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    MalformedFrameError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)

SOH = "\x01"
HISTORY, EXCHANGE = BaoStockHistory(), BaoStockExchange()
DAY = datetime(2026, 11, 20, tzinfo=UTC)
START = int(DAY.timestamp()) * 1_000_000_000
END_NS = START + 86_400_000_000_000


def answer(kind: str, fields: tuple[str, ...]) -> bytes:
    body = SOH.join(fields)
    return f"00.9.40{SOH}{kind}{SOH}{len(body):010d}{body}{SOH}12345".encode() + END


def packed(fields: tuple[str, ...]) -> bytes:
    body = zlib.compress((SOH.join(fields) + "x").encode())
    return f"00.9.40{SOH}96{SOH}{len(body):010d}".encode() + body + END


def document(*rows: list[str]) -> str:
    return json.dumps({"record": rows})


def told(series: str, *rows: list[str]) -> Parsed:
    (page,) = HISTORY.pages("sh.600000", series, START, END_NS)
    return HISTORY.parse_page(page, document(*rows).encode())


# As the venue's own client writes them.
def test_requests_are_those_of_the_venue_s_client() -> None:
    hello = "00.9.40<00<0000000024login<anonymous<123456<0<1790200140\n"
    assert EXCHANGE.hello() == hello.replace("<", SOH).encode()
    days = (
        "00.9.40<33<0000000056query_trade_dates<anonymous<1<2000<2024-01-01<2024-01-31<3949203806\n"
    )
    made = EXCHANGE.request("33 query_trade_dates 1 2000 2024-01-01 2024-01-31")
    assert made == days.replace("<", SOH).encode()
    assert frame("02", ("logout", "anonymous"))[:11].decode() == f"00.9.40{SOH}02{SOH}"


def test_answer_ends_behind_its_mark_and_no_sooner() -> None:
    plain = answer("01", ("0", "success", "login", "anonymous"))
    assert EXCHANGE.find_end(plain[:20]) is None
    assert EXCHANGE.find_end(plain[:-1]) is None
    assert EXCHANGE.find_end(plain + b"more") == len(plain)
    squeezed = packed(("0", "success", "m", "u", "1", "2000", "{}"))
    assert EXCHANGE.find_end(squeezed) == len(squeezed)
    # The mark inside a packed body is chance.
    length = 40
    body = (END * 4)[:length]
    chance = f"00.9.40{SOH}96{SOH}{length:010d}".encode() + body + END
    assert EXCHANGE.find_end(chance) == len(chance)


def test_document_of_an_answer_is_found_packed_or_not() -> None:
    fields = ("0", "success", "m", "u", "1", "2000", '{"record":[]}', "rest")
    assert EXCHANGE.read(answer("34", fields)) == b'{"record":[]}'
    assert EXCHANGE.read(packed(fields)) == b'{"record":[]}'
    assert EXCHANGE.read(answer("01", fields[:4])) == b""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("10001011", VenueBannedError, id="blacklisted"),
        pytest.param("10001005", VenueThrottledError, id="too many logins"),
        pytest.param("10001002", CredentialsRefusedError, id="a wrong password"),
        pytest.param("10001001", VenueUnavailableError, id="not logged in"),
        pytest.param("what", MalformedFrameError, id="no code"),
    ],
)
def test_refusal_says_what_it_is(code: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        EXCHANGE.read(answer("04", (code, "a reason")))
    with pytest.raises(error):
        EXCHANGE.read(answer("04", (code,)))


@given(st.binary(max_size=80))
def test_random_answers_are_refused_or_read(noise: bytes) -> None:
    for bytes_ in (noise, answer("04", ("0",))[:21] + noise + END):
        try:
            if EXCHANGE.find_end(bytes_) is not None:
                EXCHANGE.read(bytes_)
        except (MalformedFrameError, VenueUnavailableError):
            continue


def test_daily_bar_opens_at_midnight_and_ends_with_the_market() -> None:
    parsed = told("bar-1d", ["2026-11-20", "10.00", "10.50", "9.90", "10.10", "1200", "12000.5"])
    (row,) = parsed.rows
    assert row[0] == START // 1000
    assert row[1:] == (
        *("10.00", "10.50", "9.90", "10.10", "1200", "12000.5", "0", "0", "0"),
        START // 1000 + 7 * 3_600_000_000,
    )


def test_bar_of_minutes_is_named_by_its_end() -> None:
    line = ["20261120093500000", "10.00", "10.50", "9.90", "10.10", "1200", "12000.5"]
    (row,) = told("bar-5m", line).rows
    assert (row[-1], row[0]) == (START // 1000 + 95 * 60_000_000, START // 1000 + 90 * 60_000_000)


def test_suspended_day_is_a_bar_without_volume() -> None:
    (row,) = told("bar-1d", ["2026-11-20", "10", "10", "10", "10", "", ""]).rows
    assert row[5:7] == ("0", "0")


def test_rows_that_cannot_be_are_set_aside() -> None:
    parsed = told(
        "bar-1d",
        ["2026-11-20", "", "", "", "", "0", "0"],
        ["2026-11-20", "10", "9", "8", "10", "1", "1"],
        ["2026-13-20", "10", "10", "10", "10", "1", "1"],
        ["2026-11-20"],
    )
    reasons = [reason for reason, _ in parsed.refused]
    assert reasons == ["MissingValue", "ImpossibleRange", "MalformedRow", "MalformedRow"]
    assert parsed.rows == []


def test_pages_go_on_until_one_is_not_full() -> None:
    (page,) = HISTORY.pages("sh.600000", "bar-1d", 0, END_NS)
    assert page.path.endswith("1970-01-01 2026-11-20 d 3")
    full = Parsed(refused=[("x", "y")] * PAGE_ROWS)
    second = HISTORY.next_page(page, full)
    assert second is not None
    assert second.path.split(" ")[:4] == ["95", "query_history_k_data_plus", "2", "2000"]
    assert HISTORY.next_page(second, Parsed(refused=[("x", "y")])) is None


def test_days_and_listing_are_read() -> None:
    assert isinstance(HISTORY, TradingDays)
    page = HISTORY.days_page(START, END_NS + 1)
    body = document(["2026-11-20", "1"], ["2026-11-21", "0"]).encode()
    assert [row[0] for row in HISTORY.parse_page(page, body).rows] == [START // 1000]
    listing = HISTORY.listing_page("sh.600000")
    body = document(["sh.600000", "name", "1999-11-10", "", "1", "1"]).encode()
    assert HISTORY.parse_page(listing, body).rows[0][0] == 942_192_000_000_000
    assert HISTORY.next_page(listing, Parsed()) is None
    symbols = HISTORY.symbols_page(START)
    body = document(["sh.600000", "1", "name"]).encode()
    assert HISTORY.parse_page(symbols, body).rows == [(0, "sh.600000", "1")]
    assert HISTORY.rows_of_days("bar-1d", (1, 2)) == 2
    assert HISTORY.rows_of_days("bar-5m", (1, 2)) == 96


def test_channels_are_days_and_minutes_and_nothing_has_a_number() -> None:
    carried = [
        c
        for c in ("trade", "quote", "bar-1m", "bar-5m", "bar-1h", "bar-1d", "bar-1w")
        if HISTORY.carries(c)
    ]
    assert carried == ["bar-5m", "bar-1h", "bar-1d"]
    assert HISTORY.archive_files("x", "bar-1d", 0, 1, monthly=True) == ()
    assert HISTORY.parse_archive("x", "bar-1d", b"").rows == []
    assert HISTORY.page_rows("bar-1d") == PAGE_ROWS
    assert VENUE.instrument_id("sh.600000") == "sh.600000.BAOSTOCK"
    with pytest.raises(ValueError, match="no numbers"):
        HISTORY.id_page("x", 1, 2)
    with pytest.raises(ValueError, match="no numbers"):
        HISTORY.first_page("x", 1)
