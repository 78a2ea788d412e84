import pytest

from feedplane_cli.core.reference_table import (
    check_suffix,
    layout_of,
    parse_names,
    reference_side,
    split_table,
    tape_side,
)
from feedplane_cli.errors import UsageError


@pytest.mark.parametrize("channel", ["book", "bar", "trade-1m", "bar-1'", "bar-1m'--"])
def test_channel_that_cannot_be_compared_is_refused(channel: str) -> None:
    with pytest.raises(UsageError):
        layout_of(channel)


def test_columns_have_the_same_name_unless_said() -> None:
    names = parse_names(("ts_open=open_time",), layout_of("bar-1m"))
    assert (names["ts_open"], names["open"]) == ("open_time", "open")


@pytest.mark.parametrize("pair", ["open", "nothing=x", 'open=a"b', "open="])
def test_pair_that_is_no_column_is_refused(pair: str) -> None:
    with pytest.raises(UsageError):
        parse_names((pair,), layout_of("bar-1m"))


def test_table_without_a_schema_is_public() -> None:
    assert split_table("klines") == ("public", "klines")
    assert split_table("old.klines") == ("old", "klines")
    with pytest.raises(UsageError):
        split_table("old.klines;drop")


def test_suffix_is_a_venue_and_nothing_else() -> None:
    check_suffix("BINANCE-SPOT")
    with pytest.raises(UsageError):
        check_suffix("X' or true")


def test_tape_side_takes_final_bars_of_one_interval() -> None:
    side = tape_side("feedplane", "bar-5m", ("open",))
    assert '"feedplane".bars' in side.rows
    assert "and final and interval = '5m'" in side.rows
    assert side.rows in side.digests


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bigint", 'to_timestamp("at"::numeric / 1000)'),
        ("timestamp without time zone", "(\"at\"::timestamp at time zone 'UTC')"),
        ("timestamp with time zone", '"at" >= $1'),
    ],
)
def test_time_of_the_reference_is_read_by_its_type(kind: str, words: str) -> None:
    names = parse_names(("ts_event=at", "instrument_id=symbol"), layout_of("trade"))
    side = reference_side(("old", "t"), "trade", ("price",), names, {"ts_event": kind}, "X")
    assert words in side.rows
    assert "(\"symbol\"::text || '.X')" in side.rows


def test_interval_of_the_reference_is_looked_at_where_it_has_one() -> None:
    names = parse_names((), layout_of("bar-1m"))
    types = {"ts_open": "bigint", "interval": "text"}
    side = reference_side(("public", "t"), "bar-1m", ("open",), names, types, "")
    assert "interval::text = '1m'" in side.rows
