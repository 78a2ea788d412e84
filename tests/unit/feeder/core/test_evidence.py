import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.evidence import (
    BY_REST,
    Repaired,
    judge_bars,
    judge_ids,
    judge_time,
    list_opens,
)
from feedplane_feeder.records import Gap

MINUTE_NS = 60_000_000_000
TRADES = Gap("A.VENUE", "trade", "sequence", 1, from_id=10, to_id=19)
BARS = Gap("A.VENUE", "bar-1m", "stale", 1, from_ts=10 * MINUTE_NS, to_ts=14 * MINUTE_NS)


def describe(repaired: Repaired) -> list[tuple[int | None, int | None, str]]:
    return [
        (
            piece.gap.from_id if piece.gap.from_id is not None else _minute(piece.gap.from_ts),
            piece.gap.to_id if piece.gap.to_id is not None else _minute(piece.gap.to_ts),
            piece.filled_by or piece.reason or "open",
        )
        for piece in repaired.pieces
    ]


def _minute(ts_ns: int | None) -> int:
    return (ts_ns or 0) // MINUTE_NS


@pytest.mark.parametrize(
    ("ids", "proves", "pieces"),
    [
        pytest.param(range(9, 21), True, [(10, 19, "rest")], id="all came"),
        pytest.param(range(10, 20), True, [(10, 19, "rest")], id="all came and nothing besides"),
        pytest.param((), True, [(10, 19, "open")], id="nothing came"),
        pytest.param((9, 20), True, [(10, 19, "venue")], id="the venue passes over all"),
        pytest.param((9, 20), False, [(10, 19, "open")], id="not yet believed"),
        pytest.param((30, 31), True, [(10, 19, "open")], id="history begins behind"),
        pytest.param((1, 2, 9), True, [(10, 19, "open")], id="history ends before"),
        pytest.param(
            (*range(9, 14), *range(16, 21)),
            True,
            [(10, 13, "rest"), (14, 15, "venue"), (16, 19, "rest")],
            id="a hole inside",
        ),
        pytest.param(
            range(9, 15), True, [(10, 14, "rest"), (15, 19, "open")], id="the end not yet"
        ),
        pytest.param(
            range(13, 21), True, [(10, 12, "open"), (13, 19, "rest")], id="the beginning not kept"
        ),
    ],
)
def test_ids_of_an_answer_decide_about_a_gap(
    ids: range, proves: bool, pieces: list[tuple[int, int, str]]
) -> None:
    repaired = judge_ids(TRADES, list(ids), proves=proves)
    assert describe(repaired) == pieces
    assert repaired.settled is ("open" not in {piece[2] for piece in pieces})
    assert repaired.unchanged is (pieces == [(10, 19, "open")])


@given(st.sets(st.integers(min_value=0, max_value=30)), st.booleans())
def test_pieces_cover_a_gap_without_overlap(ids: set[int], proves: bool) -> None:
    repaired = judge_ids(TRADES, sorted(ids), proves=proves)
    covered = [
        number
        for piece in repaired.pieces
        for number in range(piece.gap.from_id or 0, (piece.gap.to_id or 0) + 1)
    ]
    assert covered == list(range(10, 20))
    filled = {
        number
        for piece in repaired.pieces
        if piece.filled_by == BY_REST
        for number in range(piece.gap.from_id or 0, (piece.gap.to_id or 0) + 1)
    }
    assert filled == ids & set(range(10, 20))
    assert sum(piece.rows for piece in repaired.pieces) == len(filled)


@pytest.mark.parametrize(
    ("minutes", "pieces"),
    [
        pytest.param(range(9, 16), [(10, 14, "rest")], id="all came"),
        pytest.param(
            (9, 10, 11, 14, 15), [(10, 11, "rest"), (12, 13, "venue"), (14, 14, "rest")], id="hole"
        ),
        pytest.param(range(9, 13), [(10, 12, "rest"), (13, 14, "open")], id="the end not yet"),
        pytest.param((), [(10, 14, "open")], id="nothing came"),
        pytest.param((9, 15), [(10, 14, "venue")], id="the venue has none"),
    ],
)
def test_open_times_of_an_answer_decide_about_bars(
    minutes: range, pieces: list[tuple[int, int, str]]
) -> None:
    opens = [minute * MINUTE_NS for minute in minutes]
    assert describe(judge_bars(BARS, opens, proves=True)) == pieces


def test_gap_in_time_is_filled_by_all_there_is() -> None:
    gap = Gap("A.VENUE", "trade", "stale", 1, from_ts=5, to_ts=9)
    (piece,) = judge_time(gap, 3).pieces
    assert (piece.gap, piece.rows, piece.filled_by, piece.open) == (gap, 3, "rest", False)


def test_open_times_of_a_gap_of_bars_include_both_ends() -> None:
    assert [at // MINUTE_NS for at in list_opens(BARS)] == [10, 11, 12, 13, 14]
