from hypothesis import given
from hypothesis import strategies as st

from feedplane_cli.core.completeness import count_named, find_spans, measure
from feedplane_cli.core.quality import merge_ranges
from feedplane_cli.core.tape import GapState, IdHole, LedgerRow, SeriesDay, Tape

BTC = "BTCUSDT.X"
KEY = (BTC, "trade")


def day(first: int | None, last: int | None, rows: int, *, day_ns: int = 0) -> SeriesDay:
    return SeriesDay(
        instrument_id=BTC, channel="trade", day_ns=day_ns, rows=rows, first_id=first, last_id=last
    )


def gap(
    first: int | None,
    last: int | None,
    state: GapState = GapState.OPEN,
    filled_by: str | None = None,
) -> LedgerRow:
    return LedgerRow(
        instrument_id=BTC,
        channel="trade",
        cause="sequence",
        state=state,
        detected_ns=0,
        from_id=first,
        to_id=last,
        filled_by=filled_by,
    )


def test_span_reaches_over_the_days() -> None:
    days = (day(1, 50, 50), day(60, 99, 40, day_ns=1), day(None, None, 5, day_ns=2))
    assert find_spans(Tape(days=days)) == {KEY: (1, 99)}


def test_tape_without_numbers_has_no_figure() -> None:
    assert measure(Tape(days=(day(None, None, 5),))) == ()


def test_filled_gaps_count_before_repair_only() -> None:
    tape = Tape(
        days=(day(1, 1_000, 990),),
        holes=(IdHole(BTC, "trade", 11, 20, 0),),
        gaps=(
            gap(11, 20, GapState.UNFILLABLE),
            gap(101, 130, GapState.FILLED, "rest"),
            gap(201, 230, GapState.FILLED, "replay"),
            gap(301, 330, GapState.FILLED, "line"),
        ),
        late={KEY: 30},
    )
    (found,) = measure(tape)
    assert (found.numbers, found.ledger_before, found.ledger_after) == (1_000, 40, 10)
    assert (found.rows_before, found.rows_after) == (40, 10)
    assert found.agrees
    assert found.ledger_ppm == found.rows_ppm == (40_000, 10_000)


def test_hole_the_ledger_does_not_know_is_a_disagreement() -> None:
    tape = Tape(days=(day(1, 100, 95),), holes=(IdHole(BTC, "trade", 5, 9, 0),), late={})
    (found,) = measure(tape)
    assert (found.ledger_after, found.rows_after) == (0, 5)
    assert not found.agrees


def test_rows_that_were_not_put_in_order_say_nothing_on_before() -> None:
    (found,) = measure(Tape(days=(day(1, 100, 100),), gaps=(gap(5, 9, GapState.FILLED, "rest"),)))
    assert found.rows_ppm == (None, 0)
    assert found.agrees


def test_named_numbers_outside_the_span_do_not_count() -> None:
    rows = [gap(1, 12), gap(95, 200), gap(None, None)]
    assert count_named(rows, (10, 100), after=True) == 3 + 6


@given(
    st.sets(st.integers(2, 299)),
    st.sets(st.integers(2, 299)),
)
def test_ledger_and_rows_agree_whatever_was_lost_and_repaired(
    lost: set[int], repairable: set[int]
) -> None:
    # What the feeder does, in short: every run of lost numbers is a row, split by what came back.
    repaired, gone = lost & repairable, lost - repairable
    held = sorted(set(range(1, 301)) - gone)
    runs = merge_ranges((number, number) for number in gone)
    back = merge_ranges((number, number) for number in repaired)
    tape = Tape(
        days=(day(held[0], held[-1], len(held)),),
        holes=tuple(IdHole(BTC, "trade", first, last, 0) for first, last in runs),
        gaps=(
            *(gap(first, last) for first, last in runs),
            *(gap(first, last, GapState.FILLED, "rest") for first, last in back),
        ),
        late={KEY: len(repaired)},
    )
    (found,) = measure(tape)
    assert found.agrees
    assert (found.rows_before, found.rows_after) == (len(lost), len(gone))
