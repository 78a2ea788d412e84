"""Bars read by the column are the bars read by the row, or are left to be."""

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedplane_feeder.adapters.binance_rows import lay_out_bars, parse_bar_lines
from feedplane_feeder.core.columns import BarColumns, read_bars
from feedplane_feeder.core.history import BarRow, HistoryRow

LAYOUT = lay_out_bars("1m")
MINUTE_US = 60_000_000
OPENED = 1_735_689_600_000_000
MICRO = (
    "1735689600000000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1735689659999999,"
    "2240.39860900,13,401.82000000,1669.98121300,0\n"
)
MILLI = MICRO.replace("1735689600000000", "1735689600000").replace(
    "1735689659999999", "1735689659999"
)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)


def decimals(whole_digits: int, least: int) -> st.SearchStrategy[str]:
    """Return decimal text of up to so many digits before the point and eight after it."""
    return st.builds(
        lambda whole, fraction, scale: f"{whole}.{fraction:08d}"[: -(8 - scale) or None].rstrip(
            "."
        ),
        st.integers(least, 10**whole_digits - 1),
        st.integers(0, 10**8 - 1),
        st.integers(0, 8),
    )


prices = decimals(8, 1) | st.sampled_from(("0.00000001", "0.1", "0.35130000"))
volumes = decimals(16, 0)


@st.composite
def lines_of_bars(draw: st.DrawFn) -> str:
    """Draw lines in order of time, in one unit."""
    unit = draw(st.sampled_from((1, 1000)))
    lines = []
    for minute in range(draw(st.integers(1, 5))):
        low, first, last, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)), key=Decimal)
        if draw(st.booleans()):
            first, last = last, first
        opened = OPENED + minute * MINUTE_US
        volume, quote, base, taker = draw(st.tuples(*[volumes] * 4))
        count = draw(st.integers(0, 10**16 - 1))
        fields = (
            *(opened // unit, first, high, low, last, volume, (opened + MINUTE_US - 1) // unit),
            *(quote, count, base, taker, 0),
        )
        lines.append(",".join(map(str, fields)) + "\n")
    return "".join(lines)


def print_rows(bars: BarColumns) -> list[BarRow]:
    """Return bars as the rows they would have been."""
    numbers = bars.numbers

    def value(word: int) -> int:
        return (int(word) & 0xFFFFFFFF) * 10_000 + (int(word) >> 32)

    def text(row: int, number: int) -> str:
        whole = value(numbers.whole[row, number])
        if numbers.beyond is not None:
            whole += value(numbers.beyond[row, number]) * 10**8
        scale = int(numbers.scale[row, number])
        fraction = f"{value(numbers.fraction[row, number]):08d}"
        assert not fraction[scale:].strip("0")
        return f"{whole}.{fraction[:scale]}" if scale else str(whole)

    rows: list[BarRow] = []
    for row in range(len(bars)):
        first, high, low, last, volume, quote, base, taker = (text(row, n) for n in range(8))
        times = int(bars.opened[row]), int(bars.closed[row])
        count = str(bars.trade_count[row])
        rows.append((times[0], first, high, low, last, volume, quote, count, base, taker, times[1]))
    return rows


# A count is a whole number to the table: zeros in front of it are nothing.
def with_plain_count(row: HistoryRow) -> list[str]:
    fields = list(map(str, row))
    return [*fields[:7], str(int(fields[7])), *fields[8:]]


@settings(deadline=None)
@given(lines_of_bars())
@example(MICRO)
@example(MILLI)
def test_plain_bars_are_those_read_row_by_row(lines: str) -> None:
    bars = read_bars(lines.encode(), LAYOUT)
    assert bars is not None
    assert print_rows(bars) == parse_bar_lines(lines.encode(), MINUTE_US).rows


@settings(deadline=None)
@given(lines_of_bars(), st.data())
def test_spoilt_block_is_read_alike_or_left_to_the_rows(lines: str, data: st.DataObject) -> None:
    spoilt = bytearray(lines.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(spoilt) - 1))
        kept = data.draw(st.sampled_from((0, 1, 1, 1)))
        spoilt[place : place + kept] = data.draw(
            st.sampled_from((b"0", b"9", b".", b",", b"\n", b"-", b" ", b"\r", b"x", b"\xff", b""))
        )
    bars = read_bars(bytes(spoilt), LAYOUT)
    if bars is not None:
        parsed = parse_bar_lines(bytes(spoilt), MINUTE_US)
        assert not parsed.refused
        expected = [with_plain_count(row) for row in parsed.rows]
        assert [list(map(str, row)) for row in print_rows(bars)] == expected


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_left_to_the_rows_and_never_raise(block: bytes) -> None:
    assert read_bars(block, LAYOUT) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("4.15870000", "4.00000000", id="high below the low"),
        pytest.param("4.15060000", "0.00000000", id="price of nothing"),
        pytest.param("4.15070000", "04.15070000", id="stray zero"),
        pytest.param("4.15070000", "4.", id="point without digits"),
        pytest.param("4.15070000", ".1", id="digits without a whole part"),
        pytest.param("4.15870000", "123456789.1", id="price of nine digits"),
        pytest.param("539.23000000", "539.230000001", id="nine digits after the point"),
        pytest.param("539.23000000", "12345678901234567", id="seventeen digits"),
        pytest.param("539.23000000", "5.9.23", id="two points"),
        pytest.param("539.23000000", "-539.23", id="negative"),
        pytest.param(",13,", ",1.3,", id="count with a point"),
        pytest.param(",13,", ",,", id="no count"),
        pytest.param("1735689659999999", "1735689559999999", id="closed before it opened"),
        pytest.param("1735689659999999", "1735689660000001", id="longer than its interval"),
        pytest.param("1735689659999999", "1735689659999", id="two units in a line"),
        pytest.param("1735689600000000,", "", id="column missing"),
        pytest.param("\n", "\r\n", id="other line ends"),
        pytest.param("\n", "", id="last line not ended"),
    ],
)
def test_unusual_line_leaves_its_block_to_the_rows(old: str, new: str) -> None:
    assert read_bars((MICRO + MICRO.replace(old, new)).encode(), LAYOUT) is None


def test_bars_out_of_order_are_left_to_the_rows() -> None:
    later = MICRO.replace("17356896", "17356897")
    assert read_bars((MICRO + later).encode(), LAYOUT) is not None
    assert read_bars((later + MICRO).encode(), LAYOUT) is None


def test_header_in_front_is_passed_over() -> None:
    bars = read_bars((HEADER + MILLI).encode(), LAYOUT)
    assert bars is not None
    assert [len(bars), int(bars.opened[0])] == [1, OPENED]


def test_bars_of_spans_are_found_and_kept() -> None:
    lines = "".join(
        MILLI.replace("1735689600000", str(OPENED // 1000 + minute * 60_000)).replace(
            "1735689659999", str(OPENED // 1000 + minute * 60_000 + 59_999)
        )
        for minute in range(10)
    )
    lines = lines.replace("539.23000000", "12345678900.5")
    bars = read_bars(lines.encode(), LAYOUT)
    assert bars is not None
    bounds = [(OPENED + a * MINUTE_US, OPENED + b * MINUTE_US) for a, b in ((-5, 2), (7, 9))]
    spans = bars.find_between(bounds)
    assert spans == [(0, 2), (7, 9)]
    kept = bars.only(spans)
    assert print_rows(kept) == [print_rows(bars)[row] for row in (0, 1, 7, 8)]
    assert bars.only([(0, 10)]) is bars
