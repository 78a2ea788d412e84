"""One connection from handshake to end, with a scripted socket and virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from support_stage import A, B, FakeSession, FakeSocket, FakeTransport, LoopClock

from feedplane_feeder.connection import GOODBYE_SECONDS, LiveConnection
from feedplane_feeder.core.ports import Channel, Control, ControlKind, Due, Outgoing, Refusal
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.errors import VenueUnavailableError
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher

pytestmark = pytest.mark.looptime


class Witness:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.acknowledgements: list[Channel] = []
        self.refusals: list[str] = []
        self.controls: list[ControlKind] = []
        self.ends: list[str | None] = []

    def acknowledged(self, channels: Sequence[Channel]) -> None:
        self.acknowledgements.extend(channels)

    def refused(self, refusals: Sequence[Refusal]) -> None:
        self.refusals.extend(refusal.message for refusal in refusals)

    def controlled(self, connection: LiveConnection, control: Control) -> None:
        self.controls.append(control.kind)

    def ended(self, connection: LiveConnection) -> None:
        self.ends.append(connection.end)


class PatientSession(FakeSession):
    """Has something to say every ten seconds."""

    said = 0

    def due(self, now_ns: int) -> Due:
        self.said += 1
        return Due(outgoing=[Outgoing(f"word {self.said}")], again_ns=now_ns + 10_000_000_000)


class PressedPublisher(Publisher):
    """Its sinks are behind until told otherwise."""

    pressed = False
    hopeless = False

    @property
    def full(self) -> bool:
        return self.pressed

    async def room(self) -> None:
        await asyncio.sleep(5)
        self.pressed = self.hopeless


class PausableSocket(FakeSocket):
    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class PausableTransport(FakeTransport):
    socket_type = PausableSocket


class Line:
    """A connection with everything around it."""

    def __init__(self, session: FakeSession) -> None:
        clock = LoopClock()
        meters = Meters(Metrics(CollectorRegistry()), "fake")
        self.publisher = PressedPublisher(Tape("fake"), (), meters, get_log("test"))
        self.witness = Witness()
        self.transport = PausableTransport(clock)
        self.session = session
        self.connection = LiveConnection(session, self.publisher, clock, self.witness)

    @property
    def socket(self) -> PausableSocket:
        socket = self.transport.sockets[-1]
        assert isinstance(socket, PausableSocket)
        return socket


@asynccontextmanager
async def opened(session: FakeSession) -> AsyncIterator[Line]:
    line = Line(session)
    await line.connection.open(line.transport, "ws://fake", {})
    async with asyncio.TaskGroup() as group:
        group.create_task(line.connection.run())
        await asyncio.sleep(0)
        yield line
        await line.connection.close()


async def test_handshake_that_fails_leaves_nothing_open() -> None:
    line = Line(FakeSession([A]))
    line.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503")]
    with pytest.raises(VenueUnavailableError):
        await line.connection.open(line.transport, "ws://fake", {})
    assert not line.connection.is_open
    await line.connection.close()
    assert line.witness.ends == []


async def test_frames_become_acknowledgements_refusals_and_controls() -> None:
    async with opened(FakeSession([A, B])) as line:
        await asyncio.sleep(1)
        assert line.socket.sent == ["subscribe"]
        line.socket.say("ack,refuse B,rotate")
        assert line.witness.acknowledgements == [A, B]
        assert line.witness.refusals == ["no"]
        assert line.witness.controls == [ControlKind.ROTATE]
        assert set(line.connection.acknowledged) == {A, B}
        assert line.connection.last_read_ns == line.socket.last_read_ns
    assert line.witness.ends == ["closed by us"]
    assert not line.connection.is_open


async def test_counts_are_those_since_the_last_call() -> None:
    async with opened(FakeSession([A, B])) as line:
        line.socket.say("A,A,B")
        assert line.connection.take_counts() == {A: 2, B: 1}
        assert line.connection.take_counts() == {}
        line.socket.say("A")
        assert line.connection.take_counts() == {A: 1}
        assert line.connection.frames == 4


async def test_session_is_asked_again_when_it_said_so() -> None:
    async with opened(PatientSession([A])) as line:
        await asyncio.sleep(25)
        assert line.socket.sent == ["word 1", "word 2", "word 3"]


async def test_channel_taken_back_is_no_longer_acknowledged() -> None:
    async with opened(FakeSession([A, B])) as line:
        line.socket.say("ack")
        line.connection.want([A])
        assert set(line.connection.acknowledged) == {A}
        assert set(line.session.channels) == {A}


async def test_socket_is_not_read_while_a_sink_is_behind() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = True
        line.socket.say("A")
        assert not line.socket.reading
        await asyncio.sleep(4.9)
        assert not line.socket.reading
        await asyncio.sleep(0.2)
        assert line.socket.reading


async def test_what_a_read_brings_beyond_the_room_waits() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = True
        line.socket.say("A")
        line.socket.say("A")
        assert line.connection.take_counts() == {}
        await asyncio.sleep(5.1)
        assert line.connection.take_counts() == {A: 2}


async def test_others_get_a_turn_between_parts_that_waited() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = True
        for _ in range(3):
            line.socket.say("A")
        await asyncio.sleep(4.99)
        line.publisher.pressed = False
        await asyncio.sleep(0.01)
        seen = []
        for _ in range(6):
            seen.append(line.connection.take_counts().get(A, 0))
            await asyncio.sleep(0)
        assert sum(seen) == 3
        assert max(seen) == 1


async def test_end_takes_along_what_waits_for_room() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = True
        line.socket.say("A")
        await line.connection.close()
        assert line.connection.take_counts() == {A: 1}


async def test_what_waits_counts_before_the_rest_is_ignored() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = True
        line.socket.say("A")
        line.connection.ignore()
        line.socket.say("A")
        assert line.connection.take_counts() == {A: 1}


async def test_waiting_ends_when_the_sinks_stay_behind() -> None:
    async with opened(FakeSession([A])) as line:
        line.publisher.pressed = line.publisher.hopeless = True
        line.socket.say("A")
        await asyncio.sleep(5.1)
        assert line.connection.take_counts() == {A: 1}
        assert line.socket.reading


async def test_polite_end_takes_every_channel_back_first() -> None:
    async with opened(FakeSession([A])) as line:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await line.connection.close(unsubscribe=True)
        assert loop.time() - asked == pytest.approx(GOODBYE_SECONDS)
        assert line.session.channels == set()


async def test_end_is_told_before_anybody_can_see_it() -> None:
    async with opened(FakeSession([A])) as line:
        await asyncio.sleep(1)
        line.socket.end("lost")
        while line.connection.is_open:
            assert line.witness.ends == []
            await asyncio.sleep(0)
        assert line.witness.ends == ["lost"]


async def test_end_by_the_venue_is_told_with_its_reason() -> None:
    async with opened(FakeSession([A])) as line:
        line.socket.end("closed by the venue: 1001")
        await asyncio.sleep(0.1)
        assert line.witness.ends == ["closed by the venue: 1001"]
        assert line.connection.end == "closed by the venue: 1001"
