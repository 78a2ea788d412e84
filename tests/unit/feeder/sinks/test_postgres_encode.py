"""Rows of binary COPY: read back field by field, they are what went in."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_sinks import (
    INSTRUMENT,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_snapshot,
    make_trade,
)

from feedplane_feeder.records import Metric
from feedplane_feeder.sinks.postgres_encode import RowEncoder, encode_text, microseconds
from feedplane_feeder.sinks.postgres_numeric import UnprintableNumberError, encode_numeric
from feedplane_feeder.sinks.postgres_schema import (
    BARS,
    BOOK_DELTAS,
    METRICS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    Table,
)

TYPES = {"bigint": ">q", "timestamptz": ">q", "boolean": ">?", "date": ">i"}


def read_rows(table: Table, data: bytes) -> list[dict[str, object]]:
    rows = []
    offset = 0
    while offset < len(data):
        (count,) = struct.unpack_from(">h", data, offset)
        assert count == len(table.columns)
        offset += 2
        row: dict[str, object] = {}
        for name, kind in table.columns:
            (length,) = struct.unpack_from(">i", data, offset)
            field = data[offset + 4 : offset + 4 + max(0, length)]
            offset += 4 + max(0, length)
            row[name] = None if length < 0 else read_field(kind, field)
        rows.append(row)
    return rows


def read_field(kind: str, field: bytes) -> object:
    if kind == "text":
        return field.decode()
    if kind == "jsonb":
        assert field[:1] == b"\x01"
        return field[1:]
    if kind == "numeric":
        return field
    return struct.unpack(TYPES[kind], field)[0]


def number(text: str) -> bytes:
    return encode_numeric(text)[4:]


@given(
    st.integers(0, 2**62),
    st.one_of(st.none(), st.integers(0, 2**62)),
    st.sampled_from(["B", "S", "N"]),
)
def test_encode_trades_gives_back_every_column(
    trade_id: int, first_id: int | None, side: str
) -> None:
    trade = make_trade(1, first_id=first_id)
    trade = type(trade)(
        instrument_id=INSTRUMENT,
        ts_event=START_NS + 1_999,
        ts_recv=START_NS + 2_000,
        trade_id=trade_id,
        price="0.35130000",
        size="6195",
        aggressor_side=side,
        first_id=first_id,
        last_id=7,
    )
    rows = read_rows(TRADES, RowEncoder().trades([trade, trade]))
    assert rows[0] == rows[1]
    assert rows[0] == {
        "instrument_id": INSTRUMENT,
        "ts_event": microseconds(START_NS) + 1,
        "ts_recv": microseconds(START_NS) + 2,
        "trade_id": trade_id,
        "first_id": first_id,
        "last_id": 7,
        "aggressor_side": side,
        "price": number("0.35130000"),
        "size": number("6195"),
    }


def test_encode_quotes_gives_back_every_column() -> None:
    (row,) = read_rows(QUOTES, RowEncoder().quotes([make_quote(5)]))
    assert row["sequence"] == 5
    assert row["ask_size"] == number("3199.00000000")
    assert row["bid_price"] == number("0.35210000")


def test_encode_bars_gives_back_every_column() -> None:
    (row,) = read_rows(BARS, RowEncoder().bars([make_bar(2, final=True, close="1.50")]))
    assert row["interval"] == "1m"
    assert row["final"] is True
    assert row["close"] == number("1.50")
    assert row["trade_count"] == 48
    assert row["ts_open"] == microseconds(make_bar(2).ts_open)
    assert row["taker_buy_quote_volume"] == number("0.00000000")


@pytest.mark.parametrize("previous", [None, 3])
def test_encode_book_deltas_keeps_levels_as_printed(previous: int | None) -> None:
    delta = make_delta(4, 9, previous=previous, snapshot=previous is None)
    (row,) = read_rows(BOOK_DELTAS, RowEncoder().book_deltas([delta]))
    assert row["bids"] == b'[["0.35130000","6195.00000000"]]'
    assert row["asks"] == b"[]"
    assert (row["first_id"], row["last_id"], row["previous_last_id"]) == (4, 9, previous)
    assert row["snapshot"] is (previous is None)


def test_encode_snapshots_leaves_open_what_is_open() -> None:
    (row,) = read_rows(SNAPSHOTS, RowEncoder().snapshots([make_snapshot(3)]))
    assert (row["volume"], row["last_price"], row["open"]) == (3, number("3101.5"), None)
    assert row["trading_day"] == 9413
    assert (row["bids"], row["asks"]) == (b'[["3099","7"]]', b"[]")


def test_encode_metrics_gives_back_every_column() -> None:
    metric = Metric(INSTRUMENT, "funding", START_NS, START_NS, "-0.00010000")
    (row,) = read_rows(METRICS, RowEncoder().metrics([metric]))
    assert (row["name"], row["value"]) == ("funding", number("-0.00010000"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"price": "1e5"}, UnprintableNumberError, id="exponent"),
        pytest.param({"size": "-0"}, UnprintableNumberError, id="negative zero"),
        pytest.param({"trade_id": 2**63}, struct.error, id="id too large"),
        pytest.param({"aggressor_side": "X"}, KeyError, id="unknown side"),
    ],
)
def test_encode_trades_refuses_what_no_column_holds(
    change: dict[str, object], error: type[Exception]
) -> None:
    values = {name: getattr(make_trade(1), name) for name in make_trade(1).__struct_fields__}
    with pytest.raises(error):
        RowEncoder().trades([type(make_trade(1))(**{**values, **change})])


def test_encode_text_replaces_what_a_column_cannot_hold() -> None:
    assert encode_text("a\x00\ud800b")[4:].decode() == "a\ufffd?b"
