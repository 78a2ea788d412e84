"""Supervisor: keeps one planned connection alive, and replaces it new one first.

Level-based: it looks at what is there (no connection, an ended one, one that must be replaced)
and does the next thing, so it does not matter in which order things happened. Must not know
venues or sinks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from feedplane_api.worker import ChannelState, SessionConfig, SessionState
from feedplane_feeder.connection import SECOND_NS, LiveConnection
from feedplane_feeder.connector import Connector
from feedplane_feeder.connector import Surroundings as Surroundings
from feedplane_feeder.core.coverage import RESUBSCRIBE_CAP_NS
from feedplane_feeder.core.doubts import Doubts
from feedplane_feeder.core.overlap import OVERLAP_NS, find_unsure, is_stuck
from feedplane_feeder.core.ports import (
    Channel,
    ConnectionPlan,
    Control,
    ControlKind,
    Refusal,
    VenueLimits,
)
from feedplane_feeder.core.pulse import Pulse
from feedplane_feeder.core.session import SILENT, Cause, SessionFacts, session_state
from feedplane_feeder.core.sessions import OPEN, Attendance
from feedplane_feeder.events import Event
from feedplane_feeder.records import GapCause
from feedplane_feeder.waiting import wait_for_event

HANDOVER_SECONDS: Final = 20.0
GONE_SECONDS: Final = 0.2
"""What a venue may need to see that a closed session is gone."""
POLL_SECONDS: Final = 0.1
JITTER: Final = 0.05
"""Share of the rotation age by which connections differ, so that not all rotate at once."""


class Supervisor:
    """One connection of the placement, over all its lives. Owner of its live connections."""

    def __init__(
        self, plan: ConnectionPlan, limits: VenueLimits, config: SessionConfig, shared: Surroundings
    ) -> None:
        self.plan = plan
        self.limits = limits
        self.config = config
        self._shared = shared
        self._log = shared.log.bind(connection=plan.key)
        self._connector = Connector(shared, self._log)
        self._heard = Pulse(shared.clock.now_ns())
        self._current: LiveConnection | None = None
        self._successor: LiveConnection | None = None
        self._replace: Cause | None = None
        self._replace_successor: Cause | None = None
        """What the venue asked of the successor while the old connection still went on."""
        self._rotate_at_ns = 0
        self._hours = Attendance(shared.coverage.sessions)
        self._mute_again_ns = 0
        self._mute_wait_ns = 0
        self._silent_ns = 0
        """When the connection was found silent."""
        self._doubts = Doubts()
        self._stood: dict[Channel, int] = {}
        """Where channels without numbers stood when the successor was opened."""
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def last_error(self) -> str:
        """Why there was no connection the last time."""
        return self._connector.last_error

    def connections(self) -> list[LiveConnection]:
        """Return the open connections: one, or two while one replaces the other."""
        present = (self._current, self._successor)
        return [connection for connection in present if connection and connection.is_open]

    def state(self, now_ns: int) -> SessionState:
        """Return where this connection stands in its life."""
        current = self._current
        facts = SessionFacts(
            connecting=self._connector.connecting,
            is_open=current is not None and current.is_open,
            acknowledged=len(current.acknowledged) if current else 0,
            frames=current.frames if current else 0,
            mute=self.is_silent(now_ns),
        )
        return session_state(facts)

    def is_silent(self, now_ns: int) -> bool:
        """Tell whether nothing comes on this connection, nor on what replaced it meanwhile."""
        current = self._current
        if current is None or not self._awaits(current):
            return False
        floor_ns = self.config.stale_after_seconds * SECOND_NS
        newest_ns = max(connection.heard_ns for connection in self.connections())
        return now_ns - newest_ns >= floor_ns and self._heard.is_mute(now_ns, floor_ns)

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
        self._connector.stop()
        self._changed.set()

    def renew(self) -> None:
        """Replace the connection by one with the new credentials, or open one at once."""
        self._connector.renew()
        if self._current is not None:
            self._demand(Cause.CREDENTIALS)

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe one channel again, alone, unless the whole connection is silent."""
        self._doubts.add(channel, self._shared.clock.now_ns())

    def sweep(self, now_ns: int) -> None:
        """Feed the coverage and look after the pulse; call it about twice a second."""
        self._attend(now_ns)
        for connection in self.connections():
            counts = connection.take_counts()
            for channel, frames in counts.items():
                self._shared.coverage.delivered(channel, frames, now_ns)
            if counts:
                frames = sum(counts.values())
                connection.pulse.beat(frames, now_ns, learn=self._hours.opened_ns is not None)
                self._hear(frames, connection.heard_ns or now_ns)
                if connection is self._current:
                    self._mute_wait_ns = 0
        current = self._current
        if current is None or not current.is_open or self._replace in SILENT:
            return
        self._ask_doubted(current)
        if now_ns - current.last_read_ns > self.limits.ping_timeout_seconds * SECOND_NS:
            self._demand(Cause.DEAD)
        elif now_ns >= self._mute_again_ns and self._is_mute(current, now_ns):
            # A market in which nothing happens looks the same, so the waits grow.
            floor_ns = self.config.stale_after_seconds * SECOND_NS
            self._mute_wait_ns = min(max(2 * self._mute_wait_ns, floor_ns), RESUBSCRIBE_CAP_NS)
            self._mute_again_ns = now_ns + self._mute_wait_ns
            self._demand(Cause.MUTE)

    def _ask_doubted(self, current: LiveConnection) -> None:
        if self._replace is not None:
            return
        find_state = self._shared.coverage.find_state
        for channel in self._doubts.take(find_state, current.acknowledged, current.heard_ns):
            current.resubscribe(channel)

    async def run(self) -> None:
        """Keep the connection alive until `stop`."""
        async with asyncio.TaskGroup() as group:
            guard = group.create_task(self._leave_with_the_seat())
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
            guard.cancel()
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
        cause = Cause.VENUE if control.kind is ControlKind.ROTATE else Cause.LOST
        if connection is self._current:
            self._demand(cause)
        elif connection is self._successor:
            self._replace_successor = cause

    def ended(self, connection: LiveConnection) -> None:
        """See `Owner`."""
        now_ns = self._shared.clock.now_ns()
        if connection in (self._current, self._successor) and not self._stopping.is_set():
            self._connector.lost(now_ns - connection.opened_ns)
            # A successor's end costs nothing while the old connection goes on.
            if connection is self._current or not self.connections():
                self._note_loss(connection, now_ns)
        self._changed.set()

    def _note_loss(self, connection: LiveConnection, now_ns: int) -> None:
        # What the successor already carries was not interrupted, if it surely did in time.
        successor = self._successor if connection is self._current else None
        carried = successor.acknowledged if successor and successor.is_open else {}
        lost = [channel for channel in self.plan.channels if channel not in carried]
        if self._replace not in SILENT:
            unsure = find_unsure(carried, connection.last_read_ns)
            self._interrupt(unsure, GapCause.DISCONNECT, self._stood)
        if not lost and successor is not None:
            return
        self._interrupt(lost, GapCause.DISCONNECT)
        for channel in lost:
            self._shared.coverage.disconnected(channel, now_ns)
        self._connector.last_error = connection.end or ""
        self._shared.publisher.meters.add_reconnect(Cause.LOST)
        self._log.warning(Event.SESSION_LOST, reason=connection.end)

    async def _connect(self, group: asyncio.TaskGroup) -> LiveConnection | None:
        shared = self._shared
        session = shared.adapter.session(self.plan, self.limits)
        connection = LiveConnection(session, shared.publisher, shared.clock, self)
        if await self._connector.open(connection, self.plan.url):
            self._note_opened(group, connection)
            return connection
        if not self._stopping.is_set():
            shared.publisher.meters.add_reconnect(Cause.REFUSED)
        return None

    def _note_opened(self, group: asyncio.TaskGroup, connection: LiveConnection) -> None:
        shared = self._shared
        if self._current is None:
            self._heard.start(connection.opened_ns)
        connection.want(self.plan.channels)  # they may have changed during the handshake
        group.create_task(connection.run())
        jitter = 1.0 - JITTER * shared.rng.uniform(0.0, 1.0)
        life_ns = int(self.config.rotate_after_seconds * jitter * SECOND_NS)
        self._rotate_at_ns = connection.opened_ns + life_ns
        for channel in self.plan.channels:
            shared.coverage.requested(channel, connection.opened_ns)
        self._log.info(Event.SESSION_OPENED, channel_count=len(self.plan.channels))

    # Make before break: the new connection carries every channel before the old one ends.
    async def _hand_over(self, group: asyncio.TaskGroup, old: LiveConnection) -> None:
        cause = self._replace = self._replace or Cause.AGE
        if self.limits.sessions_per_account is not None:
            await self._break_first(old, cause)
            return
        successor = await self._connect(group)
        if successor is None:
            return
        self._successor, self._replace_successor = successor, None
        self._stood = self._shared.publisher.standing(self._identified(self.plan.channels))
        await self._wait_until_carried(old, successor, patient=cause not in SILENT)
        if cause in SILENT:
            self._leave_silent(old, successor)
        self._successor = None
        if not successor.is_open:
            return
        uncarried = [c for c in self.plan.channels if c not in successor.acknowledged]
        self._interrupt(uncarried, GapCause.DISCONNECT)
        confirmed, heard_ns = successor.acknowledged, successor.heard_ns
        if cause not in SILENT and is_stuck(confirmed, old.last_read_ns, heard_ns):
            self._interrupt(self.plan.channels, GapCause.STALE, self._stood)
        self._current = successor
        self._note_rotation(cause)
        if self._replace_successor is not None:
            self._demand(self._replace_successor)
        await old.close()
        # What came of the old one until here may have ended a doubt too early.
        left = uncarried if successor.is_open else self.plan.channels
        self._interrupt(left, GapCause.DISCONNECT)

    # It may have woken up, as all do after a pause of the venue, and is heard until then. From here
    # on what it kept to itself would come late, behind newer records: a hole nobody names.
    def _leave_silent(self, old: LiveConnection, successor: LiveConnection) -> None:
        if successor.is_open:
            old.ignore()
        if old.heard_ns >= self._silent_ns or not successor.is_open:
            self._interrupt(self.plan.channels, GapCause.STALE, self._stood)

    # Where an account's sessions are counted there is no second one: close, then open, and the
    # hole between is named.
    async def _break_first(self, old: LiveConnection, cause: Cause) -> None:
        self._current = None
        self._note_rotation(cause)
        await old.close(unsubscribe=True)
        self._interrupt(self.plan.channels, GapCause.DISCONNECT)
        for channel in self.plan.channels:
            self._shared.coverage.disconnected(channel, self._shared.clock.now_ns())
        await wait_for_event(self._stopping, GONE_SECONDS)

    def _note_rotation(self, cause: Cause) -> None:
        self._replace = None
        if cause in (Cause.AGE, Cause.VENUE, Cause.CREDENTIALS):
            self._shared.publisher.meters.add_rotation()
        else:
            self._shared.publisher.meters.add_reconnect(cause)
        self._log.info(Event.SESSION_ROTATED, cause=cause.value)

    # Without its seat the account may be logged in elsewhere any moment.
    async def _leave_with_the_seat(self) -> None:
        seat = self._shared.seat
        while True:
            await seat.wait_held()
            await seat.wait_lost()
            for connection in self.connections():
                self._log.warning(Event.SESSION_CLOSED, reason="SeatLost")
                await connection.close()

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
                overlapped = clock.now_ns() - newest_ns >= OVERLAP_NS
                if not patient or not old.is_open or overlapped:
                    return
            await wait_for_event(self._stopping, POLL_SECONDS)

    def _hear(self, frames: int, at_ns: int) -> None:
        # A busy connection does not go silent by nature, so that is not learned; what grows quiet
        # bit by bit is.
        floor_ns = self.config.stale_after_seconds * SECOND_NS
        fault = self._heard.is_mute(at_ns, floor_ns) and self._heard.is_dense(floor_ns)
        learn = self._hours.opened_ns is not None and not fault
        self._heard.beat(frames, max(at_ns, self._heard.last_ns or 0), learn=learn)

    def _awaits(self, connection: LiveConnection) -> bool:
        carries = connection.is_open and bool(connection.acknowledged)
        return carries and self._hours.opened_ns is not None

    def _is_mute(self, connection: LiveConnection, now_ns: int) -> bool:
        floor_ns = self.config.stale_after_seconds * SECOND_NS
        return self._awaits(connection) and connection.pulse.is_mute(now_ns, floor_ns)

    # What opened since the last look and is not carried misses data from its open on.
    def _attend(self, now_ns: int) -> None:
        late = self._hours.look(self.plan.channels, now_ns)
        self._heard.open(self._hours.opened_ns or OPEN)
        self._connector.rest_until_ns = self._hours.rest_until_ns(self.plan.channels, now_ns)
        for connection in self.connections():
            connection.pulse.open(self._hours.opened_ns or OPEN)
            connection.rest(self._connector.rest_until_ns)
        carried = {c for connection in self.connections() for c in connection.acknowledged}
        self._interrupt([c for c in late if c not in carried], GapCause.DISCONNECT)

    # While its market is closed a channel misses nothing.
    def _interrupt(
        self, channels: Sequence[Channel], cause: GapCause, stood_at: Mapping[Channel, int] = {}
    ) -> None:
        now_ns = self._shared.clock.now_ns()
        pairs = self._identified(self._hours.trading(channels, now_ns))
        self._shared.publisher.interrupt(pairs, cause, now_ns, stood_at)

    def _identified(self, channels: Sequence[Channel]) -> list[tuple[Channel, str]]:
        identify = self._shared.adapter.instrument_id
        return [(channel, identify(channel.symbol)) for channel in channels]

    def _demand(self, cause: Cause) -> None:
        if cause in SILENT:
            # Nothing says what it kept to itself, not even on channels too quiet to be missed yet.
            self._silent_ns = self._shared.clock.now_ns()
            self._interrupt(self.plan.channels, GapCause.STALE)
        self._replace = cause
        self._changed.set()

    def _age_reached(self) -> bool:
        return self._shared.clock.now_ns() >= self._rotate_at_ns

    async def _wait(self) -> None:
        left_ns = self._rotate_at_ns - self._shared.clock.now_ns()
        await wait_for_event(self._changed, max(0.0, left_ns / SECOND_NS))
        self._changed.clear()
