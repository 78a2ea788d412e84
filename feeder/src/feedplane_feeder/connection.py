"""LiveConnection: one open socket with its session: frames in, control messages out.

Must not know why it was opened or what replaces it; that is its supervisor's matter.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from feedplane_feeder.core.ports import (
    Channel,
    Clock,
    Control,
    Refusal,
    RestingConnection,
    Session,
    StreamConnection,
    Transport,
)
from feedplane_feeder.core.pulse import Pulse
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.waiting import wait_for_event

SECOND_NS: Final = 1_000_000_000
GOODBYE_SECONDS: Final = 0.3


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def acknowledged(self, channels: Sequence[Channel]) -> None:
        """The venue confirmed channels."""

    def refused(self, refusals: Sequence[Refusal]) -> None:
        """The venue refused channels."""

    def controlled(self, connection: "LiveConnection", control: Control) -> None:
        """The session asks for something to be done with the connection."""

    def ended(self, connection: "LiveConnection") -> None:
        """The connection is gone."""


class LiveConnection:
    """One connection from handshake to end. Listens to its transport."""

    def __init__(self, session: Session, publisher: Publisher, clock: Clock, owner: Owner) -> None:
        self.session = session
        self.opened_ns = 0
        self.acknowledged: dict[Channel, int] = {}
        """Confirmed channels and when."""
        self.end: str | None = None
        """Why it ended; None while it is open or not open yet."""
        self.pulse = Pulse(0)
        self.heard_ns = 0
        """When a record came last, or word that there is nothing new."""
        self.frames = 0
        """Good frames so far, counted by `take_counts`."""
        self._publisher = publisher
        self._clock = clock
        self._owner = owner
        self._socket: StreamConnection | None = None
        self._due = asyncio.Event()
        self._pressed = asyncio.Event()
        self._held: deque[tuple[list[bytes], int]] = deque()
        """What the last reads brought beyond what the sinks had room for, with its ts_recv."""
        self._counted: dict[Channel, int] = {}
        self._ignored = False

    @property
    def is_open(self) -> bool:
        """Whether the socket is up."""
        return self._socket is not None and self.end is None

    @property
    def last_read_ns(self) -> int:
        """When anything at all was read last."""
        return self._socket.last_read_ns if self._socket else 0

    async def open(self, transport: Transport, url: str, headers: Mapping[str, str]) -> None:
        """Do the handshake.

        Raises:
            VenueUnavailableError: it did not open.
        """
        self._socket = await transport.connect(url, headers, self)
        self.opened_ns = self._clock.now_ns()
        self.pulse = Pulse(self.opened_ns)
        self.session.opened(self.opened_ns)

    async def run(self) -> None:
        """Carry frames until the connection ends."""
        assert self._socket is not None  # noqa: S101 - opened before
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._send_due()), group.create_task(self._relieve())]
                end = await self._socket.run()
                for task in tasks:
                    task.cancel()
            while self._held:
                await self._ease()
        finally:
            self._take_held()
        # Nobody may find it ended before its owner was told.
        self.end = end
        self._owner.ended(self)

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        """See `StreamListener`.

        One read may bring more than a queue has room for, whatever its reader is told meanwhile;
        the rest waits here.
        """
        if self._ignored:
            return
        if self._held or self._publisher.full:
            self._held.append((frames, ts_recv))
        else:
            self._take(frames, ts_recv)
        if self._publisher.full and self._socket is not None:
            self._socket.pause_reading()
            self._pressed.set()

    def want(self, channels: Sequence[Channel]) -> None:
        """Change the channels; what stays is not touched."""
        self.session.want(channels)
        wanted = set(channels)
        for gone in [channel for channel in self.acknowledged if channel not in wanted]:
            del self.acknowledged[gone]
        self._due.set()

    def ignore(self) -> None:
        """Take nothing more from it; another connection goes on from here."""
        self._take_held()
        self._ignored = True

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe one channel again, alone."""
        self.session.resubscribe(channel)
        self._due.set()

    def rest(self, until_ns: int) -> None:
        """Leave the venue in peace until then, where it is asked again and again."""
        if isinstance(self._socket, RestingConnection):
            self._socket.rest(until_ns)

    def take_counts(self) -> dict[Channel, int]:
        """Return the good frames per channel since the last call; silent ones are left out."""
        counts = self.session.frame_counts()
        grown = {
            channel: count - self._counted.get(channel, 0)
            for channel, count in counts.items()
            if count != self._counted.get(channel, 0)
        }
        self._counted = dict(counts)
        self.frames += sum(grown.values())
        return grown

    async def close(self, *, unsubscribe: bool = False) -> None:
        """Hang up, on request after taking every channel back."""
        if not self.is_open or self._socket is None:
            return
        if unsubscribe:
            self.session.unsubscribe_all()
            self._due.set()
            # The venue's frames end with its answer; a moment is enough and none is needed.
            await self._clock.sleep(GOODBYE_SECONDS)
        await self._socket.close()
        self._take_held()

    def _take(self, frames: list[bytes], ts_recv: int) -> None:
        received = self.session.receive(frames, ts_recv)
        self._publisher.meters.add_frames(frames, len(received.quarantined))
        self._publisher.take(received, ts_recv)
        if received.late_polls or received.unchanged:
            self._publisher.meters.add_polls(received.late_polls, received.unchanged)
        if received.records or received.unchanged:
            self.heard_ns = ts_recv
        if received.acknowledged or received.refusals:
            self.acknowledged.update((channel, ts_recv) for channel in received.acknowledged)
            self._owner.acknowledged(received.acknowledged)
            self._owner.refused(received.refusals)
        if received.answered or received.acknowledged or received.refusals:
            self._due.set()
        for control in received.controls:
            self._owner.controlled(self, control)

    # Whether there is room or not: where there is none it goes to the disk, or is lost by name.
    def _take_held(self) -> None:
        while self._held:
            self._take(*self._held.popleft())

    async def _send_due(self) -> None:
        assert self._socket is not None  # noqa: S101 - opened before
        while True:
            now_ns = self._clock.now_ns()
            due = self.session.due(now_ns)
            for outgoing in due.outgoing:
                self._socket.send(outgoing.text)
            again = None if due.again_ns is None else max(0.0, (due.again_ns - now_ns) / SECOND_NS)
            await wait_for_event(self._due, again)
            self._due.clear()

    # Reading stops while a sink is behind; the writer says when it may go on.
    async def _relieve(self) -> None:
        assert self._socket is not None  # noqa: S101 - opened before
        while True:
            await self._pressed.wait()
            await self._ease()
            if not self._held:
                self._pressed.clear()
                self._socket.resume_reading()

    async def _ease(self) -> None:
        await self._publisher.room()
        if self._publisher.full:
            # It was waited for long enough.
            self._take_held()
        while self._held and not self._publisher.full:
            self._take(*self._held.popleft())
            # A database that waits for its next command is not kept waiting for all of it.
            await asyncio.sleep(0)
