"""Instruments chosen by globs at a venue whose list comes in pages, over real sockets."""

from conformance.fixture import all_venues
from conformance.stage import staged

from feedplane_api.worker import Selector
from feedplane_feeder.adapters.eastmoney import ADAPTER

VENUE = next(venue for venue in all_venues() if venue.adapter is ADAPTER)
TENS = [f"60002{digit}" for digit in range(10)]
INDEX = "1.000001"
UNKNOWN = "999999"


async def test_globs_are_looked_up_in_a_list_of_several_pages() -> None:
    selectors = (Selector(include=("60002?",), channels=("snapshot",)),)
    async with (
        staged(VENUE, symbols=230, rate=300) as stage,
        stage.feeder(symbols=["600519", INDEX, UNKNOWN], selectors=selectors) as feeder,
    ):
        # Named ones need no list, and what a partial list does not hold is asked for all the same.
        await feeder.until(lambda: feeder.live.status().coverage.live >= 1)
        await feeder.until(lambda: feeder.live.status().coverage.live == 12)
        await feeder.until(lambda: feeder.records("snapshot", TENS[-1]) != [])
        await feeder.until(lambda: feeder.records("snapshot", INDEX) != [])
        listing = feeder.live.listing()
        assert listing is not None
        assert len(listing.instruments) == 230
        assert {each.symbol for each in listing.instruments} > {"600519", *TENS}
        (problem,) = feeder.problems()
        assert (problem.symbol, problem.reason) == (UNKNOWN, "VenueRefused")
        assert stage.violations() == []
