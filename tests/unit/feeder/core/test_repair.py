from collections.abc import Sequence
from dataclasses import replace as replace_fields

import pytest

from feedplane_feeder.core.evidence import Piece, Repaired
from feedplane_feeder.core.repair import (
    CONTESTED_NS,
    LONGEST_PAUSE_NS,
    MOST_TRIES,
    SECOND_NS,
    SETTLE_NS,
    Ask,
    Cost,
    Repairs,
    pause_seconds,
    select_manual,
)
from feedplane_feeder.records import Gap

NOW = 1_800_000_000 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
COSTS = {"trade": Cost(1_000, 4), "bar-1m": Cost(500, 2), "metric": Cost(500, 1)}


def make_repairs() -> Repairs:
    repairs = Repairs(COSTS.get)
    repairs.largest_weight = 400
    return repairs


def trades(first: int, last: int, *, instrument: str = "A.VENUE", age_seconds: int = 1) -> Gap:
    found = NOW - age_seconds * SECOND_NS
    return Gap(instrument, "trade", "sequence", found, from_id=first, to_id=last)


def bars(first: int, last: int) -> Gap:
    times = (first * MINUTE_NS, last * MINUTE_NS)
    return Gap("A.VENUE", "bar-1m", "stale", NOW - SECOND_NS, from_ts=times[0], to_ts=times[1])


def quotes(age_seconds: int) -> Gap:
    found = NOW - age_seconds * SECOND_NS
    return Gap("A.VENUE", "quote", "stale", found, from_ts=found - 9, to_ts=found)


def spans(asks: Sequence[Ask]) -> list[tuple[int, int] | None]:
    return [ask.ids for ask in asks]


def test_neighbours_are_asked_for_in_one_question() -> None:
    gaps = [trades(10, 12), trades(500, 500), trades(1_007, 1_007), trades(1_008, 1_009)]
    plan = make_repairs().plan(gaps, NOW)
    assert spans(plan.asks) == [(10, 1_007), (1_008, 1_009)]
    assert [ask.weight for ask in plan.asks] == [4, 4]


def test_gaps_of_two_instruments_stay_apart_and_oldest_goes_first() -> None:
    gaps = [trades(1, 2), trades(3, 4, instrument="B.VENUE", age_seconds=5)]
    plan = make_repairs().plan(gaps, NOW)
    assert [ask.instrument_id for ask in plan.asks] == ["B.VENUE", "A.VENUE"]


def test_overlapping_gaps_reach_to_the_farthest_end() -> None:
    plan = make_repairs().plan([trades(10, 90), trades(20, 30)], NOW)
    assert spans(plan.asks) == [(10, 90)]


def test_neighbouring_bars_are_asked_for_with_one_more_each_side() -> None:
    (ask,) = make_repairs().plan([bars(20, 21), bars(10, 10)], NOW).asks
    assert ask.times == (9 * MINUTE_NS, 23 * MINUTE_NS)
    assert ask.ids is None
    assert ask.channel == "bar-1m"


def test_bars_too_far_apart_are_two_questions() -> None:
    assert len(make_repairs().plan([bars(1, 1), bars(900, 900)], NOW).asks) == 2


def test_trades_without_numbers_are_asked_for_by_time_alone() -> None:
    gap = Gap("A.VENUE", "trade", "stale", NOW, from_ts=5, to_ts=9)
    other = replace_gap(gap, 20)
    plan = make_repairs().plan([gap, other], NOW)
    assert [(ask.times, ask.weight) for ask in plan.asks] == [((5, 10), 4), ((20, 25), 4)]


def replace_gap(gap: Gap, at: int) -> Gap:
    return Gap(gap.instrument_id, gap.channel, gap.cause, NOW, from_ts=at, to_ts=at + 4)


def test_what_has_no_past_is_given_up_after_a_while() -> None:
    repairs = make_repairs()
    young, old = quotes(5), quotes(15)
    plan = repairs.plan([young, old], NOW)
    assert plan.unfillable == [(old, "venue-has-no-history")]
    assert plan.again_ns == young.detected_at + SETTLE_NS
    assert plan.asks == []


