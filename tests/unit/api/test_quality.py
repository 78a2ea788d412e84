import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_api.backfill import Severity
from feedplane_api.quality import (
    judge_delay,
    judge_missing,
    parts_per_million,
    percent_up,
    worst,
)

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("missing", "expected", "severity"),
    [
        pytest.param(0, 100, Severity.NONE, id="nothing is missing"),
        pytest.param(5, 100, Severity.NONE, id="exactly five percent is nothing"),
        pytest.param(50_001, 1_000_000, Severity.WARNING, id="one row above five percent"),
        pytest.param(20, 100, Severity.WARNING, id="exactly twenty percent is a warning"),
        pytest.param(200_001, 1_000_000, Severity.ERROR, id="one row above twenty percent"),
        pytest.param(7, 7, Severity.ERROR, id="all of it"),
        pytest.param(0, 0, Severity.NONE, id="nothing was expected"),
    ],
)
def test_missing_share_is_judged_strictly(missing: int, expected: int, severity: Severity) -> None:
    assert judge_missing(missing, expected) is severity


@pytest.mark.parametrize(
    ("seconds", "severity"),
    [(0, "None"), (300, "None"), (301, "Warning"), (600, "Warning"), (601, "Error")],
)
def test_delay_is_judged_strictly_by_minutes(seconds: int, severity: str) -> None:
    assert judge_delay(seconds * SECOND_NS) == severity


def test_delay_one_nanosecond_above_counts() -> None:
    assert judge_delay(300 * SECOND_NS + 1) is Severity.WARNING
    assert judge_delay(600 * SECOND_NS + 1) is Severity.ERROR


def test_worst_of_several_is_the_gravest() -> None:
    assert worst() is Severity.NONE
    assert worst(Severity.WARNING, Severity.NONE) is Severity.WARNING
    assert worst(Severity.WARNING, Severity.ERROR, Severity.NONE) is Severity.ERROR


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_shares_are_zero_only_when_nothing_is_missing(missing: int, expected: int) -> None:
    assert (percent_up(missing, expected) == 0) == (missing == 0)
    assert (parts_per_million(missing, expected) == 0) == (missing == 0)


def test_shares_round_up_to_whole_numbers() -> None:
    assert (percent_up(1, 1_000), percent_up(20, 100), percent_up(3, 0)) == (1, 20, 0)
    assert (
        parts_per_million(1, 3_000_000),
        parts_per_million(2, 1_000),
        parts_per_million(1, 0),
    ) == (
        1,
        2_000,
        0,
    )
