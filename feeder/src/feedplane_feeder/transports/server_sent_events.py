"""Server-sent events over HTTP: a connection whose frames are the data of pushed events.

What is subscribed stands in the address, so a change of it means another request: it is opened
before the old one is closed. Must not know what the events say.
"""

import asyncio
from collections.abc import Mapping

import aiohttp

from feedplane_feeder.core.event_stream import EventStream
from feedplane_feeder.core.polling import HttpTerms
from feedplane_feeder.core.ports import Clock, StreamListener
from feedplane_feeder.errors import VenueUnavailableError
from feedplane_feeder.transports.http_answers import AnswerJudge

READ_BYTES = 256 * 1024


class EventConnection:
    """See `StreamConnection`."""

    def __init__(
        self,
        transport: "EventTransport",
        http: aiohttp.ClientSession,
        headers: Mapping[str, str],
        listener: StreamListener,
        clock: Clock,
    ) -> None:
        self.last_read_ns = clock.now_ns()
        """See `StreamConnection`."""
        self._transport = transport
        self._http = http
        self._headers = headers
        self._listener = listener
        self._clock = clock
        self._answer: aiohttp.ClientResponse | None = None
        self._orders: asyncio.Queue[str | None] = asyncio.Queue()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def open(self, url: str) -> None:
        """Ask for the stream.

        Raises:
            VenueUnavailableError: it did not open.
        """
        self._answer = await self._transport.request(self._http, url, self._headers)

    async def run(self) -> str:
        """See `StreamConnection`."""
        assert self._answer is not None  # noqa: S101 - opened before
        reading = asyncio.create_task(self._read(self._answer))
        order = asyncio.create_task(self._orders.get())
        try:
            while True:
                await asyncio.wait({reading, order}, return_when=asyncio.FIRST_COMPLETED)
                if not order.done():
                    return await reading
                url = order.result()
                if url is None:
                    return "closed by us"
                await self.open(url)
                reading.cancel()
                reading = asyncio.create_task(self._read(self._answer))
                order = asyncio.create_task(self._orders.get())
        except VenueUnavailableError as error:
            return str(error)
        finally:
            reading.cancel()
            order.cancel()
            await self._http.close()

    def send(self, text: str) -> None:
        """See `StreamConnection`; takes the address of the stream that replaces this one."""
        self._orders.put_nowait(text)

    def pause_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.clear()

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.set()

    async def close(self) -> None:
        """See `StreamConnection`."""
        self._orders.put_nowait(None)
        await self._http.close()

    async def _read(self, answer: aiohttp.ClientResponse) -> str:
        events = EventStream()
        try:
            while piece := await answer.content.readany():
                self.last_read_ns = self._clock.now_ns()
                frames = events.feed(piece)
                if frames:
                    self._listener.frames_received(frames, self.last_read_ns)
                if events.broken:
                    return "an event without an end"
                await self._flowing.wait()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            answer.close()
        return "ended by the venue"


class EventTransport:
    """See `Transport`."""

    def __init__(self, terms: HttpTerms, clock: Clock) -> None:
        self._clock = clock
        self._judge = AnswerJudge(terms, clock)
        self._opening = asyncio.Lock()

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> EventConnection:
        """See `Transport`."""
        http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=READ_BYTES,
            trust_env=True,
        )
        connection = EventConnection(self, http, headers, listener, self._clock)
        try:
            await connection.open(url)
        except BaseException:
            await http.close()
            raise
        return connection

    async def request(
        self, http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Return the answer whose body is the stream; requests go out one after the other.

        Raises:
            VenueUnavailableError: there is none.
        """
        terms = self._judge.terms
        async with self._opening:
            self._judge.check_cooldown(url)
            with self._judge.watch(url):
                async with asyncio.timeout(terms.timeout_seconds):
                    answer = await http.get(
                        url, headers={**headers, **terms.headers}, allow_redirects=False
                    )
            try:
                self._judge.check_status(url, answer.status, answer.headers)
            except BaseException:
                answer.close()
                raise
            await self._clock.sleep(terms.spacing_seconds)
            return answer