def test_another_line_has_its_time_before_history_is_asked() -> None:
    repairs = make_repairs()
    repairs.contested = True
    gap = trades(1, 2, age_seconds=1)
    plan = repairs.plan([gap], NOW)
    assert (plan.asks, plan.again_ns) == ([], gap.detected_at + CONTESTED_NS)
    assert len(repairs.plan([gap], NOW + 4 * SECOND_NS).asks) == 1


@pytest.mark.parametrize(
    ("gap", "large"),
    [
        pytest.param(trades(1, 100_000), False, id="just fits"),
        pytest.param(trades(1, 100_001), True, id="one too many"),
        pytest.param(bars(1, 100_001), True, id="years of bars"),
        pytest.param(
            Gap("A.VENUE", "trade", "restart", NOW, from_ts=0, to_ts=NOW), True, id="time"
        ),
    ],
)
def test_what_takes_too_much_is_left_to_a_backfill(gap: Gap, large: bool) -> None:
    plan = make_repairs().plan([gap], NOW)
    assert (plan.large == [gap]) is large
    assert (plan.asks == []) is large


def test_gap_that_a_person_fills_is_left_alone() -> None:
    repairs = make_repairs()
    repairs.manual = select_manual({"A": ["trade"]}, lambda symbol: f"{symbol}.VENUE")
    plan = repairs.plan([trades(1, 2), quotes(99), trades(1, 2, instrument="B.VENUE")], NOW)
    assert [ask.instrument_id for ask in plan.asks] == ["B.VENUE"]
    assert plan.left_count == 1


def test_gap_without_answer_is_asked_again_later_and_later() -> None:
    repairs = make_repairs()
    gap, now, pauses = trades(1, 2), NOW, []
    for _ in range(MOST_TRIES):
        (ask,) = repairs.plan([gap], now).asks
        repairs.failed(ask, now)
        again = repairs.plan([gap], now).again_ns
        if again is not None:
            pauses.append(again - now)
            now = again
    assert pauses[:3] == [SECOND_NS, 2 * SECOND_NS, 4 * SECOND_NS]
    assert max(pauses) <= LONGEST_PAUSE_NS
    assert repairs.plan([gap], now + LONGEST_PAUSE_NS).large == [gap]


def test_hole_of_the_venue_is_believed_at_the_second_look() -> None:
    repairs = make_repairs()
    gap = trades(1, 9)
    repairs.plan([gap], NOW)
    assert not repairs.proves(gap)
    rest = Gap("A.VENUE", "trade", "sequence", gap.detected_at, from_id=5, to_id=9)
    pieces = (Piece(gap=trades(1, 4), filled_by="rest"), Piece(gap=rest))
    repairs.note([Repaired(gap=gap, pieces=pieces)], NOW)
    assert repairs.plan([rest], NOW).asks == []
    assert repairs.proves(rest)
    repairs.note([Repaired(gap=rest, pieces=(Piece(gap=rest, reason="venue"),))], NOW)
    assert not repairs.proves(rest)


def test_gap_gone_from_the_ledger_is_forgotten() -> None:
    repairs = make_repairs()
    gap = trades(1, 2)
    (ask,) = repairs.plan([gap], NOW).asks
    repairs.failed(ask, NOW)
    repairs.plan([], NOW)
    assert len(repairs.plan([gap], NOW).asks) == 1
    assert replace_fields(ask, weight=1).gaps == (gap,)


@pytest.mark.parametrize(
    ("used", "weight", "seconds"),
    [
        pytest.param(400, 100, 0.0, id="first half"),
        pytest.param(600, 100, 7.5, id="spread over the rest"),
        pytest.param(600, 0, 0.0, id="nothing asked"),
        pytest.param(1_200, 100, 30.0, id="spent"),
    ],
)
def test_second_half_of_a_budget_is_spread_over_its_minute(
    used: int, weight: int, seconds: float
) -> None:
    assert pause_seconds(used, 1_000, weight, 30.0) == seconds
