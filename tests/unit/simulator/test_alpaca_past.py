from datetime import UTC, datetime, timedelta

from feedplane_simulator.alpaca_past import MINUTES, TRADES_A_MINUTE, past_bars, past_trades

THURSDAY = datetime(2026, 11, 19, tzinfo=UTC)
DAY = timedelta(days=1)


def test_past_of_a_day_is_the_same_in_parts() -> None:
    whole = list(past_trades(3, "AAPL", THURSDAY, THURSDAY + DAY))
    noon = THURSDAY + timedelta(hours=18, seconds=25)
    parts = [
        *past_trades(3, "AAPL", THURSDAY, noon),
        *past_trades(3, "AAPL", noon, THURSDAY + DAY),
    ]
    assert parts == whole
    assert len(whole) == MINUTES * TRADES_A_MINUTE
    assert len({row["i"] for row in whole}) == len(whole)


def test_minutes_of_the_past_are_those_of_its_trades() -> None:
    trades = list(past_trades(3, "AAPL", THURSDAY, THURSDAY + DAY))
    bars = list(past_bars(3, "AAPL", THURSDAY, THURSDAY + DAY))
    assert len(bars) == MINUTES
    for bar in bars:
        minute = bar["t"].rpartition(":")[0]
        inside = [row for row in trades if row["t"].startswith(minute)]
        prices = [row["p"] for row in inside]
        assert (bar["o"], bar["c"]) == (prices[0], prices[-1])
        assert (bar["h"], bar["l"]) == (max(prices), min(prices))
        assert (bar["v"], bar["n"]) == (sum(row["s"] for row in inside), len(inside))


def test_past_has_no_trades_at_weekends() -> None:
    saturday = THURSDAY + 2 * DAY
    assert list(past_trades(3, "AAPL", saturday, saturday + 2 * DAY)) == []
