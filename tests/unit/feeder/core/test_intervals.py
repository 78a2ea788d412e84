from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.intervals import SECOND_NS, next_open_ns, previous_open_ns

INTERVALS = "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w".split()  # noqa: SIM905 - a list


def at(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("1s", 1), ("15m", 900), ("12h", 43_200), ("3d", 259_200), ("1w", 604_800)],
)
def test_next_open_of_fixed_interval_is_its_length_later(interval: str, seconds: int) -> None:
    assert next_open_ns(0, interval) == seconds * SECOND_NS


@pytest.mark.parametrize(
    ("opened", "following"),
    [
        (at(2024, 1), at(2024, 2)),
        (at(2024, 2), at(2024, 3)),
        (at(2024, 12), at(2025, 1)),
        (at(2025, 11), at(2025, 12)),
    ],
)
def test_month_is_followed_by_the_next_month(opened: int, following: int) -> None:
    assert next_open_ns(opened, "1M") == following
    assert previous_open_ns(following, "1M") == opened


@given(st.sampled_from(INTERVALS), st.integers(min_value=0, max_value=at(2100, 1)))
def test_previous_open_undoes_next_open(interval: str, opened: int) -> None:
    assert previous_open_ns(next_open_ns(opened, interval), interval) == opened
