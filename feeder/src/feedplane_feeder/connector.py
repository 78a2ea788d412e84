"""Connector: opens one connection when the venue and the account allow it.

Backoff after failures, the venue's window of connects, a ban to the second, a long pause after a
refused login, and the account's seat where it may have one session only. Must not know what the
connection carries or what it replaces.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from feedplane_feeder.connection import SECOND_NS, LiveConnection
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.budget import WindowBudget
from feedplane_feeder.core.coverage import Coverage
from feedplane_feeder.core.ports import Adapter, Clock, Seat, Transport, TransportKind
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.seat import OpenSeat
from feedplane_feeder.waiting import wait_for_event

RECONNECT_CAP_SECONDS: Final = 4.0
"""So long that the window of connects lasts, for another account behind the address as well."""
QUICK_CAP_SECONDS: Final = 2.0
"""The cap while little of that window is used, so that what a moment cures costs a moment."""
QUICK_SHARE: Final = 10
"""One of so many connects is for that."""
REFUSED_SECONDS: Final = 15.0
REFUSED_CAP_SECONDS: Final = 600.0
"""A refused login is asked for at twice the interval each time: it rarely cures itself."""
CALM_SECONDS: Final = 300.0
"""While the market rests a venue that bans who asks too much is tried no more often than that."""
CALM_REFUSALS: Final = 3
CALM_TRANSPORTS: Final = frozenset({TransportKind.HTTP_POLLING, TransportKind.SERVER_SENT_EVENTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all connections of a feeder share."""

    adapter: Adapter
    transport: Transport
    publisher: Publisher
    coverage: Coverage
    connects: WindowBudget
    clock: Clock
    rng: Rng
    headers: Mapping[str, str]
    """Sent with each handshake; the login in it may change while the feeder runs."""
    log: FieldLog
    standing: Standing = field(default_factory=Standing)
    seat: Seat = field(default_factory=OpenSeat)


class Connector:
    """The way to one planned connection, over all its lives."""

    def __init__(self, shared: Surroundings, log: FieldLog) -> None:
        self.connecting = False
        """A handshake is under way."""
        self.last_error = ""
        self.rest_until_ns = 0
        """Until then nothing can come."""
        self._refusals = 0
        self._shared = shared
        self._log = log
        self._backoff = Backoff(cap_seconds=RECONNECT_CAP_SECONDS)
        self._refused_until_ns = 0
        self._refused_seconds = REFUSED_SECONDS
        self._stirred = asyncio.Event()
        self._stopped = False

    def stop(self) -> None:
        """End every wait; nothing is opened any more."""
        self._stopped = True
        self._stirred.set()

    def renew(self) -> None:
        """Try again at once: there are new credentials."""
        self._refused_until_ns = 0
        self._refused_seconds = REFUSED_SECONDS
        self._stirred.set()

    def lost(self, lasted_ns: int) -> None:
        """Tell that a connection ended, and how long it had held."""
        self._backoff.lost(lasted_ns)

    async def open(self, connection: LiveConnection, url: str) -> bool:
        """Open a connection; False when the venue did not let it or `stop` came first."""
        if not await self._may_connect():
            return False
        self.connecting = True
        try:
            await connection.open(self._shared.transport, url, self._shared.headers)
        except VenueUnavailableError as error:
            self._note_refusal(error)
            return False
        finally:
            self.connecting = False
        self._refused_seconds = REFUSED_SECONDS
        self._refusals = 0
        self._shared.standing.accepted(Side.STREAM)
        if not self._shared.seat.held:
            await connection.close()
            return False
        return True

    async def _may_connect(self) -> bool:
        shared = self._shared
        connects = shared.connects
        quick = connects.used(shared.clock.now_ns()) * QUICK_SHARE <= connects.limit
        delay = self._backoff.delay_seconds(shared.rng, QUICK_CAP_SECONDS if quick else None)
        await self._pause(max(delay, self._calm_seconds()))
        while not self._stopped:
            await self._wait_for_seat()
            now_ns = shared.clock.now_ns()
            banned_until_ns = shared.standing.banned_until_ns(Side.STREAM)
            at_ns = max(self._refused_until_ns, banned_until_ns, shared.connects.room_at(now_ns))
            if at_ns > now_ns:
                await self._pause((at_ns - now_ns) / SECOND_NS)
            elif shared.seat.held and not self._stopped:
                return shared.connects.take(now_ns)
        return False

    # Once is soon tried again, so that what can be known of a closed market is.
    def _calm_seconds(self) -> float:
        left_ns = self.rest_until_ns - self._shared.clock.now_ns()
        if left_ns <= 0 or self._refusals < CALM_REFUSALS:
            return 0.0
        calm = self._shared.adapter.capabilities.transport in CALM_TRANSPORTS
        return min(CALM_SECONDS, left_ns / SECOND_NS) if calm else 0.0

    async def _wait_for_seat(self) -> None:
        if self._shared.seat.held:
            return
        self.last_error = "the account's one session is held elsewhere"
        async with asyncio.TaskGroup() as group:
            held = group.create_task(self._shared.seat.wait_held())
            stirred = group.create_task(self._stirred.wait())
            await asyncio.wait({held, stirred}, return_when=asyncio.FIRST_COMPLETED)
            held.cancel()
            stirred.cancel()

    def _note_refusal(self, error: VenueUnavailableError) -> None:
        shared, now_ns = self._shared, self._shared.clock.now_ns()
        self.last_error = str(error)
        self._backoff.lost(0)
        self._refusals += 1
        self._log.warning(Event.SESSION_LOST, error=error)
        if isinstance(error, VenueThrottledError):
            seconds = error.retry_after_seconds
            banned = isinstance(error, VenueBannedError)
            event = Event.VENUE_BANNED if banned else Event.VENUE_THROTTLED
            self._log.warning(event, retry_after_seconds=seconds)
            shared.standing.banned(Side.STREAM, now_ns + int(seconds * SECOND_NS))
        elif isinstance(error, CredentialsRefusedError):
            self._refused_until_ns = now_ns + int(self._refused_seconds * SECOND_NS)
            self._refused_seconds = min(2 * self._refused_seconds, REFUSED_CAP_SECONDS)
            shared.standing.refused(Side.STREAM, error.reason)

    async def _pause(self, seconds: float) -> None:
        if self._stopped:
            return
        await wait_for_event(self._stirred, seconds)
        if not self._stopped:
            self._stirred.clear()
