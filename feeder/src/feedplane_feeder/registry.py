"""ADAPTERS: every venue the feeder can reach, by name."""

from collections.abc import Mapping
from typing import Final

from feedplane_feeder.adapters import binance_spot, binance_usdm
from feedplane_feeder.core.ports import Adapter
from feedplane_feeder.errors import UnknownVenueError

ADAPTERS: Final[Mapping[str, Adapter]] = {
    adapter.venue: adapter
    for adapter in (
        binance_spot.ADAPTER,
        binance_usdm.ADAPTER,
    )
}


def find_adapter(venue: str) -> Adapter:
    """Return the adapter of that name.

    Raises:
        UnknownVenueError: there is none.
    """
    try:
        return ADAPTERS[venue]
    except KeyError:
        raise UnknownVenueError(venue, tuple(sorted(ADAPTERS))) from None
