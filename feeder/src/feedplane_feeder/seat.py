"""The one session of an account: held as a Lease where the venue allows no second login.

A thin shell around `core.seat`. Must not know what a session does.
"""

import asyncio
from typing import Final

from feedplane_api.worker import ElectionConfig
from feedplane_feeder.core import seat
from feedplane_feeder.core.seat import LEASES_LONG, SeatState
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.lease_object import LeaseContext, LeaseObject, render_time

FENCE_POLL_SECONDS: Final = 0.2


class OpenSeat:
    """For a venue that allows any number of sessions: always held, never lost."""

    held = True

    async def run(self) -> None:
        """Return at once; there is nothing to watch."""

    async def wait_held(self) -> None:
        """Return at once."""

    async def wait_lost(self) -> None:
        """Wait for good."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Return at once; nothing is held."""


class LeaseSeat:
    """The seat of an account, taken as soon as it is free and kept until released.

    Its Lease lasts far longer than the publisher's, and its holder gives up before it ends: the
    API server may be away for a while without costing the session, and two logins never meet.
    """

    def __init__(
        self, config: ElectionConfig, lease_name: str, account: str, context: LeaseContext
    ) -> None:
        self._state = SeatState(
            identity=f"{account}/{context.pod}",
            duration_seconds=float(LEASES_LONG * config.lease_duration_seconds),
            retry_period_seconds=float(config.retry_period_seconds),
        )
        self._lease = LeaseObject(config.namespace, lease_name, context.api)
        self._context = context
        self._log = context.log.bind(lease=lease_name)
        self._round_lock = asyncio.Lock()
        self._held = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()

    @property
    def held(self) -> bool:
        """Whether connections may be open, as of this moment."""
        return seat.check_fence(self._state, _monotonic())

    async def run(self) -> None:
        """Take the seat, keep it, and watch it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep())
            tasks.create_task(self._guard())

    async def wait_held(self) -> None:
        """Wait until connections may be opened."""
        await self._held.wait()

    async def wait_lost(self) -> None:
        """Wait until they must be closed at once."""
        await self._lost.wait()

    async def release(self) -> None:
        """Give the seat away, after the last connection was closed."""
        async with self._round_lock:
            self._state.leaving = True
            try:
                seat.observe_seat(self._state, await self._lease.read(), _monotonic())
                record = self._state.record
                if record is not None and record.holder == self._state.identity:
                    await self._lease.write(seat.free_record(record, at=self._timestamp()))
            except (ClusterRefusedError, ClusterUnavailableError) as error:
                self._log.warning(Event.SEAT_UNREACHABLE, error=error)
            self._state.held = False
            self._tell()

    async def _keep(self) -> None:
        while True:
            async with self._round_lock:
                try:
                    await self._round()
                except (ClusterRefusedError, ClusterUnavailableError) as error:
                    self._log.debug(Event.SEAT_UNREACHABLE, error=error)
                self._tell()
            await self._context.clock.sleep(self._state.retry_period_seconds)

    async def _round(self) -> None:
        state = self._state
        seat.observe_seat(state, await self._lease.read(), _monotonic())
        if seat.may_sit(state):
            sent_at = _monotonic()
            record = await self._lease.write(seat.seat_record(state, at=self._timestamp()))
            seat.sat_down(state, record, sent_at=sent_at, now=_monotonic())

    async def _guard(self) -> None:
        # A request may hang for longer than the fence allows, so the fence has its own eye.
        while True:
            await self._context.clock.sleep(FENCE_POLL_SECONDS)
            self._tell()

    def _tell(self) -> None:
        held = self.held
        if held == self._held.is_set():
            return
        self._log.info(Event.SEAT_TAKEN if held else Event.SEAT_LOST)
        if held:
            self._lost.clear()
            self._held.set()
        else:
            self._held.clear()
            self._lost.set()

    def _timestamp(self) -> str:
        return render_time(self._context.clock.now_ns())


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
