"""Exchange client: asks a venue over TCP sessions, each after a login, one question at a time.

The pool opens a session at once while it may have another one, and waits only at its limit; an
answer that breaks off ends its session, never the client. Must not know what is asked.
"""

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from feedplane_feeder.core.budget import Allowance, Pause, Priority
from feedplane_feeder.core.exchange import Exchange
from feedplane_feeder.errors import (
    FeederError,
    MalformedFrameError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 30.0
GOODBYE_SECONDS: Final = 2.0
READ_BYTES: Final = 65_536
LONGEST_ANSWER_BYTES: Final = 64 * 1024 * 1024


class ExchangeSession:
    """One connection that is logged in."""

    def __init__(
        self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._exchange = exchange
        self._reader = reader
        self._writer = writer
        self._received = b""

    async def ask(self, request: bytes, url: str) -> bytes:
        """Return the answer to a request.

        Raises:
            VenueUnavailableError: it broke off, or took too long.
            MalformedFrameError: no such answer.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._writer.write(request)
                await self._writer.drain()
                while True:
                    end = self._exchange.find_end(self._received)
                    if end is not None:
                        answer, self._received = self._received[:end], self._received[end:]
                        return answer
                    part = await self._reader.read(READ_BYTES)
                    if not part:
                        raise VenueUnavailableError(url, "closed amid an answer")
                    self._received += part
                    if len(self._received) > LONGEST_ANSWER_BYTES:
                        raise VenueUnavailableError(url, "an answer without an end")
        except (OSError, TimeoutError) as error:
            raise VenueUnavailableError(url, f"{type(error).__name__}: {error}") from error

    async def close(self, *, polite: bool) -> None:
        """Log out where that can be heard, and close."""
        with suppress(OSError, TimeoutError, FeederError):
            if polite:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self.ask(self._exchange.goodbye(), "")
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._writer.wait_closed()


class ExchangeClient:
    """A venue's sessions. Use as an async context manager."""

    def __init__(self, exchange: Exchange, url: str, allowance: Allowance, sessions: int) -> None:
        self._exchange = exchange
        self._url = url
        self._allowance = allowance
        self._slots = asyncio.Semaphore(sessions)
        self._idle: list[ExchangeSession] = []

    async def __aenter__(self) -> "ExchangeClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        idle, self._idle = self._idle, []
        for session in idle:
            await session.close(polite=True)

    async def fetch(self, path: str, weight: int, priority: Priority = Priority.LIVE) -> bytes:
        """Return the answer to the request a path stands for; waits until there is room.

        Raises:
            VenueThrottledError: the venue asks for a pause.
            VenueBannedError: it refuses the address.
            CredentialsRefusedError: it refuses the login.
            VenueUnavailableError: no usable answer.
            MalformedFrameError: one that cannot be read.
        """
        async with self._slots:
            minute = await self._allowance.take(weight, priority)
            pause: Pause | None = None
            try:
                return await self._ask(path)
            except VenueThrottledError as error:
                banned = isinstance(error, VenueBannedError)
                pause = Pause(seconds=error.retry_after_seconds, banned=banned)
                raise
            finally:
                await self._allowance.settle(weight, minute, None, pause)

    # A session in which anything went wrong is not used again: what it says next may be late.
    async def _ask(self, path: str) -> bytes:
        session = self._idle.pop() if self._idle else await self._open()
        try:
            answer = await session.ask(self._exchange.request(path), self._url)
            read = self._exchange.read(answer)
        except BaseException:
            await session.close(polite=False)
            raise
        self._idle.append(session)
        return read

    async def _open(self) -> ExchangeSession:
        place = urlsplit(self._url)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(place.hostname, place.port)
        except (OSError, TimeoutError) as error:
            raise VenueUnavailableError(self._url, f"{type(error).__name__}: {error}") from error
        session = ExchangeSession(self._exchange, reader, writer)
        try:
            self._exchange.read(await session.ask(self._exchange.hello(), self._url))
        except (FeederError, MalformedFrameError):
            await session.close(polite=False)
            raise
        return session
