"""Market hours: when data can be expected, as the operator hands it to the feeders.

Plain times, so that a feeder needs no calendar. Must not know which calendar they come from.
"""

from typing import Annotated

from pydantic import AwareDatetime, Field

from feedplane_api.contract import ContractModel

Opening = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\dZ/\d{4}-\d\d-\d\dT\d\d:\d\dZ$"),
]
"""From its first moment to the one after its last, as `2026-11-23T01:30Z/2026-11-23T03:30Z`."""


class TradingHours(ContractModel):
    """When some of the instruments trade."""

    products: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]{1,8}$")], ...] = ()
    """Letters their symbols begin with, of either case; none means all that no line names."""
    openings: tuple[Opening, ...] = ()
    """Every opening within the known time, in order and apart."""


class MarketHours(ContractModel):
    """When a market trades, as far as it is known."""

    since: AwareDatetime
    """First moment they are known for; before it the market counts as open."""
    until: AwareDatetime
    """First moment they are not known for; from it on the market counts as open."""
    lines: tuple[TradingHours, ...] = Field(min_length=1)
    """The hours, for each group of instruments that has its own."""
