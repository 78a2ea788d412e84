"""InstrumentId: the stable identity `SYMBOL.VENUE` of an instrument.

A symbol may hold dots itself, so the venue is what follows the last one. Must not know venues.
"""

from functools import total_ordering

from msgspec import Struct


@total_ordering
class InstrumentId(Struct, frozen=True):
    """An instrument at a venue, for instance `BTCUSDT.BINANCE-SPOT`."""

    symbol: str
    venue: str
    """Adapter name in capitals."""

    def __str__(self) -> str:
        return f"{self.symbol}.{self.venue}"

    def __lt__(self, other: "InstrumentId") -> bool:
        return (self.venue, self.symbol) < (other.venue, other.symbol)


def parse_instrument_id(text: str) -> InstrumentId:
    """Read `SYMBOL.VENUE`.

    Raises:
        ValueError: no venue, or no symbol.
    """
    symbol, dot, venue = text.rpartition(".")
    if not dot or not symbol or not venue:
        raise ValueError(f"Expected SYMBOL.VENUE, was {text!r}")
    return InstrumentId(symbol, venue)


def format_instrument_id(symbol: str, adapter_name: str) -> str:
    """Return the identity of a symbol at the venue of that adapter."""
    return f"{symbol}.{adapter_name.upper()}"
