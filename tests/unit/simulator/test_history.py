from feedplane_simulator.history import TradeHistory
from feedplane_simulator.payloads import AggregateTrade


def build_history(count: int, keep: int = 1000) -> tuple[TradeHistory, list[AggregateTrade]]:
    history = TradeHistory(keep)
    trades = [
        AggregateTrade(500 + n, 10 + n, 3, 2 * n, 2 * n + 1, 1000 + n // 3, n % 2 == 0)
        for n in range(count)
    ]
    for each in trades:
        history.add(each)
    return history, trades


def test_history_from_id_returns_what_follows() -> None:
    history, trades = build_history(30)
    assert history.from_id(510, 5) == trades[10:15]
    assert history.from_id(1, 3) == trades[:3]
    assert history.from_id(529, 10) == trades[29:]
    assert history.from_id(530, 10) == []


def test_history_between_includes_both_ends() -> None:
    history, trades = build_history(30)
    assert history.between(1002, 1003, 100) == trades[6:12]
    assert history.between(1002, None, 4) == trades[6:10]
    assert history.between(None, 1003, 4) == trades[8:12]
    assert history.between(None, None, 2) == trades[28:]


def test_history_over_its_bound_forgets_the_oldest() -> None:
    history, trades = build_history(400, keep=100)
    assert len(history) <= 125
    assert history.from_id(trades[-1].aggregate_id, 1) == trades[-1:]
    kept = history.from_id(0, 1000)
    assert kept == trades[-len(kept) :]
