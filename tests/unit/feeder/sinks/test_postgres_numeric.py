"""Decimal text to binary numeric: every digit, and nothing that is not plain."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numerics import print_numeric

from feedplane_feeder.sinks.postgres_numeric import (
    CACHED_NUMBERS,
    NumericCache,
    UnprintableNumberError,
    encode_numeric,
)

plain = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?", fullmatch=True).filter(
    lambda text: text.isascii() and not (text.startswith("-") and not text.strip("-0."))
)


@given(plain)
@example("0.35130000")
@example("0.00000000")
@example("60000.01")
@example("10000")
@example("9999.99999999")
@example("1.123456789")
@example("12345678901234567890.10")
@example("-0.0001")
def test_encode_numeric_prints_every_digit_again(text: str) -> None:
    assert print_numeric(encode_numeric(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=repr(text))
        for text in (
            *("", ".", "1.", ".5", "-", "--1", "+1", "00", "00.5", "01", "-0", "-0.00"),
            *("1e5", "NaN", "Infinity", "1_000", " 1", "1 ", "1,5", "1.2.3", "0x1", "1.5\n"),
            *("٣", "²", "1.٣", "\U0001d7d9", "1.-5", "-.5", "0.1234567 ", "9" * 200),
        )
    ],
)
def test_encode_numeric_refuses_what_is_not_plain(text: str) -> None:
    with pytest.raises(UnprintableNumberError):
        encode_numeric(text)


@given(st.text(max_size=20))
def test_encode_numeric_of_any_text_prints_it_or_refuses(text: str) -> None:
    try:
        encoded = encode_numeric(text)
    except UnprintableNumberError:
        return
    assert print_numeric(encoded) == text


def test_numeric_cache_stays_within_its_bound() -> None:
    cache = NumericCache()
    for number in range(CACHED_NUMBERS + 5):
        assert cache[str(number)] == encode_numeric(str(number))
    assert len(cache) <= CACHED_NUMBERS
