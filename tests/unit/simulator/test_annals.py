from feedplane_simulator.annals import Annals
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.sources import GeneratedSource, Window

NOW_MS = 1_763_726_400_000 + 3_600_000
DAY_MS = 86_400_000


def make_source() -> GeneratedSource:
    config = SimulatorConfig(symbols=1, history_days=3, channels=("aggTrade", "kline"))
    source = GeneratedSource(Market.SPOT, config, NOW_MS)
    for second in range(180):
        source.poll(NOW_MS + second * 1000)
        source.step(NOW_MS + second * 1000)
    return source


def make_annals() -> Annals:
    annals = make_source().annals
    assert annals is not None
    return annals


def test_annals_join_past_and_live_trades_without_a_hole() -> None:
    trades = list(make_annals().trades("BTCUSDT", NOW_MS - DAY_MS, NOW_MS + 180_000))
    ids = [trade.aggregate_id for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert ids[0] < 10_000_000 < ids[-1]


def test_annals_by_id_cross_the_start_of_the_tape() -> None:
    found = make_annals().trades_from("BTCUSDT", 9_999_990, 20)
    assert [trade.aggregate_id for trade in found] == list(range(9_999_990, 10_000_010))


def test_annals_hold_every_minute_that_is_over_once() -> None:
    bars = make_annals().bars("BTCUSDT", "1m", NOW_MS - DAY_MS, NOW_MS + 120_000)
    opens = [bar.open_ms for bar in bars]
    assert opens == list(range(NOW_MS - DAY_MS, NOW_MS + 120_000, 60_000))


def test_rest_answers_bars_of_the_past_as_the_annals_have_them() -> None:
    source, start_ms = make_source(), NOW_MS - DAY_MS
    window = Window(limit=1000, start_ms=start_ms, end_ms=start_ms + 3_599_999)
    rows = source.klines("BTCUSDT", "1m", window)
    assert source.annals is not None
    bars = source.annals.bars("BTCUSDT", "1m", start_ms, start_ms + 3_600_000)
    assert [row[0] for row in rows] == [bar.open_ms for bar in bars]
    assert len(rows) == 60
    hours = source.klines("BTCUSDT", "1h", Window(limit=5, start_ms=start_ms))
    assert hours[0][0] == start_ms
    assert len(hours) == 5


def test_rest_answers_the_first_bar_ever_from_time_zero() -> None:
    source = make_source()
    (first,) = source.klines("BTCUSDT", "1m", Window(limit=1, start_ms=0))
    assert source.annals is not None
    assert first[0] == source.annals.listed_ms("BTCUSDT")


def test_market_without_history_days_has_no_listing() -> None:
    source = GeneratedSource(Market.SPOT, SimulatorConfig(symbols=1), NOW_MS)
    assert source.annals is not None
    assert source.annals.listed_ms("BTCUSDT") is None
    assert list(source.annals.metrics("BTCUSDT", 0, NOW_MS)) == []
