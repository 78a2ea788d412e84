import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_api.selectors import expand_selector

LISTED = ("ETHUSDT", "BTCUSDT", "BTCUSDT_261225", "ETHBTC", "BTCUSDT")
SYMBOLS = st.lists(st.text("ABC", min_size=1, max_size=4), max_size=20)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        pytest.param(["*USDT"], [], ("BTCUSDT", "ETHUSDT"), id="a suffix"),
        pytest.param(["btc*"], [], ("BTCUSDT", "BTCUSDT_261225"), id="letter case does not count"),
        pytest.param(["BTC*"], ["*_[0-9]*"], ("BTCUSDT",), id="an exclusion"),
        pytest.param(["ETH???"], [], ("ETHBTC",), id="single characters"),
        pytest.param(["XRP*"], [], (), id="nothing matches"),
    ],
)
def test_selector_takes_what_its_globs_say(
    include: list[str], exclude: list[str], expected: tuple[str, ...]
) -> None:
    assert expand_selector(include, exclude, 10, LISTED) == expected


def test_selector_takes_the_first_of_too_many() -> None:
    assert expand_selector(["*"], [], 2, LISTED) == ("BTCUSDT", "BTCUSDT_261225")


@given(listed=SYMBOLS, most=st.integers(1, 10))
def test_selector_answer_is_sorted_bounded_and_stable(listed: list[str], most: int) -> None:
    answer = expand_selector(["*A*"], ["B*"], most, listed)
    assert list(answer) == sorted(set(answer))
    assert len(answer) <= most
    assert answer == expand_selector(["*A*"], ["B*"], most, reversed(listed))
