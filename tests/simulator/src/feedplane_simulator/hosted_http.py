"""What hosted venues share that answer plain HTTP: the door, the pace, the faults, the referee."""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from feedplane_simulator.board import Board, Line
from feedplane_simulator.clock import now_ms
from feedplane_simulator.events import LogEvent
from feedplane_simulator.faults import ActiveFault, FaultKind, Frame, FrameVerdict
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.pacing import Budget
from feedplane_simulator.violations import Rule, Violation

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.01
FREEZE_STEP_SECONDS = 0.05
REQUESTS_PER_SECOND = 20
"""More from one client within a second break the rule; no venue publishes its own number."""
URL_BYTES_MAX = 64 * 1024
NUMBER = web.RequestKey("number", int)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpClient:
    """Who asks; see `faults.Target`."""

    market_name: str
    account: str
    host: str
    address: str
    user_agent: str
    key: str
    number: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What a fault's client glob is held against."""
        return (self.account, self.host, self.address, self.user_agent, self.key)

    @property
    def label(self) -> str:
        """The most telling of the names."""
        return self.account or self.key or self.host


@dataclass(slots=True)
class OpenRequest:
    """A request or stream under way."""

    number: int
    client: HttpClient
    request: web.Request
    streams: tuple[str, ...] = ()
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class HttpVenue:
    """One venue behind one port. A subclass adds the routes and tells its truth."""

    KEY_HEADER = "Authorization"
    BAN_CUTS = False
    """Whether a ban shows as connections that are cut, and not as a status."""

    def __init__(self, setup: VenueSetup, board: Board) -> None:
        self.setup = setup
        self.board = board
        self.open: dict[int, OpenRequest] = {}
        self.halted = False
        self._ports: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._number = 0
        self._asked: dict[str, deque[float]] = {}

    @property
    def ports(self) -> Mapping[str, int]:
        """See `HostedVenue`."""
        return self._ports

    def add_routes(self, app: web.Application) -> None:
        """Register the venue's paths, each behind `guard`."""
        raise NotImplementedError

    def tell(self, line: Line) -> None:
        """Write the truth about a line that has moved, and push it where somebody listens."""
        raise NotImplementedError

    async def start(self) -> None:
        """See `HostedVenue`."""
        app = web.Application()
        self.add_routes(app)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, max_line_size=URL_BYTES_MAX
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self.setup.host, self.setup.port).start()
        self._ports[self.setup.name] = self._runner.addresses[0][1]
        for line in self.board.lines.values():
            line.time_ms = now_ms()
            self.tell(line)
        self._task = asyncio.create_task(self._move())

    async def stop(self) -> None:
        """See `HostedVenue`."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._cut(list(self.open.values()))
        if self._runner is not None:
            await self._runner.cleanup()

    async def inject(self, active: ActiveFault) -> None:
        """See `HostedVenue`."""
        fault = active.fault
        match fault.kind:
            case FaultKind.DROP | FaultKind.BAN | FaultKind.ROTATE:
                hit = [one for one in self.open.values() if active.matches(one.client)]
                active.applied += len(hit)
                self._cut(hit)
            case FaultKind.HALT | FaultKind.RESUME:
                self.halted = fault.kind is FaultKind.HALT
            case FaultKind.LIST if fault.symbol is not None:
                first = next(iter(self.board.lines.values()))
                self.board.list_line(fault.symbol, first.decimals, first.lot)
            case FaultKind.DELIST if fault.symbol in self.board.lines:
                self.board.lines[fault.symbol].trading = False
            case _:
                pass

    def connections(self) -> Sequence[Mapping[str, Any]]:
        """See `HostedVenue`."""
        return [
            {
                "id": one.number,
                "market": self.setup.name,
                "account": one.client.account,
                "streams": list(one.streams),
            }
            for one in self.open.values()
        ]

    def guard(self, handler: Handler) -> Handler:
        """Return a handler behind the door: faults, keys and the referee come first."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            client = self.read_client(request)
            while self.setup.faults.freezes(client, _loop_now()):  # noqa: ASYNC110 - by the clock
                await asyncio.sleep(FREEZE_STEP_SECONDS)
            self._referee(client)
            refused = self._refuse(client, request)
            if refused is not None:
                return refused
            self._number += 1
            number = self._number
            self.open[number] = OpenRequest(number, client, request)
            request[NUMBER] = number
            try:
                return await handler(request)
            finally:
                self.open.pop(number, None)

        return guarded

    def read_client(self, request: web.Request) -> HttpClient:
        """Read who asks from a request."""
        return HttpClient(
            market_name=self.setup.name,
            account=request.headers.get("X-Feedplane-Account", ""),
            host=request.host,
            address=request.remote or "",
            user_agent=request.headers.get("User-Agent", ""),
            key=request.headers.get(self.KEY_HEADER, "").removeprefix("Bearer "),
        )

    def judge(self, request: web.Request, stream: str, sequence: int) -> FrameVerdict:
        """Return what becomes of one instrument's part of an answer."""
        one = self.open.get(request[NUMBER])
        if one is None or not self.setup.faults.on_frames:
            return FrameVerdict()
        frame = Frame(stream, sequence, 0.0)
        return self.setup.faults.judge_frame(one.client, frame, _loop_now())

    def violate(self, client: HttpClient, rule: Rule, detail: str) -> None:
        """Write down that a client broke a rule."""
        violation = Violation(
            time=now_ms(),
            market=self.setup.name,
            connection=0,
            client=client.label,
            rule=rule,
            detail=detail,
        )
        self.setup.violations.add(violation)
        logger.warning(LogEvent.RULE_VIOLATED, extra={"rule": rule.value, "detail": detail})

    async def _move(self) -> None:
        budget = Budget(_loop_now())
        while True:
            await asyncio.sleep(TICK_SECONDS)
            budget.earn(0.0 if self.halted else self.setup.rate(), _loop_now())
            while budget.left:
                line = self.board.step(now_ms())
                budget.spend(1)
                self.tell(line)

    def _referee(self, client: HttpClient) -> None:
        asked = self._asked.setdefault(client.label, deque())
        now = _loop_now()
        while asked and asked[0] <= now - 1.0:
            asked.popleft()
        asked.append(now)
        if len(asked) > REQUESTS_PER_SECOND:
            self.violate(client, Rule.MESSAGE_RATE, f"{len(asked)} requests in a second")

    def _refuse(self, client: HttpClient, request: web.Request) -> web.StreamResponse | None:
        faults, now = self.setup.faults, _loop_now()
        ban = faults.find(FaultKind.BAN, client, now)
        if ban is not None:
            return self._banned(ban, client, request)
        for kind in (FaultKind.REFUSE, FaultKind.REST):
            refused = faults.find(kind, client, now)
            if refused is not None:
                headers = {"Retry-After": str(refused.fault.retry_after_seconds)}
                return web.Response(status=refused.fault.answer_status, headers=headers)
        keys = self.setup.terms.valid_keys
        if keys is not None and client.key not in keys:
            return web.json_response({"message": "Unauthorized"}, status=401)
        return None

    def _banned(
        self, ban: ActiveFault, client: HttpClient, request: web.Request
    ) -> web.StreamResponse:
        left = ban.left_seconds(_loop_now())
        if client.label in ban.told and not self.BAN_CUTS:
            self.violate(client, Rule.CONNECT_WHILE_BANNED, f"{left:.2f} s before the end")
        ban.told.add(client.label)
        if self.BAN_CUTS and ban.fault.status is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=403)
        headers = {"Retry-After": str(math.ceil(left))}
        return web.Response(status=ban.fault.status or 403, headers=headers)

    def _cut(self, requests: Sequence[OpenRequest]) -> None:
        for one in requests:
            one.gone.set()
            if one.request.transport is not None:
                one.request.transport.abort()


def _loop_now() -> float:
    return asyncio.get_running_loop().time()
