"""WebSocket over the `websockets` library: the second engine, slower and everywhere available.

Frames that are already read are handed over together. Must not know what the frames say.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    WebSocketException,
)

from feedplane_feeder.core.ports import Clock, StreamListener
from feedplane_feeder.errors import VenueUnavailableError
from feedplane_feeder.transports.handshake import (
    CLOSE_TIMEOUT_SECONDS,
    OPEN_TIMEOUT_SECONDS,
    find_proxy,
    refused_handshake,
)

QUEUED_FRAMES: Final = 1_024


class _Timed(ClientConnection):
    """A connection that remembers when it read anything, pings included."""

    clock: Clock
    last_read_ns = 0

    def data_received(self, data: bytes) -> None:
        self.last_read_ns = self.clock.now_ns()
        super().data_received(data)


class WebsocketsConnection:
    """See `StreamConnection`."""

    def __init__(self, socket: _Timed, listener: StreamListener, clock: Clock) -> None:
        self._socket = socket
        self._listener = listener
        self._clock = clock
        self._frames: list[bytes] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._sending: set[asyncio.Task[None]] = set()
        self._closed_by_us = False
        self._failure: Exception | None = None

    @property
    def last_read_ns(self) -> int:
        """See `StreamConnection`."""
        return self._socket.last_read_ns

    async def run(self) -> str:
        """See `StreamConnection`."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                frame = await self._socket.recv(decode=False)
                if not self._frames:
                    # `recv` does not yield while frames are waiting, so the flush comes after
                    # all of them.
                    loop.call_soon(self._flush)
                self._frames.append(frame)
                if not self._flowing.is_set():
                    await self._flowing.wait()
        except ConnectionClosed as error:
            if self._failure is not None:
                raise self._failure from None
            self._flush()
            if self._closed_by_us:
                return "closed by us"
            code = error.rcvd.code if error.rcvd else 1006
            return f"closed by the venue: {code}"

    def send(self, text: str | bytes) -> None:
        """See `StreamConnection`; bytes go out as a binary frame."""
        # The library sends in a coroutine; its frame is small and its buffer is not full.
        task = asyncio.get_running_loop().create_task(self._send(text))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def pause_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.clear()

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.set()

    async def close(self) -> None:
        """See `StreamConnection`."""
        self._closed_by_us = True
        self._flowing.set()
        if self._sending:
            await asyncio.wait(self._sending, timeout=CLOSE_TIMEOUT_SECONDS)
        await self._socket.close()

    async def _send(self, text: str | bytes) -> None:
        try:
            await self._socket.send(text)
        except ConnectionClosed:
            return

    def _flush(self) -> None:
        if not self._frames:
            return
        frames, self._frames = self._frames, []
        try:
            self._listener.frames_received(frames, self._clock.now_ns())
        except Exception as error:  # noqa: BLE001 - a bug of ours, raised again by `run`
            self._failure = error
            self._socket.transport.abort()


class WebsocketsTransport:
    """See `Transport`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> WebsocketsConnection:
        """See `Transport`."""
        timed = type("_TimedNow", (_Timed,), {"clock": self._clock})
        try:
            socket = await connect(
                url,
                compression=None,
                additional_headers={k: v for k, v in headers.items() if k != "User-Agent"},
                user_agent_header=headers.get("User-Agent"),
                open_timeout=OPEN_TIMEOUT_SECONDS,
                close_timeout=CLOSE_TIMEOUT_SECONDS,
                ping_interval=None,  # the venue pings; its pings are answered by the library
                max_queue=QUEUED_FRAMES,
                max_size=None,
                create_connection=timed,
                proxy=find_proxy(url),
            )
        except InvalidStatus as error:
            response = error.response
            raise refused_handshake(url, response.status_code, response.headers) from error
        except (WebSocketException, OSError, TimeoutError) as error:
            raise VenueUnavailableError(url, f"{type(error).__name__}: {error}") from error
        assert isinstance(socket, _Timed)  # noqa: S101 - what `create_connection` made
        return WebsocketsConnection(socket, listener, self._clock)
