"""Snapshots: fetches the full books that the tape asks for, a few at a time.

A book that cannot be fetched waits and is asked for again; the tape of its deltas goes on
meanwhile. Must not know what a book is made of.
"""

import asyncio
from typing import Final

from feedplane_feeder.core.budget import SECOND_NS
from feedplane_feeder.core.ports import Adapter, Clock
from feedplane_feeder.errors import FeederError, VenueThrottledError
from feedplane_feeder.events import Event
from feedplane_feeder.instruments import parse_instrument_id
from feedplane_feeder.log import FieldLog
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.rest import RestClient

AGAIN_SECONDS: Final = 1.0


class Snapshots:
    """The queue of books to fetch."""

    WORKERS: Final = 4

    def __init__(
        self,
        adapter: Adapter,
        rest: RestClient,
        publisher: Publisher,
        clock: Clock,
        log: FieldLog,
    ) -> None:
        self._adapter = adapter
        self._rest = rest
        self._publisher = publisher
        self._clock = clock
        self._log = log
        self._asked: set[str] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, instrument_id: str) -> None:
        """Put a book into the queue; once is enough."""
        if instrument_id not in self._asked:
            self._asked.add(instrument_id)
            self._queue.put_nowait(instrument_id)

    async def run(self) -> None:
        """Fetch books until cancelled."""
        while True:
            instrument_id = await self._queue.get()
            while self._publisher.tape.snapshot_wanted(instrument_id):
                if await self._fetch(instrument_id):
                    break
                await self._clock.sleep(AGAIN_SECONDS)
            self._asked.discard(instrument_id)

    async def _fetch(self, instrument_id: str) -> bool:
        request = self._adapter.snapshot_request(parse_instrument_id(instrument_id).symbol)
        try:
            body = await self._rest.fetch(request.path, request.weight)
            now_ns = self._clock.now_ns()
            snapshot = self._adapter.parse_snapshot(request, body, now_ns)
        except FeederError as error:
            throttled = isinstance(error, VenueThrottledError)
            event = Event.VENUE_THROTTLED if throttled else Event.BOOK_RESYNCED
            self._log.warning(event, instrument_id=instrument_id, error=error)
            return False
        taken = self._publisher.take_snapshot(snapshot, now_ns)
        if taken:
            self._log.info(
                Event.BOOK_RESYNCED,
                instrument_id=instrument_id,
                last_id=snapshot.last_id,
                lag_milliseconds=(self._clock.now_ns() - now_ns) // (SECOND_NS // 1_000),
            )
        return taken
