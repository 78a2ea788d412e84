"""ADAPTERS: every venue the feeder can reach, by name; HISTORIES: those with a past."""

from collections.abc import Mapping
from typing import Final

from feedplane_feeder.adapters import (
    alpaca,
    alpaca_history,
    baostock,
    binance_alpha,
    binance_history,
    binance_spot,
    binance_usdm,
    ctp,
    eastmoney,
    eastmoney_history,
    fushu,
)
from feedplane_feeder.core.exchange import PastVenue
from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import Adapter
from feedplane_feeder.errors import UnknownVenueError

ADAPTERS: Final[Mapping[str, Adapter]] = {
    adapter.venue: adapter
    for adapter in (
        alpaca.ADAPTER,
        binance_spot.ADAPTER,
        binance_usdm.ADAPTER,
        ctp.ADAPTER,
        ctp.OPTIONS_ADAPTER,
        eastmoney.ADAPTER,
        *fushu.ADAPTERS,
    )
}

HISTORIES: Final[Mapping[str, History]] = {
    history.venue: history
    for history in (
        alpaca_history.HISTORY,
        binance_history.SPOT_HISTORY,
        binance_history.USDM_HISTORY,
        eastmoney_history.HISTORY,
        baostock.VENUE.history,
        binance_alpha.VENUE.history,
    )
}
"""The venues with a past that can be fetched."""

PAST_VENUES: Final[Mapping[str, PastVenue]] = {
    venue.venue: venue for venue in (baostock.VENUE, binance_alpha.VENUE)
}
"""The venues that have nothing but a past."""


def find_adapter(venue: str) -> Adapter:
    """Return the adapter of that name.

    Raises:
        UnknownVenueError: there is none.
    """
    try:
        return ADAPTERS[venue]
    except KeyError:
        raise UnknownVenueError(venue, tuple(sorted(ADAPTERS))) from None
