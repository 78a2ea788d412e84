"""Bars of a block as rows of binary COPY: every column, digit for digit."""

import struct
from collections.abc import Iterator

from numerics import print_numeric

from feedplane_feeder.adapters.binance_rows import lay_out_bars
from feedplane_feeder.core.columns import read_bars
from feedplane_feeder.sinks.postgres_columns import NUMBERS, encode_bars
from feedplane_feeder.sinks.postgres_encode import EPOCH_MICROSECONDS
from feedplane_feeder.sinks.postgres_text import COLUMNS

OPENED = 1_735_689_600_000_000
LINES = (
    f"{OPENED},4.15070000,4.15870000,4.15060000,4.15540000,{{volume}},{OPENED + 59_999_999},"
    "2240.398,13,0,1669.98121300,0\n"
)
TEXTS = ("4.15070000", "4.15870000", "4.15060000", "4.15540000")


def read_rows(data: bytes) -> Iterator[dict[str, bytes]]:
    """Yield columns of rows, each with its length in front."""
    place = 0
    while place < len(data):
        (count,) = struct.unpack_from(">h", data, place)
        place += 2
        row = {}
        for name in COLUMNS["bar"][:count]:
            (length,) = struct.unpack_from(">i", data, place)
            row[name] = data[place : place + 4 + length]
            place += 4 + length
        yield row


def encode(volume: str, lines: int = 1) -> list[dict[str, bytes]]:
    """Return the rows of lines with this volume."""
    block = LINES.format(volume=volume).encode() * lines
    bars = read_bars(block, lay_out_bars("1m"))
    assert bars is not None
    rendered = encode_bars("bar-1m", "BTCUSDT.BINANCE-SPOT", bars, OPENED + 5)
    assert rendered.form == "binary"
    return list(read_rows(rendered.data))


def test_every_column_of_a_row_is_the_venue_s_own() -> None:
    first, second = encode("539.23000000", lines=2)
    assert first == second
    assert tuple(first) == COLUMNS["bar"]
    assert first["instrument_id"][4:] == b"BTCUSDT.BINANCE-SPOT"
    assert first["interval"][4:] == b"1m"
    assert first["final"] == b"\0\0\0\1\1"
    for name, time in (("ts_recv", 5), ("ts_open", 0), ("ts_event", 59_999_999)):
        assert struct.unpack(">iq", first[name]) == (8, OPENED - EPOCH_MICROSECONDS + time)
    assert struct.unpack(">iq", first["trade_count"]) == (8, 13)
    numbers = [print_numeric(first[name]) for name in NUMBERS]
    assert numbers == [*TEXTS, "539.23000000", "2240.398", "0", "1669.98121300"]


def test_number_beyond_eight_digits_widens_the_rows_of_its_block() -> None:
    (row,) = encode("1234567890123456.5")
    assert print_numeric(row["volume"]) == "1234567890123456.5"
    assert [print_numeric(row[name]) for name in NUMBERS[:4]] == list(TEXTS)
    (narrow,) = encode("12345678.5")
    assert print_numeric(narrow["volume"]) == "12345678.5"
    assert len(narrow["volume"]) < len(row["volume"])
