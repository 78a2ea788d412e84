"""How often a venue's list is read, and at what pace, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from support_stage import Highest, LoopClock

from feedplane_api.worker import ListedInstrument
from feedplane_feeder.core.budget import SECOND_NS
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.ports import Fetch
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.errors import VenueUnavailableError
from feedplane_feeder.listing import FIRST_SECONDS, Listings
from feedplane_feeder.log import get_log

pytestmark = pytest.mark.looptime

EVERY_SECONDS = 300.0
HOUR = 3_600.0
PATIENT = InstrumentList(
    complete=False, spacing_seconds=0.5, again_seconds=4 * HOUR, retry_cap_seconds=60.0
)


class FakeAdapter:
    """A venue with a list of some pages."""

    venue = "fake"

    def __init__(self, terms: InstrumentList | None, pages: int) -> None:
        self.capabilities = SimpleNamespace(instruments=terms)
        self._pages = pages

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...]:
        bodies = [await fetch(f"/list?page={number}", 1) for number in range(self._pages)]
        return tuple(ListedInstrument(symbol=body.decode(), trading=True) for body in bodies)


class Reading:
    """The listings of a feeder, and when what of it happened."""

    def __init__(self, terms: InstrumentList | None, pages: int, seconds: float) -> None:
        self.standing = Standing()
        self.asked: list[float] = []
        self.told: list[tuple[float, bool]] = []
        """When a try was told, and whether there was a list by then."""
        self.broken = False
        self._seconds = seconds
        adapter: Any = FakeAdapter(terms, pages)
        self.clock = LoopClock()
        log = get_log("test")
        self.listings = Listings(adapter, self.clock, Highest(), log, self.standing)

    async def keep(self) -> None:
        await self.listings.keep(self._fetch, lambda: EVERY_SECONDS, self._tell)

    async def _fetch(self, path: str, _weight: int) -> bytes:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds)
        if self.broken:
            raise VenueUnavailableError(path, "HTTP 503")
        return path.encode()

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        self.told.append((round(now, 3), self.listings.trading() is not None))


@asynccontextmanager
async def reading(
    terms: InstrumentList | None = None, *, pages: int = 1, seconds: float = 0.0
) -> AsyncIterator[Reading]:
    stage = Reading(terms, pages, seconds)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.keep())
        yield stage
        task.cancel()


async def test_list_is_read_at_once_and_at_intervals() -> None:
    async with reading() as stage:
        await asyncio.sleep(2 * EVERY_SECONDS + 1)
        assert stage.asked == [0, EVERY_SECONDS, 2 * EVERY_SECONDS]
        assert stage.told == [(at, True) for at in stage.asked]
        report = stage.listings.report()
        assert report is not None
        assert [each.symbol for each in report.instruments] == ["/list?page=0"]


async def test_list_that_takes_long_is_told_meanwhile_and_read_on() -> None:
    async with reading(seconds=12) as stage:
        await asyncio.sleep(20)
        assert stage.told == [(FIRST_SECONDS, False), (12, True)]
        assert len(stage.asked) == 1


async def test_list_that_nothing_hangs_on_is_not_waited_for() -> None:
    async with reading(PATIENT, pages=3) as stage:
        await asyncio.sleep(10)
        assert stage.told == [(0, False), (1, True)]


async def test_pages_are_asked_for_at_the_venues_pace() -> None:
    async with reading(PATIENT, pages=57) as stage:
        await asyncio.sleep(60)
        pauses = [
            after - before for before, after in zip(stage.asked, stage.asked[1:], strict=False)
        ]
        assert len(stage.asked) == 57
        assert min(pauses) == max(pauses) == pytest.approx(0.5)


async def test_refresh_reads_again_as_soon_as_the_venue_bears_it() -> None:
    async with reading() as quick, reading(PATIENT) as patient:
        await asyncio.sleep(10)
        quick.listings.refresh()
        patient.listings.refresh()
        await asyncio.sleep(1)
        assert (len(quick.asked), len(patient.asked)) == (2, 1)
        await asyncio.sleep(4 * HOUR - 12)
        assert len(patient.asked) == 1
        await asyncio.sleep(2)
        assert len(patient.asked) == 2


async def test_failed_reading_is_told_and_tried_at_growing_intervals() -> None:
    async with reading(PATIENT) as stage:
        stage.broken = True
        await asyncio.sleep(0.1)
        stage.listings.refresh()
        await asyncio.sleep(200)
        pauses = [round(b - a, 1) for a, b in zip(stage.asked, stage.asked[1:], strict=False)]
        assert pauses == [1.5, 2, 3, 5, 9, 17, 33, 61, 61]
        assert not any(known for _, known in stage.told)
        stage.broken = False
        await asyncio.sleep(61)
        assert stage.told[-1][1]


async def test_banned_address_asks_for_no_list() -> None:
    async with reading() as stage:
        stage.standing.banned(Side.STREAM, stage.clock.now_ns() + 900 * SECOND_NS)
        await asyncio.sleep(899)
        assert stage.asked == []
        assert stage.told == [(FIRST_SECONDS, False)]
        await asyncio.sleep(2)
        assert len(stage.asked) == 1
