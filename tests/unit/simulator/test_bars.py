from feedplane_simulator.bars import Bar, BarSeries, BarTrade, merge_bars

START = 600_000


def trade(price: int, lots: int, first_id: int, *, buys: bool = True, fills: int = 1) -> BarTrade:
    return BarTrade(
        price=price,
        lots=lots,
        first_id=first_id,
        last_id=first_id + fills - 1,
        taker_buys=buys,
    )


def test_trades_of_a_minute_become_its_bar() -> None:
    series = BarSeries(60_000, 100, START + 5)
    for each in (trade(105, 2, 1), trade(95, 3, 2, buys=False, fills=2), trade(101, 1, 4)):
        series.add(each)
    assert series.roll(START + 59_999) == []
    [bar] = series.roll(START + 60_000)
    assert bar == Bar(
        START,
        START + 59_999,
        105,
        105,
        95,
        101,
        first_id=1,
        last_id=4,
        lots=6,
        amount=105 * 2 + 95 * 3 + 101,
        count=4,
        taker_lots=3,
        taker_amount=311,
    )


def test_minute_without_trades_closes_flat() -> None:
    series = BarSeries(60_000, 100, START)
    series.add(trade(105, 2, 1))
    _, empty = series.roll(START + 120_000)
    assert empty == Bar(START + 60_000, START + 119_999, 105, 105, 105, 105)
    assert [bar.open_ms for bar in series.closed] == [START, START + 60_000]


def test_seeded_series_counts_the_minutes_before_it() -> None:
    minutes = BarSeries(60_000, 100, START)
    for number in range(20):
        minutes.roll(START + number * 10_000)
        minutes.add(trade(100 + number, 1, number))
    late = BarSeries(300_000, 100, START + 190_000)
    late.seed([*minutes.closed, minutes.current])
    assert [late.current] == merge_bars([*minutes.closed, minutes.current], 300_000)
    assert late.current.count == 20


def test_merged_minutes_equal_the_coarser_series() -> None:
    minutes, five = BarSeries(60_000, 100, START), BarSeries(300_000, 100, START)
    for number in range(40):
        at = START + number * 7_000
        for series in (minutes, five):
            series.roll(at)
            series.add(trade(100 + number % 7, 1 + number, number, buys=number % 2 == 0))
    assert merge_bars([*minutes.closed, minutes.current], 300_000) == [
        *five.closed,
        five.current,
    ]
