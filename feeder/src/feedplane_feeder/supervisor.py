"""Supervisor: keeps one planned connection alive, and replaces it new one first.

Level-based: it looks at what is there (no connection, an ended one, one that must be replaced)
and does the next thing, so it does not matter in which order things happened. Must not know
venues or sinks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from feedplane_api.worker import ChannelState, SessionConfig, SessionState
from feedplane_feeder.connection import SECOND_NS, LiveConnection
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.budget import WindowBudget
from feedplane_feeder.core.coverage import RESUBSCRIBE_CAP_NS, Coverage
from feedplane_feeder.core.ports import (
    Adapter,
    Channel,
    Clock,
    ConnectionPlan,
    Control,
    ControlKind,
    Refusal,
    Transport,
    VenueLimits,
)
from feedplane_feeder.core.session import SessionFacts, session_state
from feedplane_feeder.errors import VenueThrottledError, VenueUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import GapCause
from feedplane_feeder.waiting import wait_for_event

OVERLAP_SECONDS: Final = 3.0
"""How long both connections are read once the new one carries every channel.

What the old one still has on its way was sent before the new one's first frames, so it must be
given time to arrive; quotes have no numbers that would show it missing.
"""
HANDOVER_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
JITTER: Final = 0.05
"""Share of the rotation age by which connections differ, so that not all rotate at once."""


class Cause(StrEnum):
    """Why a connection is replaced or was lost; the `cause` label of the reconnect metric."""

    AGE = "age"
    VENUE = "venue"
    MUTE = "mute"
    DEAD = "dead"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all supervisors of a feeder share."""

    adapter: Adapter
    transport: Transport
    publisher: Publisher
    coverage: Coverage
    connects: WindowBudget
    clock: Clock
    rng: Rng
    headers: Mapping[str, str]
    log: FieldLog


