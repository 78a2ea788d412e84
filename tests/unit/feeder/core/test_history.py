import pytest

from feedplane_feeder.core.history import NO_ID, HistoryRow, build_records, without_header
from feedplane_feeder.records import Bar, Metric, Record, Trade

ID = "BTCUSDT.VENUE"
BAR: HistoryRow = (60_000_000, "1", "3", "1", "2", "9", "18", "4", "5", "10", 120_000_000)


@pytest.mark.parametrize(
    ("channel", "row", "expected"),
    [
        pytest.param(
            "trade",
            (7, 12, "100", "105", "B", "1.5", "2"),
            Trade(ID, 7_000, 5, 12, "1.5", "2", "B", 100, 105),
            id="a trade",
        ),
        pytest.param(
            "trade",
            (7, -12, NO_ID, NO_ID, "N", "1.5", "2"),
            Trade(ID, 7_000, 5, -12, "1.5", "2", "N", None, None),
            id="a trade of a venue that does not number them",
        ),
        pytest.param(
            "metric",
            (7, "funding", "0.1"),
            Metric(ID, "funding", 7_000, 5, "0.1"),
            id="a metric",
        ),
    ],
)
def test_row_of_a_history_becomes_its_record(
    channel: str, row: HistoryRow, expected: Record
) -> None:
    assert build_records(channel, ID, [row], 5) == [expected]


def test_bar_of_a_history_is_final() -> None:
    (bar,) = build_records("bar-1m", ID, [BAR], 5)
    assert isinstance(bar, Bar)
    assert (bar.interval, bar.ts_open, bar.ts_event) == ("1m", 60_000_000_000, 120_000_000_000)
    assert (bar.high, bar.quote_volume, bar.trade_count, bar.final) == ("3", "18", 4, True)


@pytest.mark.parametrize(
    ("block", "rest"),
    [
        (b"open_time,open\n1,2\n", b"1,2\n"),
        (b"open_time,open\r\n1,2\n", b"1,2\n"),
        (b"open_time", b""),
        (b"1,2\n", b"1,2\n"),
        (b"", b""),
    ],
)
def test_names_of_columns_in_front_are_passed_over(block: bytes, rest: bytes) -> None:
    assert without_header(block) == rest


def test_damaged_first_line_is_no_header() -> None:
    damaged = b"x7,4.1507,4.1587\n1,2\n"
    assert without_header(damaged) == damaged
