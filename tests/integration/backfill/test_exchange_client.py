"""Sessions of a venue that answers in its own way, against a server in this process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from feedplane_feeder.allowance import LocalAllowance
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.budget import Priority
from feedplane_feeder.errors import MalformedFrameError, VenueBannedError, VenueUnavailableError
from feedplane_feeder.transports.exchange_client import ExchangeClient


class Lines:
    """One line is asked, one is answered."""

    def hello(self) -> bytes:
        return b"hello\n"

    def goodbye(self) -> bytes:
        return b"goodbye\n"

    def request(self, path: str) -> bytes:
        return f"{path}\n".encode()

    def find_end(self, received: bytes) -> int | None:
        return received.find(b"\n") + 1 or None

    def read(self, answer: bytes) -> bytes:
        if answer == b"banned\n":
            raise VenueBannedError("tcp://here", "banned", 60.0)
        if answer == b"odd\n":
            raise MalformedFrameError("odd", answer)
        return answer.strip()


class Server:
    """Says back what it is told, or what it was told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.says: dict[str, bytes] = {}
        self.sessions = self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self.most = max(self.most, self.sessions)
        while line := (await reader.readline()).decode().strip():
            self.heard.append(line)
            says = self.says.get(line, f"{line}\n".encode())
            writer.write(says)
            await writer.drain()
            if not says.endswith(b"\n"):
                break
        self.sessions -= 1
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield server, f"tcp://127.0.0.1:{port}"
    listening.close()
    await listening.wait_closed()


def client(url: str, sessions: int = 1) -> ExchangeClient:
    return ExchangeClient(Lines(), url, LocalAllowance(1_000, SystemClock()), sessions)


async def test_sessions_are_opened_up_to_the_limit_and_kept(server: tuple[Server, str]) -> None:
    at, url = server
    async with client(url, 2) as pool:
        asked = [pool.fetch(f"q{number}", 1, Priority.BACKFILL) for number in range(6)]
        assert await asyncio.gather(*asked) == [f"q{number}".encode() for number in range(6)]
    assert at.most == 2
    assert at.heard.count("hello") == at.heard.count("goodbye") == 2


async def test_answer_that_breaks_off_ends_its_session_only(server: tuple[Server, str]) -> None:
    at, url = server
    at.says = {"cut": b"half", "odd": b"odd\n"}
    async with client(url) as pool:
        assert await pool.fetch("a", 1) == b"a"
        with pytest.raises(VenueUnavailableError, match="closed amid an answer"):
            await pool.fetch("cut", 1)
        assert await pool.fetch("b", 1) == b"b"
        with pytest.raises(MalformedFrameError):
            await pool.fetch("odd", 1)
        assert await pool.fetch("c", 1) == b"c"
    assert at.heard.count("hello") == 3
    assert at.most <= 2


async def test_ban_at_the_login_is_told_and_kept(server: tuple[Server, str]) -> None:
    at, url = server
    at.says = {"hello": b"banned\n"}
    allowance = LocalAllowance(1_000, SystemClock())
    async with ExchangeClient(Lines(), url, allowance, 1) as pool:
        with pytest.raises(VenueBannedError):
            await pool.fetch("a", 1)
    assert allowance.banned_until_ns > SystemClock().now_ns()


async def test_venue_that_is_not_there_is_unavailable() -> None:
    async with client("tcp://127.0.0.1:1") as pool:
        with pytest.raises(VenueUnavailableError):
            await pool.fetch("a", 1)
