from feedplane_simulator.config import Market
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.past import DAY_MS, MINUTE_MS, Origin, Past, month_of

START_MS = 1_763_726_400_000 + 13 * 3_600_000 + 123
BITCOIN = build_instruments(Market.SPOT, 1)[0]


def make_past(*, seed: int = 7, days: int = 10) -> Past:
    origin = Origin(start_ms=START_MS, next_aggregate_id=10_000_000, next_trade_id=20_000_000)
    return Past(Market.SPOT, BITCOIN, origin, seed=seed, days=days, trades_a_minute=4)


def test_past_trades_end_right_before_the_first_live_id() -> None:
    trades = list(make_past().trades(START_MS - 2 * DAY_MS, START_MS))
    ids = [trade.aggregate_id for trade in trades]
    assert ids == list(range(10_000_000 - len(ids), 10_000_000))
    assert [trade.time_ms for trade in trades] == sorted(trade.time_ms for trade in trades)


def test_past_windows_cut_differently_hold_the_same_trades() -> None:
    past = make_past()
    whole = list(past.trades(START_MS - DAY_MS, START_MS))
    middle = START_MS - DAY_MS // 3
    parts = [*past.trades(START_MS - DAY_MS, middle), *past.trades(middle, START_MS)]
    assert parts == whole


def test_past_by_id_gives_what_time_gives() -> None:
    past = make_past()
    expected = [t for t in past.trades(0, START_MS) if t.aggregate_id >= 9_990_000][:500]
    assert past.from_id(9_990_000, 500) == expected
    assert past.from_id(10_000_000, 500) == []


def test_past_minutes_add_up_their_trades() -> None:
    past = make_past()
    open_ms = START_MS // DAY_MS * DAY_MS - 90 * MINUTE_MS
    (bar,) = past.minutes(open_ms, open_ms + MINUTE_MS)
    trades = list(past.trades(open_ms, open_ms + MINUTE_MS))
    assert (bar.open, bar.close) == (trades[0].price, trades[-1].price)
    assert bar.lots == sum(trade.lots for trade in trades)
    assert (bar.first_id, bar.last_id) == (trades[0].first_id, trades[-1].last_id)


def test_past_of_another_seed_has_other_prices() -> None:
    window = (START_MS - DAY_MS, START_MS)
    assert make_past().minutes(*window) != make_past(seed=8).minutes(*window)


def test_past_before_the_listing_is_empty() -> None:
    past = make_past(days=3)
    assert past.minutes(0, past.listed_ms) == []
    assert past.minutes(past.listed_ms, past.listed_ms + MINUTE_MS) != []


def test_month_of_december_ends_with_the_year() -> None:
    assert month_of(1_735_600_000_000) == (1_733_011_200_000, 1_735_689_600_000)
