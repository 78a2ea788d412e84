import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core import checks
from feedplane_feeder.core.checks import check_bar, check_quote, check_trade, read_decimal
from feedplane_feeder.errors import ImpossibleValueError

PRICES = ("2", "3", "1", "2.5")
VOLUMES = ("10", "0", "5", "0.0")

BAD_TEXTS = ("", ".", "abc", "nan", "inf", "1e5", "1_0", " 1", "+1", "1.2.3", "٣")


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_decimal_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ImpossibleValueError, match="NotDecimal"):
        read_decimal(text)


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=8))
def test_decimal_as_printed_is_read(value: object) -> None:
    text = f"{value:f}"
    assert read_decimal(text) == float(text) == read_decimal(text)


def test_decimals_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "REMEMBERED", 4)
    for number in range(20):
        read_decimal(f"1234.{number}")
    assert len(checks._known) <= 4


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda: check_trade("0.00", "1"), "ZeroPrice"),
        (lambda: check_trade("1", "0"), "ZeroSize"),
        (lambda: check_trade("-1", "1"), "Negative"),
        (lambda: check_trade("1", "x"), "NotDecimal"),
        (lambda: check_quote("2", "1", "1.9", "1"), "CrossedQuote"),
        (lambda: check_quote("2", "1", "2.0", "1"), "CrossedQuote"),
        (
            lambda: check_quote("0.30000000000000000001", "1", "0.3", "1"),
            "CrossedQuote",
        ),
        (lambda: check_quote("1", "-1", "2", "1"), "Negative"),
        (lambda: check_quote("1", "1", "2", "?"), "NotDecimal"),
        (lambda: check_bar(("2", "3", "0", "2"), VOLUMES), "ZeroPrice"),
        (lambda: check_bar(("4", "3", "1", "2"), VOLUMES), "ImpossibleRange"),
        (lambda: check_bar(("2", "3", "1", "0.5"), VOLUMES), "ImpossibleRange"),
        (lambda: check_bar(PRICES, ("1", "-0.5")), "Negative"),
        (lambda: check_bar(PRICES, ("1", "many")), "NotDecimal"),
        (lambda: check_bar(PRICES, ("1", "1.2.3")), "NotDecimal"),
        (lambda: check_bar(PRICES, ("1", "1e3")), "NotDecimal"),
    ],
)
def test_value_that_cannot_be_true_is_refused(check: Callable[[], None], reason: str) -> None:
    with pytest.raises(ImpossibleValueError) as raised:
        check()
    assert raised.value.reason == reason
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "check",
    [
        lambda: check_trade("0.35130000", "1"),
        lambda: check_quote("1.9", "0", "2", "0.1"),
        lambda: check_quote("0.00000000", "0.00000000", "2", "0.1"),
        lambda: check_quote("2", "1", "0", "0"),
        lambda: check_quote("0.3", "1", "0.30000000000000000001", "1"),
        lambda: check_bar(PRICES, VOLUMES),
    ],
)
def test_value_that_can_be_true_passes(check: Callable[[], None]) -> None:
    assert check() is None  # type: ignore[func-returns-value]


@given(st.text(max_size=8), st.text(max_size=8))
def test_trade_check_of_any_text_lets_only_positive_decimals_pass(price: str, size: str) -> None:
    passed = True
    try:
        check_trade(price, size)
    except ImpossibleValueError:
        passed = False
    assert passed == (is_positive(price) and is_positive(size))


def is_positive(text: str) -> bool:
    return re.fullmatch(r"\.?[0-9]+|[0-9]+\.[0-9]*", text) is not None and float(text) > 0
