from msgspec.structs import replace

from feedplane_api.worker import GapCount
from feedplane_feeder.core.evidence import Piece, Repaired
from feedplane_feeder.core.gap_counts import GapCounts, SettledGaps
from feedplane_feeder.records import Gap

ID = "BTCUSDT.VENUE"
TRADES = GapCount(symbol="BTCUSDT", channel="trade", missing=0)


def gap(first: int, last: int, channel: str = "trade") -> Gap:
    return Gap(ID, channel, "restart", 1, from_id=first, to_id=last)


def repaired(whole: Gap, *fates: str | None) -> Repaired:
    """Return a gap of as many numbers as fates: `rest` fills one, `venue` gives it up."""
    assert whole.from_id is not None
    pieces = []
    for number, fate in enumerate(fates, whole.from_id):
        part = replace(whole, from_id=number, to_id=number)
        filled_by, reason = (None, fate) if fate == "venue" else (fate, None)
        pieces.append(Piece(gap=part, filled_by=filled_by, reason=reason))
    return Repaired(gap=whole, pieces=tuple(pieces))


def told(**fields: int | str | None) -> GapCount:
    return TRADES.model_copy(update=fields)


def test_gaps_named_count_while_no_ledger_is_read() -> None:
    counts = GapCounts()
    counts.name(gap(1, 4))
    counts.name(gap(6, 6))
    counts.fill(gap(6, 6))
    assert counts.list_all() == (told(open=1, filled=1, missing=None),)


def test_gaps_of_a_ledger_count_instead_of_those_named() -> None:
    counts = GapCounts()
    counts.name(gap(1, 4))
    quotes = Gap(ID, "quote", "restart", 1, from_ts=5, to_ts=9)
    counts.recount_open([gap(10, 13), gap(20, 49), gap(7, 9, "book"), quotes])
    # The numbers of a book are no rows, and times are no numbers.
    others = [told(channel=name, open=1) for name in ("book", "quote")]
    assert counts.list_all() == (*others, told(open=2, missing=34))
    counts.repair(repaired(gap(10, 13), "rest", None, "venue", "rest"))
    assert counts.list_all()[-1] == told(open=2, filled=2, unfillable=1, missing=32)
    counts.recount_open(None)
    assert counts.list_all() == (told(filled=2, unfillable=1, missing=None),)


def test_gaps_settled_before_or_by_others_are_counted_once() -> None:
    counts = GapCounts()
    counts.recount_open([gap(10, 12), gap(14, 16)])
    counts.repair(repaired(gap(10, 12), "rest", "rest", "venue"))
    quotes = SettledGaps(given_up=3)
    counts.recount_settled({(ID, "trade"): SettledGaps(7, 1, 1), (ID, "quote"): quotes})
    assert counts.list_all() == (
        told(channel="quote", unfillable=3),
        told(open=1, filled=7, unfillable=1, missing=4),
    )
    counts.repair(repaired(gap(14, 16), "rest", "venue", "venue"))
    after = told(filled=8, unfillable=3, missing=3)
    assert counts.list_all()[1] == after
    # Rows that retention has dropped are no longer counted.
    counts.recount_settled({(ID, "trade"): SettledGaps(8, 3, 3)})
    assert counts.list_all() == (after,)


def test_repair_of_a_gap_not_seen_open_leaves_others_alone() -> None:
    counts = GapCounts()
    counts.recount_open([])
    counts.repair(repaired(gap(1, 2), "rest", "rest"))
    assert counts.list_all() == (told(filled=2),)
