import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_simulator.decimals import format_scaled, parse_scaled


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        pytest.param(6_123_450, 2, "61234.50", id="digits on both sides"),
        pytest.param(7, 5, "0.00007", id="smaller than one"),
        pytest.param(42, 0, "42", id="no decimals"),
        pytest.param(-15, 1, "-1.5", id="negative"),
    ],
)
def test_scaled_integer_prints_every_decimal(value: int, scale: int, text: str) -> None:
    assert format_scaled(value, scale) == text


@given(st.integers(-(10**18), 10**18), st.integers(0, 12))
def test_scaled_integer_round_trips_through_text(value: int, scale: int) -> None:
    text = format_scaled(value, scale)
    assert parse_scaled(text.lstrip("-"), scale) == abs(value)


def test_parse_scaled_too_many_decimals_raises() -> None:
    with pytest.raises(ValueError, match="at most 2 decimals"):
        parse_scaled("1.234", 2)