class Supervisor:
    """One connection of the placement, over all its lives. Owner of its live connections."""

    def __init__(
        self, plan: ConnectionPlan, limits: VenueLimits, config: SessionConfig, shared: Surroundings
    ) -> None:
        self.plan = plan
        self.limits = limits
        self.config = config
        self.last_error = ""
        self._shared = shared
        self._log = shared.log.bind(connection=plan.key)
        self._backoff = Backoff()
        self._current: LiveConnection | None = None
        self._successor: LiveConnection | None = None
        self._replace: Cause | None = None
        self._connecting = False
        self._rotate_at_ns = 0
        self._mute_again_ns = 0
        self._mute_wait_ns = 0
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    def connections(self) -> list[LiveConnection]:
        """Return the open connections: one, or two while one replaces the other."""
        present = (self._current, self._successor)
        return [connection for connection in present if connection and connection.is_open]

    def state(self, now_ns: int) -> SessionState:
        """Return where this connection stands in its life."""
        current = self._current
        facts = SessionFacts(
            connecting=self._connecting,
            is_open=current is not None and current.is_open,
            acknowledged=len(current.acknowledged) if current else 0,
            frames=current.frames if current else 0,
            mute=current is not None and self._is_mute(current, now_ns),
        )
        return session_state(facts)

    def change(self, plan: ConnectionPlan, limits: VenueLimits, config: SessionConfig) -> None:
        """Take over another set of channels and settings; the connection stays."""
        added = set(plan.channels) - set(self.plan.channels)
        if plan.channels != self.plan.channels:
            for connection in self.connections():
                connection.want(plan.channels)
        if self.connections():
            for channel in added:
                self._shared.coverage.requested(channel, self._shared.clock.now_ns())
        self.plan, self.limits, self.config = plan, limits, config
        self._changed.set()

    def stop(self) -> None:
        """Ask for a clean end."""
        self._stopping.set()
        self._changed.set()

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe one channel again, alone; not while the whole connection is replaced."""
        if self._current is not None and self._current.is_open and self._replace is None:
            self._current.resubscribe(channel)

    def sweep(self, now_ns: int) -> None:
        """Feed the coverage and look after the pulse; call it about twice a second."""
        for connection in self.connections():
            counts = connection.take_counts()
            for channel, frames in counts.items():
                self._shared.coverage.delivered(channel, frames, now_ns)
            if counts:
                connection.pulse.beat(sum(counts.values()), now_ns)
                if connection is self._current:
                    self._mute_wait_ns = 0
        current = self._current
        if current is None or not current.is_open or self._replace is not None:
            return
        if now_ns - current.last_read_ns > self.limits.ping_timeout_seconds * SECOND_NS:
            self._demand(Cause.DEAD)
        elif self._is_mute(current, now_ns) and now_ns >= self._mute_again_ns:
            # A market in which nothing happens looks the same, so the waits grow.
            floor_ns = self.config.stale_after_seconds * SECOND_NS
            self._mute_wait_ns = min(max(2 * self._mute_wait_ns, floor_ns), RESUBSCRIBE_CAP_NS)
            self._mute_again_ns = now_ns + self._mute_wait_ns
            self._demand(Cause.MUTE)

    async def run(self) -> None:
        """Keep the connection alive until `stop`."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                current = self._current
                if current is None:
                    self._replace = None
                    self._current = await self._connect(group)
                elif not current.is_open:
                    self._current = None
                elif self._replace is not None or self._age_reached():
                    await self._hand_over(group, current)
                else:
                    await self._wait()
            for connection in self.connections():
                await connection.close(unsubscribe=True)

    def acknowledged(self, channels: Sequence[Channel]) -> None:
        """See `Owner`."""
        now_ns = self._shared.clock.now_ns()
        for channel in channels:
            self._shared.coverage.acknowledged(channel, now_ns)
        if channels:
            self._log.debug(Event.CHANNEL_SUBSCRIBED, channel_count=len(channels))

    def refused(self, refusals: Sequence[Refusal]) -> None:
        """See `Owner`."""
        now_ns = self._shared.clock.now_ns()
        for refusal in refusals:
            self._shared.coverage.exclude(
                refusal.channel, ChannelState.REFUSED, refusal.reason, now_ns
            )
            self._log.warning(
                Event.CHANNEL_REFUSED,
                symbol=refusal.channel.symbol,
                channel=refusal.channel.name,
                reason=refusal.message,
            )

    def controlled(self, connection: LiveConnection, control: Control) -> None:
        """See `Owner`."""
        if connection is self._current:
            self._demand(Cause.VENUE if control.kind is ControlKind.ROTATE else Cause.LOST)

    def ended(self, connection: LiveConnection) -> None:
        """See `Owner`."""
        now_ns = self._shared.clock.now_ns()
        if connection is self._current and not self._stopping.is_set():
            self._backoff.lost(now_ns - connection.opened_ns)
            self._note_loss(connection, now_ns)
        self._changed.set()

    def _note_loss(self, connection: LiveConnection, now_ns: int) -> None:
        # What the successor already carries was not interrupted.
        successor = self._successor
        carried = successor.acknowledged if successor and successor.is_open else {}
        lost = [channel for channel in self.plan.channels if channel not in carried]
        if not lost and successor is not None:
            return
        self._interrupt(lost, GapCause.DISCONNECT)
        for channel in lost:
            self._shared.coverage.disconnected(channel, now_ns)
        self.last_error = connection.end or ""
        self._shared.publisher.meters.add_reconnect(Cause.LOST)
        self._log.warning(Event.SESSION_LOST, reason=connection.end)

    async def _connect(self, group: asyncio.TaskGroup) -> LiveConnection | None:
        shared = self._shared
        await self._pause(self._backoff.delay_seconds(shared.rng))
        while not self._stopping.is_set() and not shared.connects.take(shared.clock.now_ns()):
            now_ns = shared.clock.now_ns()
            await self._pause((shared.connects.room_at(now_ns) - now_ns) / SECOND_NS)
        if self._stopping.is_set():
            return None
        session = shared.adapter.session(self.plan, self.limits)
        connection = LiveConnection(session, shared.publisher, shared.clock, self)
        self._connecting = True
        try:
            await connection.open(shared.transport, self.plan.url, shared.headers)
        except VenueUnavailableError as error:
            await self._note_refusal(error)
            return None
        finally:
            self._connecting = False
        self._note_opened(group, connection)
        return connection

    def _note_opened(self, group: asyncio.TaskGroup, connection: LiveConnection) -> None:
        shared = self._shared
        connection.want(self.plan.channels)  # they may have changed during the handshake
        group.create_task(connection.run())
        jitter = 1.0 - JITTER * shared.rng.uniform(0.0, 1.0)
        life_ns = int(self.config.rotate_after_seconds * jitter * SECOND_NS)
        self._rotate_at_ns = connection.opened_ns + life_ns
        for channel in self.plan.channels:
            shared.coverage.requested(channel, connection.opened_ns)
        self._log.info(Event.SESSION_OPENED, channel_count=len(self.plan.channels))

    async def _note_refusal(self, error: VenueUnavailableError) -> None:
        self.last_error = str(error)
        self._backoff.lost(0)
        self._shared.publisher.meters.add_reconnect(Cause.REFUSED)
        self._log.warning(Event.SESSION_LOST, error=error)
        if isinstance(error, VenueThrottledError):
            await self._pause(error.retry_after_seconds)

    # Make before break: the new connection carries every channel before the old one ends.
    async def _hand_over(self, group: asyncio.TaskGroup, old: LiveConnection) -> None:
        cause = self._replace = self._replace or Cause.AGE
        successor = await self._connect(group)
        if successor is None:
            return
        self._successor = successor
        await self._wait_until_carried(
            old, successor, patient=cause not in (Cause.MUTE, Cause.DEAD)
        )
        self._successor = None
        if not successor.is_open:
            return
        uncarried = [c for c in self.plan.channels if c not in successor.acknowledged]
        self._interrupt(uncarried, GapCause.DISCONNECT)
        self._current = successor
        self._replace = None
        if cause in (Cause.AGE, Cause.VENUE):
            self._shared.publisher.meters.add_rotation()
        else:
            self._shared.publisher.meters.add_reconnect(cause)
        self._log.info(Event.SESSION_ROTATED, cause=cause.value)
        await old.close()

    async def _wait_until_carried(
        self, old: LiveConnection, new: LiveConnection, *, patient: bool
    ) -> None:
        clock = self._shared.clock
        deadline_ns = clock.now_ns() + int(HANDOVER_SECONDS * SECOND_NS)
        while new.is_open and clock.now_ns() < deadline_ns and not self._stopping.is_set():
            excluded = self._shared.coverage.is_excluded
            wanted = [channel for channel in self.plan.channels if not excluded(channel)]
            if all(channel in new.acknowledged for channel in wanted):
                newest_ns = max(new.acknowledged.values(), default=0)
                overlapped = clock.now_ns() - newest_ns >= int(OVERLAP_SECONDS * SECOND_NS)
                if not patient or not old.is_open or overlapped:
                    return
            await self._pause(POLL_SECONDS)

    def _is_mute(self, connection: LiveConnection, now_ns: int) -> bool:
        if not connection.is_open or not connection.acknowledged:
            return False
        return connection.pulse.is_mute(now_ns, self.config.stale_after_seconds * SECOND_NS)

    def _interrupt(self, channels: Sequence[Channel], cause: GapCause) -> None:
        shared = self._shared
        pairs = [(channel, shared.adapter.instrument_id(channel.symbol)) for channel in channels]
        shared.publisher.interrupt(pairs, cause, shared.clock.now_ns())

    def _demand(self, cause: Cause) -> None:
        if cause in (Cause.MUTE, Cause.DEAD):
            # Nothing says what it kept to itself, not even on channels too quiet to be missed yet.
            self._interrupt(self.plan.channels, GapCause.STALE)
        self._replace = cause
        self._changed.set()

    def _age_reached(self) -> bool:
        return self._shared.clock.now_ns() >= self._rotate_at_ns

    async def _wait(self) -> None:
        left_ns = self._rotate_at_ns - self._shared.clock.now_ns()
        await wait_for_event(self._changed, max(0.0, left_ns / SECOND_NS))
        self._changed.clear()

    async def _pause(self, seconds: float) -> None:
        await wait_for_event(self._stopping, seconds)
