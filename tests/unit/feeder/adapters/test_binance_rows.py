import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_feeder.adapters.binance_rows import (
    build_bar,
    parse_bar_lines,
    parse_metric_lines,
    parse_trade_lines,
)
from feedplane_feeder.core.history import without_header
from feedplane_feeder.errors import ImpossibleValueError

MINUTE_US = 60_000_000
MICRO = (
    b"1735689600000000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1735689659999999,"
    b"2240.39860900,13,401.82000000,1669.98121300,0\n"
)
MILLI = MICRO.replace(b"1735689600000000", b"1735689600000").replace(
    b"1735689659999999", b"1735689659999"
)


def test_bar_in_either_unit_opens_at_the_same_time() -> None:
    micro = build_bar(MICRO.decode().split(","), MINUTE_US)
    milli = build_bar(MILLI.decode().split(","), MINUTE_US)
    assert parse_bar_lines(MICRO + MILLI, MINUTE_US).rows == [micro, milli]
    assert micro[:10] == milli[:10]
    assert (micro[0], micro[1], micro[7]) == (1_735_689_600_000_000, "4.15070000", "13")
    assert (micro[10], milli[10]) == (1_735_689_659_999_999, 1_735_689_659_999_000)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"4.15870000", b"4.00000000", "ImpossibleRange"),
        (b"4.15060000", b"0.00000000", "ZeroPrice"),
        (b"539.23000000", b"-539.2300000", "Negative"),
        (b"539.23000000", b"539.2.300000", "NotDecimal"),
        (b"539.23000000", b"nan", "NotDecimal"),
        (b"4.15070000", b"1e1", "NotDecimal"),
        (b"1735689659999999", b"1735689559999999", "ImpossibleTime"),
        (b"1735689600000000", b"17356896000000000", "ImpossibleTime"),
        (b",13,", b",x,", "NotDecimal"),
        (b"1735689600000000,", b"", "MalformedRow"),
    ],
)
def test_bar_that_cannot_be_true_is_refused_with_the_reason(
    old: bytes, new: bytes, reason: str
) -> None:
    parsed = parse_bar_lines(MILLI + MICRO.replace(old, new), MINUTE_US)
    assert len(parsed.rows) == 1
    assert [why for why, _ in parsed.refused] == [reason]


def test_line_in_doubt_beside_it_does_not_cost_a_good_one() -> None:
    parsed = parse_bar_lines(MICRO + b"garbage \xff\n" + MICRO, MINUTE_US)
    assert len(parsed.rows) == 2
    assert parsed.refused[0][0] == "MalformedRow"


def test_trade_times_are_cut_to_the_milliseconds_of_the_tape() -> None:
    spot = b"12,61234.50,0.00005000,20,22,1795132800000012,True,True\n"
    usdm = b"12,61234.50,0.00005000,20,22,1795132800000,true\n"
    expected = (1_795_132_800_000_000, 12, "20", "22", "S", "61234.50", "0.00005000")
    assert parse_trade_lines(spot).rows == parse_trade_lines(usdm).rows == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"12,0.0,0.1,20,22,1795132800000,true\n", "ZeroPrice"),
        (b"12,1.0,0.0,20,22,1795132800000,true\n", "ZeroSize"),
        (b"12,1.0,1.0,20,22,1795132800000,maybe\n", "MalformedRow"),
        (b"12,1.0,1.0,23,22,17951,true\n", "ImpossibleTime"),
        (b"-1,1.0,1.0,20,22,1795132800000,true\n", "ImpossibleRange"),
    ],
)
def test_trade_that_cannot_be_true_is_refused(line: bytes, reason: str) -> None:
    parsed = parse_trade_lines(line)
    assert (parsed.rows, parsed.refused[0][0]) == ([], reason)


def test_metrics_of_a_line_are_six_values_and_empty_ones_none() -> None:
    line = b'"2026-11-20 00:05:00",BTCUSDT,20403.637,150570784.07,1.4,1.6,,1.55\n'
    parsed = parse_metric_lines(line)
    assert [row[1] for row in parsed.rows] == [
        "open_interest",
        "open_interest_value",
        "top_trader_account_ratio",
        "top_trader_position_ratio",
        "taker_volume_ratio",
    ]
    assert parsed.rows[0][0] == 1_795_133_100_000_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"yesterday,BTCUSDT,1,1,1,1,1,1\n", "MalformedRow"),
        (b"2026-11-20 00:05:00,BTCUSDT,1,1,1\n", "MalformedRow"),
        (b"2026-11-20 00:05:00,BTCUSDT,-1,1,1,1,1,1\n", "Negative"),
    ],
)
def test_metrics_that_cannot_be_true_are_refused(line: bytes, reason: str) -> None:
    assert parse_metric_lines(line).refused[0][0] == reason


def test_bar_of_a_page_may_be_all_text() -> None:
    fields = MILLI.decode().strip().split(",")
    assert build_bar(fields, MINUTE_US)[0] == 1_735_689_600_000_000
    with pytest.raises(ImpossibleValueError):
        build_bar([*fields[:6], "1", *fields[7:]], MINUTE_US)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_read_and_never_raise(data: bytes) -> None:
    for parse in (lambda b: parse_bar_lines(b, MINUTE_US), parse_trade_lines, parse_metric_lines):
        parsed = parse(without_header(data))
        assert len(parsed.rows) <= 6 * (data.count(b"\n") + 1)
