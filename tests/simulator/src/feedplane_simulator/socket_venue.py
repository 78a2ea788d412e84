"""A hosted venue on one port: WebSocket lines that subscribe, REST paths beside them.

Looks after what all such venues have in common: the pace, the truth, faults on frames and lines,
refused handshakes. What is said on a line is the venue's own: it overrides `greet`, `heard` and
`happen`, and adds its REST paths.
"""

import asyncio
import contextlib
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from feedplane_simulator.clock import now_ms
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.faults import ActiveFault, FaultKind, Frame
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.pacing import Budget
from feedplane_simulator.truth import DeliveredStream
from feedplane_simulator.violations import Rule, Violation

TICK_SECONDS = 0.02
PING_SECONDS = 5.0
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event of the venue: what it means, and what is sent of it."""

    channel: str
    symbol: str
    sequence: int
    facts: Mapping[str, Any]
    """Fields a normalized record of it must have."""
    wire: Any
    """What the line's own encoding is given."""


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """One WebSocket."""

    market_name: str
    number: int
    account: str
    address: str
    socket: web.WebSocketResponse
    request: web.Request
    binary: bool = False
    key: str = ""
    logged_in: bool = False
    opened_ms: int = 0
    ends_at: float | None = None
    streams: dict[tuple[str, str], float] = field(default_factory=dict)
    """(channel, symbol) -> when it was subscribed."""
    windows: dict[tuple[str, str], DeliveredStream] = field(default_factory=dict)
    held: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What a fault's client glob is held against."""
        return (self.account, self.request.host, self.address, self.key)

    async def send(self, payload: bytes) -> None:
        """Send one frame in the line's own form; into a dead line it goes nowhere."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            if self.binary:
                await self.socket.send_bytes(payload)
            else:
                await self.socket.send_str(payload.decode("utf-8", "replace"))


class SocketVenue(ABC):
    """See `HostedVenue`."""

    def __init__(self, setup: VenueSetup) -> None:
        self.setup = setup
        self.name = setup.name
        self.rng = random.Random(f"{setup.seed}:{setup.name}")  # noqa: S311 - seeded on purpose
        self.lines: dict[int, Line] = {}
        self.halted = False
        self._numbers = itertools.count(1)
        self._ports: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ports(self) -> Mapping[str, int]:
        """See `HostedVenue`."""
        return self._ports

    @abstractmethod
    def add_routes(self, app: web.Application) -> None:
        """Register the paths; WebSocket ones with `serve`."""

    async def greet(self, line: Line) -> None:
        """Say the first word on a line; most venues wait to be spoken to."""
        del line

    @abstractmethod
    async def heard(self, line: Line, data: bytes) -> None:
        """Answer what a client said."""

    @abstractmethod
    def encode(self, line: Line, happening: Happening) -> bytes:
        """Return the frame of an event on a line."""

    @abstractmethod
    def happen(self, at_ms: int) -> Sequence[Happening]:
        """Let one thing happen on the market."""

    def fall_due(self, at_ms: int) -> Sequence[Happening]:
        """Return what time alone makes happen, for instance bars that end."""
        del at_ms
        return ()

    def list_symbol(self, symbol: str, *, trading: bool) -> None:
        """Begin or cease to trade a symbol; a venue without a list passes over it."""
        del symbol, trading

    async def start(self) -> None:
        """See `HostedVenue`."""
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self.setup.host, self.setup.port, backlog=1024).start()
        self._runner = runner
        self._ports[self.name] = runner.addresses[0][1]
        self._tasks = [asyncio.create_task(self._drive()), asyncio.create_task(self._keep())]

    async def stop(self) -> None:
        """See `HostedVenue`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in list(self.lines.values()):
            _abort(line)
        if self._runner is not None:
            await self._runner.cleanup()

    async def inject(self, active: ActiveFault) -> None:
        """See `HostedVenue`."""
        fault = active.fault
        match fault.kind:
            case FaultKind.DROP | FaultKind.BAN | FaultKind.ROTATE:
                chosen = [line for line in self.lines.values() if active.matches(line)]
                for line in chosen[: fault.count]:
                    active.applied += 1
                    await self._end(line, active)
            case FaultKind.HALT | FaultKind.RESUME:
                self.halted = fault.kind is FaultKind.HALT
            case FaultKind.LIST | FaultKind.DELIST if fault.symbol:
                self.list_symbol(fault.symbol, trading=fault.kind is FaultKind.LIST)
            case _:
                pass

    def connections(self) -> list[dict[str, Any]]:
        """See `HostedVenue`."""
        return [
            {
                "id": line.number,
                "market": self.name,
                "account": line.account,
                "address": line.address,
                "openedTime": line.opened_ms,
                "streams": [f"{symbol}@{channel}" for channel, symbol in line.streams],
            }
            for line in self.lines.values()
        ]

    def violate(self, line: Line, rule: Rule, detail: str) -> None:
        """Write down that a client broke a rule."""
        self.setup.violations.add(
            Violation(
                time=now_ms(),
                market=self.name,
                connection=line.number,
                client=line.account or line.key,
                rule=rule,
                detail=detail,
            )
        )

    def beside(self, line: Line) -> list[Line]:
        """Return the other lines that are logged in with the same account."""
        return [o for o in self.lines.values() if o is not line and o.logged_in and _same(o, line)]

    def subscribe(self, line: Line, channels: Iterable[tuple[str, str]]) -> None:
        """Add (channel, symbol) pairs to a line."""
        for channel, symbol in channels:
            if (channel, symbol) in line.streams:
                continue
            window = DeliveredStream(
                connection=line.number,
                stream=f"{symbol}@{channel}",
                subscribed_ms=now_ms(),
                after=None,
                account=line.account,
            )
            line.streams[channel, symbol] = _now()
            line.windows[channel, symbol] = self.setup.truth.subscribed(
                self.name, channel, symbol, window
            )

    def unsubscribe(self, line: Line, channels: Iterable[tuple[str, str]]) -> None:
        """Take (channel, symbol) pairs from a line."""
        for channel, symbol in list(channels):
            if line.streams.pop((channel, symbol), None) is not None:
                window = line.windows.pop((channel, symbol))
                self.setup.truth.unsubscribed(self.name, channel, symbol, window, now_ms())

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket from its handshake to its end."""
        socket = web.WebSocketResponse(compress=False, timeout=CLOSE_SECONDS)
        line = self._open(request, socket)
        refused = self.refuse(line)
        if refused is not None:
            return refused
        await socket.prepare(request)
        self.lines[line.number] = line
        line.opened_ms = now_ms()
        try:
            await self.greet(line)
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data
                    await self._take(line, data if isinstance(data, bytes) else data.encode())
        finally:
            self.lines.pop(line.number, None)
            self.unsubscribe(line, list(line.streams))
        return socket

    def refuse(self, line: Line) -> web.Response | None:
        """Return the answer to a handshake that is not let in."""
        for kind in (FaultKind.BAN, FaultKind.REFUSE):
            active = self.setup.faults.find(kind, line, _now())
            if active is not None:
                headers = {"Retry-After": str(round(active.left_seconds(_now())))}
                return web.Response(status=active.fault.answer_status, headers=headers)
        return None

    def stalled(self, line: Line) -> bool:
        """Tell whether nothing at all is said on a line now."""
        return self.setup.faults.stalls(line, _now())

    def _open(self, request: web.Request, socket: web.WebSocketResponse) -> Line:
        return Line(
            market_name=self.name,
            number=next(self._numbers),
            account=request.headers.get("X-Feedplane-Account", ""),
            address=request.remote or "",
            socket=socket,
            request=request,
        )

    async def _take(self, line: Line, data: bytes) -> None:
        if not self.stalled(line):
            await self.heard(line, data)

    async def _drive(self) -> None:
        budget = Budget(_now())
        while True:
            await asyncio.sleep(TICK_SECONDS)
            at_ms = now_ms()
            happened: list[Happening] = []
            budget.earn(0.0 if self.halted else self.setup.rate(), _now())
            if not self.halted:
                happened += self.fall_due(at_ms)
            while budget.left:
                more = self.happen(at_ms)
                budget.spend(max(1, len(more)))
                happened += more
            for each in happened:
                await self._emit(each, at_ms)

    async def _emit(self, each: Happening, at_ms: int) -> None:
        payload = msgspec.json.encode(each.facts)
        stream = f"{each.symbol}@{each.channel}"
        event = VenueEvent(each.channel, each.symbol, stream, each.sequence, payload)
        self.setup.truth.record(self.name, event, at_ms)
        for line in list(self.lines.values()):
            if (each.channel, each.symbol) in line.streams:
                await self._deliver(line, each, stream)

    async def _deliver(self, line: Line, each: Happening, stream: str) -> None:
        key = (each.channel, each.symbol)
        window, frame = line.windows[key], self.encode(line, each)
        looked_at = Frame(stream, each.sequence, line.streams[key])
        verdict = self.setup.faults.judge_frame(line, looked_at, _now())
        if not verdict.send or verdict.corrupt:
            window.withhold(each.sequence)
            if verdict.send:
                await line.send(frame[: len(frame) // 2])
            return
        if verdict.delay_seconds:
            await asyncio.sleep(verdict.delay_seconds)
        held = line.held.pop(key, None)
        if held is None and verdict.hold:
            line.held[key] = frame
            return
        for late in [frame] * verdict.copies + ([held] if held else []):
            await line.send(late)
        window.sent(each.sequence, now_ms())

    async def _keep(self) -> None:
        next_ping = _now() + PING_SECONDS
        while True:
            await asyncio.sleep(0.1)
            self.setup.faults.expire(_now())
            ping = _now() >= next_ping
            next_ping = _now() + PING_SECONDS if ping else next_ping
            for line in list(self.lines.values()):
                if line.ends_at is not None and _now() >= line.ends_at:
                    line.ends_at = None
                    await line.socket.close(code=WSCloseCode.GOING_AWAY)
                elif ping and not self.stalled(line):
                    with contextlib.suppress(ConnectionError, RuntimeError):
                        await line.socket.ping()

    async def _end(self, line: Line, active: ActiveFault) -> None:
        if active.fault.kind is FaultKind.ROTATE:
            line.ends_at = _now() + active.fault.notice_seconds
        elif active.fault.close_frame:
            await line.socket.close(code=WSCloseCode.GOING_AWAY)
        else:
            _abort(line)


def _same(one: Line, other: Line) -> bool:
    return (one.account, one.key) == (other.account, other.key)


def _abort(line: Line) -> None:
    transport = line.request.transport
    if isinstance(transport, asyncio.Transport):
        transport.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
