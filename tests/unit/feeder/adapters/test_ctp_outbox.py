import json
import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from feedplane_feeder.adapters.ctp_native import MOST_QUEUED, MOST_WRITTEN, Outbox
from feedplane_feeder.adapters.ctp_transport import take_frames

TICK = b"20260105".ljust(584, b"\0")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_oldest_ticks_are_shed_and_the_loss_is_told(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox = Outbox(pair[0])
    outbox.tell("login", error=0)
    for number in range(MOST_QUEUED + 10):
        outbox.put(b"tick %d" % number)
    outbox.shed()
    first, second, third = outbox.take()[:3]
    assert json.loads(first) == {"on": "login", "error": 0}
    assert json.loads(second) == {"on": "overflowed", "count": 10}
    assert third == b"tick 10"


def test_nothing_is_shed_while_there_is_room(pair: tuple[socket.socket, socket.socket]) -> None:
    outbox = Outbox(pair[0])
    frames = [b"tick %d" % number for number in range(MOST_WRITTEN + 1)]
    for frame in frames:
        outbox.put(frame)
    outbox.shed()
    assert [*outbox.take(), *outbox.take()] == frames


def test_writer_waits_for_a_slow_reader_and_drops_nothing(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    frames = [TICK + b"%d" % number for number in range(5_000)]
    writer = Thread(target=Outbox(pair[0]).write, args=[frames])
    writer.start()
    data, got = bytearray(), list[bytes]()
    while len(got) < len(frames):
        data += pair[1].recv(30_000)
        got += take_frames(data)
    writer.join()
    assert got == frames
