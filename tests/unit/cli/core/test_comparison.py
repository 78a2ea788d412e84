from decimal import Decimal

import pytest

from feedplane_cli.core.comparison import (
    Agreement,
    Comparison,
    Digest,
    compare_rows,
    find_suspects,
    judge_days,
    parse_tolerance,
    sum_up,
)
from feedplane_cli.errors import UsageError

A, B = ("A.X", 0), ("B.X", 0)


def test_only_days_that_differ_are_suspects() -> None:
    tape = {A: Digest(2, 7), B: Digest(1, 1)}
    assert find_suspects(tape, {A: Digest(2, 7), B: Digest(1, 2), ("C.X", 0): Digest(1, 1)}) == [
        B,
        ("C.X", 0),
    ]


def test_rows_are_told_apart_by_key_and_value() -> None:
    tape = [("1", "a"), ("2", "b"), ("3", "c")]
    assert compare_rows(tape, [("2", "b"), ("3", "x"), ("4", "d")]) == (1, 1, 1)


def test_second_row_of_a_key_stands_on_its_side_only() -> None:
    assert compare_rows([("1", "a")], [("1", "a"), ("1", "a")]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("tolerance", "agreement"),
    [
        ("0", "Different"),
        ("0.99", "Different"),
        ("1", "WithinTolerance"),
        ("5%", "WithinTolerance"),
    ],
)
def test_day_is_judged_by_its_own_rows(tolerance: str, agreement: str) -> None:
    days = judge_days(
        {A: Digest(100, 1)}, {A: Digest(99, 2)}, {A: (1, 0, 0)}, parse_tolerance(tolerance)
    )
    assert [day.agreement for day in days] == [agreement]


def test_days_that_differ_come_first_and_are_summed() -> None:
    days = judge_days(
        {A: Digest(10, 1), B: Digest(10, 1)},
        {A: Digest(10, 1), B: Digest(9, 2)},
        {B: (2, 1, 3)},
        Decimal(0),
    )
    assert [(day.instrument_id, day.wrong) for day in days] == [("B.X", 6), ("A.X", 0)]
    assert days[1].agreement is Agreement.EQUAL
    assert sum_up(days) == {
        "days": 2,
        "daysDifferent": 1,
        "rows": 20,
        "referenceRows": 19,
        "onlyTape": 2,
        "onlyReference": 1,
        "different": 3,
    }
    told = Comparison(
        channel="trade", reference="r", columns=(), tolerance_percent=Decimal(0), days=days
    )
    assert not told.agrees


@pytest.mark.parametrize("text", ["some", "-1", "101", "NaN"])
def test_tolerance_that_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tolerance(text)
