import pytest

from feedplane_feeder.core.aside import RAW_LENGTH, set_aside
from feedplane_feeder.core.ports import Channel, Received
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError

TRADES, QUOTES = Channel("A", "trade"), Channel("A", "quote")


@pytest.mark.parametrize(
    ("suspects", "named"),
    [
        pytest.param({TRADES: "A.V"}, ("trade", "A.V"), id="of a known channel"),
        pytest.param({TRADES: "A.V", QUOTES: "A.V"}, ("", ""), id="of any channel"),
        pytest.param({}, ("", ""), id="of none"),
    ],
)
def test_frame_is_kept_and_its_channels_are_in_doubt(
    suspects: dict[Channel, str], named: tuple[str, str]
) -> None:
    received = Received()
    error = MalformedFrameError("cut off", b"{")
    set_aside(received, b"{\xff" + b"x" * RAW_LENGTH, 7, error, venue="v", suspects=suspects)
    (row,) = received.quarantined
    assert (row.channel, row.instrument_id) == named
    assert (row.venue, row.reason, row.ts_recv) == ("v", "MalformedFrame", 7)
    assert row.raw.startswith("{\ufffdx")
    assert len(row.raw) == RAW_LENGTH
    assert received.unreadable == suspects


def test_value_that_cannot_be_true_is_the_reason() -> None:
    received = Received()
    set_aside(received, b"{}", 7, ImpossibleValueError("CrossedQuote"), venue="v", suspects={})
    assert received.quarantined[0].reason == "CrossedQuote"
