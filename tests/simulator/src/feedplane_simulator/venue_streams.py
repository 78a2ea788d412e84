"""The WebSocket side of a market: handshake, control messages, pings, and the ways to end."""

import asyncio
import contextlib
import logging
from typing import cast

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from feedplane_simulator.admission import LINE_DEAD, POLL_SECONDS, Admission
from feedplane_simulator.channels import ALL_ROUTE
from feedplane_simulator.config import Market
from feedplane_simulator.connection import Client, Connection
from feedplane_simulator.control import answer_control
from feedplane_simulator.events import LogEvent
from feedplane_simulator.frames import encode_combined
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.rules import Due
from feedplane_simulator.violations import Rule

logger = logging.getLogger(__name__)

ROUTES = ("public", "market", "private")
CLOSE_TIMEOUT_SECONDS = 1.0


def read_client(market: Market, request: web.Request) -> Client:
    """Read who asks from a request."""
    key = request.headers.get("X-MBX-APIKEY", "")
    account = request.headers.get("X-Feedplane-Account") or request.query.get("account", "")
    return Client(
        market_name=market,
        account=account,
        key=key,
        host=request.host,
        address=request.remote or "",
        user_agent=request.headers.get("User-Agent", ""),
    )


class StreamEndpoint:
    """Serves the stream paths of one market."""

    def __init__(self, market: LiveMarket, admission: Admission) -> None:
        self._market = market
        self._admission = admission
        self._sockets: dict[int, web.WebSocketResponse] = {}
        self._pings = 0

    def add_routes(self, app: web.Application) -> None:
        """Register raw and combined paths, with the routed prefixes on futures."""
        prefixes = [ALL_ROUTE]
        if self._market.name is Market.USDM:
            prefixes += [f"/{route}" for route in ROUTES]
        for prefix in prefixes:
            app.router.add_get(f"{prefix}/ws", self._serve)
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", self._serve)
            app.router.add_get(f"{prefix}/stream", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        client = read_client(self._market.name, request)
        if not await self._admission.thawed(client, request):
            return web.Response(status=LINE_DEAD)
        refusal = self._admission.refuse(client)
        if refusal is not None:
            logger.info(
                LogEvent.CONNECTION_REFUSED,
                extra={"market": self._market.name, "status": refusal.status},
            )
            return refusal
        socket = web.WebSocketResponse(
            autoping=False, compress=False, timeout=CLOSE_TIMEOUT_SECONDS
        )
        await socket.prepare(request)
        connection = self._open(request, client)
        self._sockets[connection.number] = socket
        self._market.attach(connection)
        _log(LogEvent.CONNECTION_OPENED, connection)
        try:
            await self._talk(request, socket, connection)
        finally:
            self._market.detach(connection)
            self._sockets.pop(connection.number, None)
            _log(LogEvent.CONNECTION_CLOSED, connection)
        return socket

    def _open(self, request: web.Request, client: Client) -> Connection:
        head = request.path.split("/")[1]
        route = head if head in ROUTES else ALL_ROUTE
        connection = Connection(
            client,
            self._market.next_number(),
            route,
            request.path_qs,
            self._market.rules,
            cast("asyncio.Transport", request.transport),
        )
        connection.combined = request.path.endswith("/stream")
        return connection

    async def _talk(
        self, request: web.Request, socket: web.WebSocketResponse, connection: Connection
    ) -> None:
        path = request.match_info.get("streams", "")
        asked = request.query.get("streams", "") if connection.combined else path
        names = [name for name in asked.split("/") if name]
        if not self._market.subscribe(connection, dict.fromkeys(names)):
            await self.close(connection, WSCloseCode.POLICY_VIOLATION, "too many streams")
            return
        async for message in socket:
            now = asyncio.get_running_loop().time()
            if connection.messages.exceeded(now):
                limit = self._market.rules.messages_per_second
                detail = f"more than {limit} messages in a second"
                self._market.violate(
                    connection.client, connection.number, Rule.MESSAGE_RATE, detail
                )
                await self.close(connection, WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if not await self._handle(socket, connection, message.type, message.data):
                return

    async def _handle(
        self,
        socket: web.WebSocketResponse,
        connection: Connection,
        kind: WSMsgType,
        data: str | bytes,
    ) -> bool:
        while connection.frozen:  # noqa: ASYNC110 - ends by the clock
            await asyncio.sleep(POLL_SECONDS)
        stalled = self._market.faults.stalls(connection, asyncio.get_running_loop().time())
        if kind is WSMsgType.PING:
            if not stalled:
                with contextlib.suppress(ConnectionError):
                    await socket.pong(bytes(cast("bytes", data)))
        elif kind is WSMsgType.PONG:
            connection.keep_alive.ponged(bytes(cast("bytes", data)))
        elif kind is WSMsgType.TEXT and not stalled:
            return await self._control(connection, cast("str", data))
        return True

    async def _control(self, connection: Connection, text: str) -> bool:
        answer = answer_control(
            self._market.name, text, list(connection.streams), combined=connection.combined
        )
        if answer.refused is not None:
            self._market.violate(
                connection.client, connection.number, Rule.MALFORMED_REQUEST, answer.refused
            )
        if answer.combined is not None:
            connection.combined = answer.combined
        self._market.unsubscribe(connection, answer.unsubscribe)
        # The reply goes first, so that no frame of a stream comes before its acknowledgement.
        connection.send_text(answer.reply)
        if not self._market.subscribe(connection, answer.subscribe):
            await self.close(connection, WSCloseCode.POLICY_VIOLATION, "too many streams")
            return False
        return True

    async def keep(self) -> None:
        """Send due pings, tell of the coming end, and end what must end."""
        endings = []
        for connection, call in self._market.due():
            if connection.closing is not None:
                continue
            if call is Due.PING:
                await self._ping(connection)
            elif call is Due.SHUTDOWN_NOTICE:
                self.announce_shutdown(connection)
            elif call is Due.NO_PONG:
                self._market.violate(
                    connection.client, connection.number, Rule.NO_PONG, "ping left unanswered"
                )
                endings.append(self.close(connection, WSCloseCode.POLICY_VIOLATION, "Pong timeout"))
            else:
                endings.append(self.close(connection, WSCloseCode.GOING_AWAY, "lifetime over"))
        await asyncio.gather(*endings)

    async def _ping(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if connection.frozen or self._market.faults.stalls(connection, now):
            return
        self._pings += 1
        payload = f"{self._market.now_ms()}{self._pings % 1000:03d}".encode()
        connection.keep_alive.pinged(payload, now)
        socket = self._sockets.get(connection.number)
        if socket is not None and not connection.transport.is_closing():
            connection.flush()
            # It may be closing already, with its last bytes still under way.
            with contextlib.suppress(ConnectionError):
                await socket.ping(payload)

    def announce_shutdown(self, connection: Connection) -> None:
        """Send the serverShutdown event."""
        event = {"e": "serverShutdown", "E": self._market.now_ms()}
        payload = msgspec.json.encode(event)
        if connection.combined:
            payload = encode_combined("!serverShutdown", payload)
        connection.send_text(payload)

    def rotate(self, connection: Connection, notice_seconds: float) -> None:
        """Announce the end of a connection and set it."""
        self.announce_shutdown(connection)
        connection.keep_alive.end_at(asyncio.get_running_loop().time() + notice_seconds)

    async def close(self, connection: Connection, code: int, reason: str) -> None:
        """Close a connection with a close frame, never waiting long for who does not read it."""
        connection.closing = reason
        connection.flush()
        socket = self._sockets.get(connection.number)
        if socket is not None:
            await socket.close(code=code, message=reason.encode(), drain=False)

    def abort(self, connection: Connection, reason: str) -> None:
        """Cut a connection off without a word."""
        connection.closing = reason
        connection.transport.abort()


def _log(event: LogEvent, connection: Connection) -> None:
    logger.info(
        event,
        extra={
            "market": connection.market_name,
            "connection": connection.number,
            "path": connection.path[:200],
            "reason": connection.closing,
        },
    )
