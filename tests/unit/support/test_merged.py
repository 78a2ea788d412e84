import math

import pytest
from merged import MIDNIGHT, PRODUCTS, Outcome, Timings
from merged_tape import Row, Verdict

MIDNIGHT_NS = int(MIDNIGHT.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("percent", "microseconds"), [(50, 5.1), (99, 9.9), (99.9, 10.0), (100, 10.0)]
)
def test_percentile_is_what_so_many_stay_within(percent: float, microseconds: float) -> None:
    timings = Timings()
    timings.add(range(0, 5_000, 100))
    timings.add(range(5_000, 10_000, 100))
    assert timings.percentile(percent) == pytest.approx(microseconds, abs=0.11)


def test_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(Timings().percentile(99))


def test_rows_are_counted_on_either_side_of_midnight() -> None:
    outcome = Outcome()
    rows: list[Row] = [(MIDNIGHT_NS + shift, 1, "2026-01-12") for shift in (-1, 0, 1)]
    exchange = PRODUCTS[0][1]
    outcome.add(exchange, Verdict(emitted=3, rows=3), rows)
    outcome.add(exchange, Verdict(emitted=1, lost=1), [])
    assert outcome.sides == {exchange: (1, 2)}
    assert outcome.by_exchange == {exchange: outcome.total}
    assert outcome.total.broken == 1
