import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.instruments import (
    InstrumentId,
    format_instrument_id,
    parse_instrument_id,
)

SYMBOLS = st.text("ABC019._-", min_size=1)
VENUES = st.text("ABC-", min_size=1)


@given(SYMBOLS, VENUES)
def test_instrument_id_printed_is_read_back(symbol: str, venue: str) -> None:
    instrument_id = InstrumentId(symbol, venue)
    assert parse_instrument_id(str(instrument_id)) == instrument_id


def test_instrument_id_bears_the_adapter_in_capitals() -> None:
    assert format_instrument_id("BTCUSDT", "some-venue") == "BTCUSDT.SOME-VENUE"


@pytest.mark.parametrize("text", ["", "BTCUSDT", ".VENUE", "BTCUSDT."])
def test_instrument_id_without_symbol_or_venue_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SYMBOL"):
        parse_instrument_id(text)


@given(st.lists(st.builds(InstrumentId, SYMBOLS, VENUES)))
def test_instrument_ids_sort_by_venue_first(instrument_ids: list[InstrumentId]) -> None:
    keys = [(each.venue, each.symbol) for each in sorted(instrument_ids)]
    assert keys == sorted(keys)
