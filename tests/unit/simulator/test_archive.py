import hashlib
import io
import zipfile

import pytest

from feedplane_simulator.archive import (
    checksum_line,
    damage,
    header_of,
    pack,
    parse_name,
    published_ms,
    punch,
    render_klines,
    render_trades,
)
from feedplane_simulator.bars import Bar
from feedplane_simulator.config import Market
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.payloads import AggregateTrade

BITCOIN = build_instruments(Market.SPOT, 1)[0]
DAY = "2026-11-20"
DAY_START_MS = 1_795_132_800_000


@pytest.mark.parametrize(
    ("market", "path"),
    [
        (Market.SPOT, f"spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{DAY}.zip"),
        (Market.SPOT, "spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2026-10.zip"),
        (Market.SPOT, f"spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{DAY}.zip"),
        (Market.USDM, f"futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{DAY}.zip"),
    ],
)
def test_name_of_a_file_that_exists_is_read(market: Market, path: str) -> None:
    name = parse_name(market, path)
    assert name is not None
    assert name.symbol == "BTCUSDT"
    assert name.monthly == ("monthly" in path)


@pytest.mark.parametrize(
    "path",
    [
        f"futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{DAY}.zip",
        f"spot/daily/klines/BTCUSDT/1w/BTCUSDT-1w-{DAY}.zip",
        f"spot/daily/klines/BTCUSDT/5m/BTCUSDT-1m-{DAY}.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-13-40.zip",
        f"spot/daily/metrics/BTCUSDT/BTCUSDT-metrics-{DAY}.zip",
    ],
)
def test_name_of_no_spot_file_is_refused(path: str) -> None:
    assert parse_name(Market.SPOT, path) is None


def test_file_of_a_month_appears_on_its_first_monday() -> None:
    name = parse_name(Market.SPOT, "spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-10.zip")
    assert name is not None
    assert published_ms(name, 0) == 1_793_577_600_000  # 2026-11-02, a Monday
    assert published_ms(name, -1) == name.start_ms


def test_times_of_spot_change_to_microseconds_in_2025() -> None:
    before, after = 1_735_689_540_000, 1_735_689_600_000
    bars = [Bar(at, at + 59_999, 1, 2, 1, 2) for at in (before, after)]
    first, second = render_klines(Market.SPOT, BITCOIN, bars).splitlines()
    assert first.startswith("1735689540000,")
    assert second.startswith("1735689600000000,")
    assert second.split(",")[6] == "1735689659999999"


def test_trades_of_the_markets_are_written_differently() -> None:
    trade = AggregateTrade(12, 6_123_450, 5, 20, 22, DAY_START_MS, True)
    spot = render_trades(Market.SPOT, BITCOIN, [trade])
    usdm = render_trades(Market.USDM, BITCOIN, [trade])
    assert spot == f"12,61234.50000000,0.00005000,20,22,{DAY_START_MS}012,True,True\n"
    assert usdm == f"12,61234.50000000,0.00005000,20,22,{DAY_START_MS},true\n"


def test_header_stands_in_newer_futures_files_only() -> None:
    new = parse_name(Market.USDM, f"futures/um/daily/klines/B/1m/B-1m-{DAY}.zip")
    old = parse_name(Market.USDM, "futures/um/daily/klines/B/1m/B-1m-2022-05-31.zip")
    spot = parse_name(Market.SPOT, f"spot/daily/klines/B/1m/B-1m-{DAY}.zip")
    assert new is not None
    assert old is not None
    assert spot is not None
    assert header_of(Market.USDM, new).startswith("open_time,")
    assert header_of(Market.USDM, old) == header_of(Market.SPOT, spot) == ""


def test_packed_file_gives_its_text_back() -> None:
    packed = pack("B-1m-2026-11-20.zip", "1,2\n")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.read("B-1m-2026-11-20.csv") == b"1,2\n"
    digest = hashlib.sha256(packed).hexdigest()
    assert checksum_line("B-1m-2026-11-20.zip", packed) == f"{digest}  B-1m-2026-11-20.zip\n"


def test_damage_keeps_the_length_or_halves_it() -> None:
    packed = pack("a.zip", "1,2\n" * 1000)
    assert damage("", packed) == packed
    assert damage("corrupt", packed) != packed
    assert len(damage("corrupt", packed)) == len(packed)
    assert len(damage("partial", packed)) == len(packed) // 2


def test_punched_file_lacks_its_middle_rows() -> None:
    text = "".join(f"{number}\n" for number in range(40))
    assert punch(text).splitlines() == [str(n) for n in range(40) if not 20 <= n < 30]
