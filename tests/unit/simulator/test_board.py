"""Boards of quotes and the klines of shares are the same each time."""

from datetime import date

from feedplane_simulator.board import Board
from feedplane_simulator.eastmoney import build_klines, build_symbols, market_of
from feedplane_simulator.fushu import build_symbols as build_hong_kong


def test_board_moves_the_same_way_from_one_seed() -> None:
    first, second = (Board(["A", "B"], 7, decimals=2, lot=100) for _ in range(2))
    steps = [(first.step(at), second.step(at)) for at in range(50)]
    assert all(one == other for one, other in steps)


def test_line_keeps_its_day_in_order() -> None:
    board = Board(["A"], 7, decimals=3, lot=1)
    volume = 0
    for at in range(200):
        line = board.step(at)
        assert line.low <= line.last <= line.high
        assert line.bids[0][0] < line.asks[0][0]
        assert line.volume > volume
        volume = line.volume
    assert line.changes == 200


def test_listed_line_joins_the_board() -> None:
    board = Board(["A"], 7, decimals=2, lot=100)
    board.list_line("B", 2, 100)
    board.lines["B"].trading = False
    board.list_line("B", 2, 100)
    assert board.lines["B"].trading
    assert {board.step(at).symbol for at in range(50)} == {"A", "B"}


def test_klines_are_those_of_trading_days_and_hours() -> None:
    wednesday = date(2024, 12, 18)
    assert build_klines("600519", wednesday, "1") == build_klines("600519", wednesday, "1")
    labels = [row.split(",")[0] for row in build_klines("600519", wednesday, "5")]
    assert (labels[0], labels[23], labels[24], labels[-1]) == (
        "2024-12-18 09:35",
        "2024-12-18 11:30",
        "2024-12-18 13:05",
        "2024-12-18 15:00",
    )
    assert build_klines("600519", date(2024, 12, 21), "101") == []


def test_symbols_are_codes_of_their_places() -> None:
    shares, hong_kong = build_symbols(8_000), build_hong_kong(3_000)
    assert (len(set(shares)), len(set(hong_kong))) == (8_000, 3_000)
    assert {len(code) for code in shares} == {6}
    assert {len(code) for code in hong_kong} == {5}
    assert (market_of("600519"), market_of("000001")) == (1, 0)
