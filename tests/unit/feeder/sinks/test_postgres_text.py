from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_feeder.core.history import BarRow
from feedplane_feeder.sinks.postgres_text import COLUMNS, TABLE_OF, render_rows, time_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = 4_102_444_800_000_000
OPENED = 1_735_689_600_000_000


def bar(opened: int, closed: int) -> BarRow:
    return (opened, "1.0", "2.0", "0.5", "1.5", "10", "15", "3", "4", "6", closed)


def read_time(text: str) -> int:
    return (datetime.fromisoformat(text + "+00:00") - EPOCH) // timedelta(microseconds=1)


@settings(deadline=None)
@given(st.integers(0, LATEST_US))
def test_time_written_and_read_is_the_same(at_us: int) -> None:
    assert read_time(time_text(at_us)) == at_us


@settings(deadline=None)
@given(st.integers(0, LATEST_US // 1_000_000), st.integers(1, 31 * 86_400_000_000))
def test_bar_keeps_both_its_times(second: int, length: int) -> None:
    opened = second * 1_000_000
    line = render_rows("bar-1m", "B.V", [bar(opened, opened + length)], 0).data.decode()
    fields = dict(zip(COLUMNS["bar"], line.rstrip("\n").split("\t"), strict=True))
    assert read_time(fields["ts_open"]) == opened
    assert read_time(fields["ts_event"]) == opened + length


def test_bar_row_has_the_venue_s_own_text() -> None:
    line = render_rows("bar-1m", "B.V", [bar(OPENED, OPENED + 59_999_000)], OPENED)
    assert line.form == "text"
    assert line.data.decode() == (
        "B.V\t1m\tt\t2025-01-01 00:00:00.000000\t2025-01-01 00:00:00.000000"
        "\t2025-01-01 00:00:59.999000\t1.0\t2.0\t0.5\t1.5\t10\t15\t3\t4\t6\n"
    )


def test_trade_and_metric_rows_fill_their_columns() -> None:
    trade = render_rows("trade", "B.V", [(OPENED, 7, "8", "9", "S", "1.50", "2")], OPENED)
    fields = dict(zip(COLUMNS["trade"], trade.data.decode().rstrip("\n").split("\t"), strict=True))
    assert (fields["trade_id"], fields["last_id"], fields["aggressor_side"]) == ("7", "9", "S")
    assert (fields["price"], fields["size"]) == ("1.50", "2")
    metric = render_rows("metric", "B.V", [(OPENED, "open_interest", "5.10")], OPENED)
    assert metric.data.decode().split("\t")[3:] == ["open_interest", "5.10\n"]


def test_columns_of_rows_are_those_of_the_tables() -> None:
    for kind, table in TABLE_OF.items():
        assert set(COLUMNS[kind]) <= {name for name, _ in table.columns}
        assert set(table.key) <= set(COLUMNS[kind])
