"""WebSocket over picows: the default engine.

All frames of one read are handed over in one call, stamped once: per-frame calls into Python are
what costs. Must not know what the frames say.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from picows import (
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from feedplane_feeder.core.ports import Clock, StreamListener
from feedplane_feeder.errors import VenueUnavailableError
from feedplane_feeder.transports.handshake import (
    CLOSE_TIMEOUT_SECONDS,
    OPEN_TIMEOUT_SECONDS,
    find_proxy,
    refused_handshake,
)

READ_BUFFER_BYTES: Final = 128 * 1024
CONTROL_BYTES: Final = 125
"""The longest payload of a ping, pong or close. Source: RFC 6455 section 5.5."""
FRAMES_AT_ONCE: Final = 256
"""A read of megabytes is handed over in parts that fit the processor's cache (measured)."""


class PicowsConnection(WSListener):
    """See `StreamConnection`; picows calls the `on_ws_` methods."""

    def __init__(self, listener: StreamListener, clock: Clock) -> None:
        super().__init__()
        self._listener = listener
        self._clock = clock
        self._frames: list[bytes] = []
        self._fragments: list[bytes] = []
        self._reason = "connection lost"
        self._transport: WSTransport | None = None
        self.last_read_ns = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport
        self.last_read_ns = self._clock.now_ns()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Collect frames and hand them over with the last one of a read."""
        # Control frames are small by the protocol, so what is larger need not be asked what it
        # is: that question costs more than the rest of this method.
        if frame.payload_size > CONTROL_BYTES and frame.fin and not self._fragments:
            self._frames.append(frame.get_payload_as_bytes())
        else:
            self._take_rare(transport, frame)
        if frame.last_in_buffer or len(self._frames) >= FRAMES_AT_ONCE:
            self.last_read_ns = self._clock.now_ns()
            if self._frames:
                frames, self._frames = self._frames, []
                self._listener.frames_received(frames, self.last_read_ns)

    async def run(self) -> str:
        """See `StreamConnection`."""
        assert self._transport is not None  # noqa: S101 - connect() returned it connected
        try:
            await self._transport.wait_disconnected()
        except (WSError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return self._reason

    def send(self, text: str | bytes) -> None:
        """See `StreamConnection`; bytes go out as a binary frame."""
        if self._transport is not None and not self._transport.is_disconnected:
            kind = WSMsgType.BINARY if isinstance(text, bytes) else WSMsgType.TEXT
            self._transport.send(kind, text if isinstance(text, bytes) else text.encode())

    def pause_reading(self) -> None:
        """See `StreamConnection`."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    async def close(self) -> None:
        """See `StreamConnection`."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self._reason = "closed by us"
        transport.send_close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await transport.wait_disconnected()
        except (TimeoutError, WSError, OSError):
            transport.disconnect(False)

    def _take_rare(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self._reason = f"closed by the venue: {int(frame.get_close_code().value)}"
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind != WSMsgType.PONG:
            self._fragments.append(frame.get_payload_as_bytes())
            if frame.fin:
                self._frames.append(b"".join(self._fragments))
                self._fragments = []


class PicowsTransport:
    """See `Transport`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> PicowsConnection:
        """See `Transport`."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                _, connection = await ws_connect(
                    lambda: PicowsConnection(listener, self._clock),
                    url,
                    websocket_handshake_timeout=OPEN_TIMEOUT_SECONDS,
                    enable_auto_pong=False,  # the pong above also closes a batch of frames
                    extra_headers=dict(headers),
                    read_buffer_init_size=READ_BUFFER_BYTES,
                    proxy=find_proxy(url),
                )
        except WSHandshakeError as error:
            if error.response is None:
                raise VenueUnavailableError(url, str(error)) from error
            raise refused_handshake(
                url, int(error.response.status), error.response.headers
            ) from error
        except (WSError, OSError, TimeoutError) as error:
            raise VenueUnavailableError(url, f"{type(error).__name__}: {error}") from error
        assert isinstance(connection, PicowsConnection)  # noqa: S101 - what the factory made
        return connection
