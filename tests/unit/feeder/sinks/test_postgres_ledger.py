"""Rows of the control tables."""

from datetime import UTC, datetime

import pytest
from support_sinks import INSTRUMENT, START_NS, make_delta

from feedplane_feeder.records import Gap
from feedplane_feeder.sinks.postgres_ledger import (
    UNWRITABLE_REASON,
    as_time,
    clean_text,
    gap_key,
    quarantine,
)


def make_gap(cause: str = "sequence", **ends: int) -> Gap:
    return Gap(INSTRUMENT, "trade", cause, START_NS, **ends)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(
            make_gap(from_id=1, to_id=2),
            make_gap("restart", from_id=1, to_id=2, from_ts=5, to_ts=6),
            True,
            id="same ids found by another cause",
        ),
        pytest.param(
            make_gap(from_id=1, to_id=2), make_gap(from_id=1, to_id=3), False, id="other ids"
        ),
        pytest.param(
            make_gap(from_ts=1_000, to_ts=2_000),
            make_gap(from_ts=1_999, to_ts=2_999),
            True,
            id="same microseconds",
        ),
        pytest.param(
            make_gap(from_ts=1_000, to_ts=2_000),
            make_gap(from_id=1, to_id=2),
            False,
            id="ids are not times",
        ),
    ],
)
def test_gap_key_is_what_is_missing(one: Gap, other: Gap, same: bool) -> None:
    assert (gap_key(one) == gap_key(other)) is same


def test_as_time_keeps_microseconds() -> None:
    assert as_time(1_760_000_000_123_456_789) == datetime(
        2025, 10, 9, 8, 53, 20, 123456, tzinfo=UTC
    )
    assert as_time(None) is None


def test_clean_text_replaces_what_a_column_cannot_hold() -> None:
    assert clean_text("a\x00\ud800") == "a\ufffd?"


def test_quarantine_of_book_delta_keeps_its_levels() -> None:
    item = quarantine(make_delta(1, 2), "binance-spot", ValueError("x"))
    assert item.channel == "book"
    assert item.reason == UNWRITABLE_REASON
    assert '"0.35130000"' in item.raw
