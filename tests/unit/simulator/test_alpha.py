import pytest

from feedplane_simulator.alpha import LISTED_MS, past_rows

MINUTE_MS, DAY_MS = 60_000, 86_400_000


def test_rows_of_a_range_are_the_same_whoever_asks() -> None:
    whole = past_rows(7, "ALPHA_100USDT", "1m", LISTED_MS, LISTED_MS + DAY_MS - 1)
    half = past_rows(7, "ALPHA_100USDT", "1m", LISTED_MS + DAY_MS // 2, LISTED_MS + DAY_MS - 1)
    assert len(whole) == 1_440
    assert half == whole[720:]
    assert whole != past_rows(8, "ALPHA_100USDT", "1m", LISTED_MS, LISTED_MS + DAY_MS - 1)


@pytest.mark.parametrize(
    ("interval", "opens_ms"),
    [("1m", LISTED_MS), ("1d", LISTED_MS // DAY_MS * DAY_MS)],
    ids=["minutes", "days"],
)
def test_first_row_is_the_one_that_holds_the_listing(interval: str, opens_ms: int) -> None:
    first = past_rows(7, "ALPHA_100USDT", interval, 0, LISTED_MS)[0]
    assert first[0] == str(opens_ms)


def test_both_ends_of_a_range_are_included() -> None:
    start = LISTED_MS + 10 * MINUTE_MS
    rows = past_rows(7, "ALPHA_100USDT", "1m", start, start + 2 * MINUTE_MS)
    assert [row[0] for row in rows] == [str(start + step * MINUTE_MS) for step in range(3)]
    assert past_rows(7, "ALPHA_100USDT", "1m", start + 1, start + MINUTE_MS - 1) == []


def test_prices_of_a_row_are_in_their_order() -> None:
    for row in past_rows(7, "ALPHA_100USDT", "1h", LISTED_MS, LISTED_MS + DAY_MS):
        first, high, low, last = (float(text) for text in row[1:5])
        assert 0 < low <= min(first, last)
        assert high >= max(first, last)
