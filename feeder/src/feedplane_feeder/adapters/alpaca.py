"""Alpaca: US stocks over one WebSocket, in JSON or MessagePack.

The login is a message on the open stream, so the transport says it and lets nobody have the
connection before it is accepted: a refused login, or a slot that another session holds, is a
connection that did not open. A stream address that ends in `#msgpack` asks for the binary form.

Source: docs.alpaca.markets "WebSocket Stream" (login, error codes), "Historical Stock Data"
(plans and limits), read 2026-11-21.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

import msgspec

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters.alpaca_frames import (
    UNREADABLE,
    ErrorMessage,
    Message,
    SuccessMessage,
    decode_messages,
)
from feedplane_feeder.adapters.alpaca_session import AlpacaSession
from feedplane_feeder.core.placement import plan_connections
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    Clock,
    ConnectionPlan,
    Fetch,
    SnapshotRequest,
    StreamConnection,
    StreamListener,
    Transport,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    MalformedFrameError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.instruments import format_instrument_id
from feedplane_feeder.records import BookDelta, ChannelKind

KEY_HEADER: Final = "APCA-API-KEY-ID"
SECRET_HEADER: Final = "APCA-API-SECRET-KEY"  # noqa: S105 - the header's name
PACKED: Final = "msgpack"
LOGIN_SECONDS: Final = 10.0
SLOT_SECONDS: Final = 15.0
"""How long to leave a slot alone that another session holds."""
REFUSED_CODES: Final = frozenset({402, 409, 411})
SLOT_CODE: Final = 406
LOGGED_IN_CODE: Final = 403

LIMITS: Final = VenueLimits(
    control_messages_per_second=5,  # not documented
    streams_per_connection=10_000,  # the paid plan has no limit; the free one takes 30 symbols
    connects_per_five_minutes=60,  # not documented
    request_weight_per_minute=200,  # the free plan's
    connection_life_seconds=86_400,  # not documented
    ping_timeout_seconds=60,  # cadence not documented
    sessions_per_account=1,
    source="docs.alpaca.markets: WebSocket Stream, Historical Stock Data; read 2026-11-21",
)


class AlpacaAdapter:
    """See `Adapter`."""

    venue = "alpaca"
    capabilities = Capabilities(
        channels=frozenset({ChannelKind.TRADE, ChannelKind.QUOTE, ChannelKind.BAR}),
        bar_intervals=frozenset({"1m"}),
        transport=TransportKind.WEBSOCKET,
        limits=LIMITS,
        needs_credentials=True,
        dense_bars=False,
        numbered=frozenset(),
        credentials_refused_pattern=r'"message"\s*:\s*"(forbidden|request is not authorized)',
        credential_headers={
            "apiKey": KEY_HEADER,
            "api_key": KEY_HEADER,
            "apiSecret": SECRET_HEADER,
            "api_secret": SECRET_HEADER,
        },
    )
    endpoints = Endpoints(
        stream="wss://stream.data.alpaca.markets/v2/iex", rest="https://data.alpaca.markets"
    )

    def instrument_id(self, symbol: str) -> str:
        """See `Adapter`."""
        return format_instrument_id(symbol, self.venue)

    def connections(
        self,
        wanted: Sequence[Channel],
        current: Sequence[ConnectionPlan],
        endpoints: Endpoints,
        limits: VenueLimits,
    ) -> tuple[ConnectionPlan, ...]:
        """See `Adapter`."""
        url = endpoints.stream or self.endpoints.stream or ""
        return plan_connections(wanted, current, "stocks", limits.streams_per_connection, url)

    def session(self, plan: ConnectionPlan, limits: VenueLimits) -> AlpacaSession:
        """See `Adapter`."""
        return AlpacaSession(self.venue, plan.channels, limits, self.instrument_id)

    def transport(self, clock: Clock, websocket: Callable[[], Transport]) -> Transport:
        """See `Adapter`."""
        return AlpacaTransport(websocket())

    async def instruments(self, fetch: Fetch) -> tuple[ListedInstrument, ...] | None:
        """See `Adapter`; the list belongs to the brokerage, which needs another account."""
        return None

    def snapshot_request(self, symbol: str) -> SnapshotRequest:
        """See `Adapter`; there are no books here."""
        return SnapshotRequest(channel=Channel(symbol, ChannelKind.BOOK), path="", weight=0)

    def parse_snapshot(self, request: SnapshotRequest, body: bytes, ts_recv: int) -> BookDelta:
        """See `Adapter`; there are no books here."""
        raise MalformedFrameError("no books at this venue", body)


class BinaryConnection(Protocol):
    """What a WebSocket connection can do besides: send a binary frame."""

    def send(self, text: str | bytes) -> None:
        """Send one frame, binary for bytes."""


class AlpacaTransport:
    """See `Transport`: a WebSocket with a login."""

    def __init__(self, websocket: Transport) -> None:
        self._websocket = websocket

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> "AlpacaConnection":
        """See `Transport`."""
        address, _, form = url.partition("#")
        packed = form == PACKED
        kind = "application/msgpack" if packed else "application/json"
        secrets = (KEY_HEADER, SECRET_HEADER)
        said = {name: value for name, value in headers.items() if name not in secrets}
        porter = Porter(listener)
        socket = await self._websocket.connect(address, {**said, "Content-Type": kind}, porter)
        connection = AlpacaConnection(socket, packed=packed)
        try:
            await self._log_in(connection, porter, address, headers)
        except BaseException:
            await connection.close()
            await connection.abandon()
            raise
        return connection

    async def _log_in(
        self,
        connection: "AlpacaConnection",
        porter: "Porter",
        url: str,
        headers: Mapping[str, str],
    ) -> None:
        login = {
            "action": "auth",
            "key": headers.get(KEY_HEADER, ""),
            "secret": headers.get(SECRET_HEADER, ""),
        }
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                greeting = await connection.until(porter)
                if isinstance(greeting, ErrorMessage):
                    raise _refusal(url, greeting)
                connection.send(msgspec.json.encode(login).decode())
                answer = await connection.until(porter)
        except TimeoutError:
            raise VenueUnavailableError(url, "no answer to the login") from None
        if isinstance(answer, ErrorMessage) and answer.code != LOGGED_IN_CODE:
            raise _refusal(url, answer)
        if answer is None:
            raise VenueUnavailableError(url, "the connection ended during the login")
        porter.open()


class Porter:
    """See `StreamListener`: keeps what is said during the login, then lets all through."""

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._is_open = False

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        """See `StreamListener`."""
        if self._is_open:
            self._listener.frames_received(frames, ts_recv)
            return
        for frame in frames:
            with contextlib.suppress(*UNREADABLE):
                for message in decode_messages(frame):
                    self._said.put_nowait(message)

    async def next_step(self) -> Message:
        """Return the next thing said of the login."""
        while True:
            message = await self._said.get()
            if isinstance(message, SuccessMessage | ErrorMessage):
                return message

    def open(self) -> None:
        """Let everything through from now on."""
        self._is_open = True


class AlpacaConnection:
    """See `StreamConnection`: reads from its first moment on, and speaks the chosen form."""

    def __init__(self, socket: StreamConnection, *, packed: bool) -> None:
        self._socket = socket
        self._packed = packed
        self._reading = asyncio.create_task(socket.run())

    @property
    def last_read_ns(self) -> int:
        """See `StreamConnection`."""
        return self._socket.last_read_ns

    async def run(self) -> str:
        """See `StreamConnection`."""
        return await self._reading

    async def until(self, porter: Porter) -> Message | None:
        """Return the next step of the login; None when the connection ended before it."""
        step = asyncio.create_task(porter.next_step())
        try:
            await asyncio.wait({step, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            return step.result() if step.done() else None
        finally:
            step.cancel()

    def send(self, text: str) -> None:
        """See `StreamConnection`."""
        if self._packed:
            packed = msgspec.msgpack.encode(msgspec.json.decode(text))
            cast("BinaryConnection", self._socket).send(packed)
        else:
            self._socket.send(text)

    def pause_reading(self) -> None:
        """See `StreamConnection`."""
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        self._socket.resume_reading()

    async def close(self) -> None:
        """See `StreamConnection`."""
        await self._socket.close()

    async def abandon(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


def _refusal(url: str, error: ErrorMessage) -> VenueUnavailableError:
    reason = f"{error.code} {error.msg}"
    if error.code in REFUSED_CODES:
        return CredentialsRefusedError(url, reason)
    if error.code == SLOT_CODE:
        return VenueThrottledError(url, reason, SLOT_SECONDS)
    return VenueUnavailableError(url, reason)


ADAPTER: Final = AlpacaAdapter()
