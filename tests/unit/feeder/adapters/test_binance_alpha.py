import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.adapters.binance_alpha import INTERVALS, NAME, VENUE
from feedplane_feeder.core.chunks import expected_rows
from feedplane_feeder.core.history import Page, Parsed
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.errors import MalformedFrameError, VenueUnavailableError
from feedplane_feeder.registry import HISTORIES, PAST_VENUES

HISTORY = VENUE.history
SYMBOL = "ALPHA_175USDT"
# As the venue's own client shows it.
SAMPLE = [
    *("1752642000000", "0.00171473", "0.00172515", "0.00171473", "0.00172515"),
    *("1771.86000000", "1752645599999", "3.05093481", "2", "1771.86000000", "3.05093481"),
    0,
]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def body(data: Any, code: str = "000000") -> bytes:
    told = {"code": code, "message": None, "messageDetail": None, "success": code == "000000"}
    return json.dumps({**told, "data": data}).encode()


def hours(start: str = "2025-07-16", end: str = "2025-07-17") -> Page:
    (page,) = HISTORY.pages(SYMBOL, "bar-1h", at(start), at(end))
    return page


def windows(channel: str, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Every window of a range, in milliseconds, whatever the answers hold."""
    found = []
    following: Page | None = HISTORY.pages(SYMBOL, channel, start_ns, end_ns)[0]
    while following is not None:
        fields = dict(part.split("=") for part in following.path.partition("?")[2].split("&"))
        found.append((int(fields["startTime"]), int(fields["endTime"])))
        following = HISTORY.next_page(following, Parsed())
    return found


def test_venue_has_a_past_and_nothing_else() -> None:
    assert PAST_VENUES[NAME] is VENUE
    assert HISTORIES[NAME] is HISTORY
    assert VENUE.exchange is None
    assert VENUE.instrument_id(SYMBOL) == "ALPHA_175USDT.BINANCE-ALPHA"
    assert HISTORY.archive_files(SYMBOL, "bar-1m", 0, 1, monthly=True) == ()


@pytest.mark.parametrize(
    ("channel", "carried"),
    [("bar-1m", True), ("bar-1M", True), ("bar-7m", False), ("trade", False), ("metric", False)],
)
def test_bars_are_all_that_is_carried(channel: str, carried: bool) -> None:
    assert HISTORY.carries(channel) is carried


def test_page_names_both_ends_of_its_window() -> None:
    assert hours().path == (
        "/bapi/defi/v1/public/alpha-trade/klines?symbol=ALPHA_175USDT&interval=1h"
        "&startTime=1752624000000&endTime=1752710399999&limit=1500"
    )
    assert HISTORY.next_page(hours(), Parsed()) is None


@given(
    st.sampled_from(sorted(INTERVALS)),
    st.integers(1_600_000_000, 1_700_000_000),
    st.integers(1, 20_000),
)
def test_windows_cover_a_range_once_and_each_fits_an_answer(
    interval: str, start: int, bars: int
) -> None:
    channel, start_ns = f"bar-{interval}", start * 10**9
    end_ns = start_ns + min(bars * next_open_ns(0, interval), 10**18)
    found = windows(channel, start_ns, end_ns)
    assert (found[0][0], found[-1][1] + 1) == (start_ns // 10**6, end_ns // 10**6)
    assert all(end + 1 == after for (_, end), (after, _) in itertools.pairwise(found))
    counts = (expected_rows(channel, first * 10**6, (last + 1) * 10**6) for first, last in found)
    assert max(count or 0 for count in counts) <= 1_500


def test_window_without_rows_does_not_end_the_range() -> None:
    assert len(windows("bar-1m", at("2026-10-01"), at("2026-11-01"))) == 45


def test_sample_of_the_venue_s_client_is_a_bar() -> None:
    parsed = HISTORY.parse_page(hours(), body([SAMPLE]))
    assert parsed.rows == [
        (
            *(1_752_642_000_000_000, "0.00171473", "0.00172515", "0.00171473", "0.00172515"),
            *("1771.86000000", "3.05093481", "2", "1771.86000000", "3.05093481"),
            1_752_645_599_999_000,
        )
    ]
    assert parsed.refused == []


def test_rows_are_put_in_order() -> None:
    later = ["1752645600000", *SAMPLE[1:6], "1752649199999", *SAMPLE[7:]]
    rows = HISTORY.parse_page(hours(), body([later, SAMPLE])).rows
    assert [row[0] for row in rows] == [1_752_642_000_000_000, 1_752_645_600_000_000]


def test_answer_without_rows_is_empty() -> None:
    assert HISTORY.parse_page(hours(), body(None)).rows == []
    assert HISTORY.parse_page(hours(), body([])).rows == []


def test_answer_that_says_no_is_told_with_its_code() -> None:
    with pytest.raises(VenueUnavailableError, match="000002"):
        HISTORY.parse_page(hours(), body(None, "000002"))


@pytest.mark.parametrize("text", [b"[]", b"<html>", b"\xff", b'{"data":[]}', b'{"code":0}'])
def test_answer_of_another_shape_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        HISTORY.parse_page(hours(), text)


def test_rows_that_cannot_be_true_are_refused() -> None:
    bad = [[], ["x"] * 12, [*SAMPLE[:2], "0.0001", *SAMPLE[3:]], {"a": 1}, None]
    parsed = HISTORY.parse_page(hours(), body([SAMPLE, *bad]))
    assert len(parsed.rows) == 1
    reasons = [reason for reason, _ in parsed.refused]
    assert len(reasons) == len(bad)
    assert reasons[:2] == ["MalformedRow", "MalformedRow"]


def test_listing_is_the_first_of_all_days() -> None:
    page = HISTORY.listing_page(SYMBOL)
    assert page.path.endswith("?symbol=ALPHA_175USDT&interval=1d&limit=1500")
    assert HISTORY.next_page(page, Parsed()) is None
