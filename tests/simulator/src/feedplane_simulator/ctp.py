"""A CTP front: logins, subscriptions and market data, on the private wire of `ctp_shim.c`.

Its exchange clock starts where `start` says and runs at the pace of ours, so a test can stand at
any midnight. Each exchange prints the days of a night as it really does: DCE the trading day twice,
CZCE the natural day twice.
"""

import asyncio
import contextlib
import itertools
import random
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web

from feedplane_simulator.clock import now_ms
from feedplane_simulator.ctp_contracts import (
    CHINA,
    Contract,
    build_depth,
    build_options_depth,
    list_contracts,
    trading_day_of,
)
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.faults import ActiveFault, FaultKind, Frame
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.truth import DeliveredStream
from feedplane_simulator.violations import Rule, Violation

START = "2026-01-05T21:00:00"
OPTIONS_START = "2026-01-05T10:00:00"
INFO = struct.Struct("<i81s3x")
LOGIN_ANSWER = struct.Struct("<9s9s11s16s222x29x")
INSTRUMENT = struct.Struct("<31s81s")
TICK_SECONDS = 0.01
SYMBOLS_PER_SECOND = 1_000
"""More within a second and the front cuts the line: its buffer is full."""
BAD_LOGIN, TOO_MANY_SESSIONS, READ_FAILED = 3, 60, 0x1001


@dataclass(slots=True)
class Login:
    """One line to a client; a target of faults."""

    number: int
    market_name: str
    address: str
    writer: asyncio.StreamWriter
    account: str = ""
    key: str = ""
    streams: dict[str, tuple[float, DeliveredStream]] = field(default_factory=dict)
    asked: list[tuple[float, int]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """What a fault's client glob is held against."""
        return (self.account, self.address, self.key)

    def send(self, kind: bytes, body: bytes = b"") -> None:
        """Write one message, unless the line is cut."""
        if not self.writer.is_closing():
            self.writer.write((len(body) + 1).to_bytes(4, "little") + kind + body)


class CtpVenue:
    """See `HostedVenue`."""

    START = START

    def __init__(self, setup: VenueSetup) -> None:
        self.setup = setup
        self.took: array[int] = array("I")
        """Pairs: nanoseconds by the clock and of the processor that a client's callback took."""
        self.contracts = {
            symbol: Contract(symbol, exchange, 3_000 + 7 * number)
            for number, (symbol, exchange) in enumerate(self.list_contracts(setup.symbols))
        }
        self._random = random.Random(setup.seed)  # noqa: S311 - seeded on purpose
        start = setup.options.get("start", self.START)
        self._start = datetime.fromisoformat(start).replace(tzinfo=CHINA)
        self._logins: dict[int, Login] = {}
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._ports: dict[str, int] = {}
        self._lists: web.AppRunner | None = None

    def list_contracts(self, count: int) -> list[tuple[str, str]]:
        """Return so many instruments with their exchanges."""
        return list_contracts(count)

    def build(self, contract: Contract, now: datetime) -> bytes:
        """Return the market-data struct of an instrument."""
        return build_depth(contract, now)

    @property
    def ports(self) -> Mapping[str, int]:
        """See `HostedVenue`."""
        return self._ports

    async def start(self) -> None:
        """See `HostedVenue`."""
        self._server = await asyncio.start_server(self._serve, self.setup.host, self.setup.port)
        self._ports[self.setup.name] = self._server.sockets[0].getsockname()[1]
        app = web.Application()
        app.router.add_get("/instruments", self._list)
        self._lists = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._lists.setup()
        name = f"{self.setup.name}-list"
        port = self.setup.further_ports.get(name, 0)
        await web.TCPSite(self._lists, self.setup.host, port).start()
        self._ports[name] = self._lists.addresses[0][1]
        self._began = _now()
        self._task = asyncio.create_task(self._move())

    async def stop(self) -> None:
        """See `HostedVenue`."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for login in list(self._logins.values()):
            login.writer.transport.abort()
        if self._server is not None:
            self._server.close()
        if self._lists is not None:
            await self._lists.cleanup()
        while self._logins:  # noqa: ASYNC110 - ends with the sockets
            await asyncio.sleep(TICK_SECONDS)

    async def inject(self, active: ActiveFault) -> None:
        """See `HostedVenue`."""
        if active.fault.kind in (FaultKind.DROP, FaultKind.ROTATE, FaultKind.BAN):
            for login in [one for one in self._logins.values() if active.matches(one)]:
                active.applied += 1
                self.cut(login, READ_FAILED)

    def cut(self, login: Login, reason: int) -> None:
        """End a line, for a reason as the library tells it."""
        login.send(b"D", reason.to_bytes(4, "little"))
        login.writer.close()

    def connections(self) -> Sequence[Mapping[str, Any]]:
        """See `HostedVenue`."""
        return [
            {
                "id": login.number,
                "market": self.setup.name,
                "account": login.account,
                "streams": sorted(login.streams),
            }
            for login in self._logins.values()
        ]

    def now(self) -> datetime:
        """Return the exchange's time."""
        return self._start + timedelta(seconds=_now() - self._began)

    # The public dictionary of instruments, which is no part of the interface itself.
    async def _list(self, _request: web.Request) -> web.Response:
        rows = [
            {"ExchangeID": one.exchange, "InstrumentID": one.symbol, "InstLifePhase": "1"}
            for one in self.contracts.values()
        ]
        return web.json_response({"rsp_code": 0, "rsp_message": "succeed", "data": rows})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername")[0])
        login = Login(next(self._numbers), self.setup.name, address, writer)
        self._logins[login.number] = login
        try:
            if self.setup.faults.find(FaultKind.REFUSE, login, _now()) is None:
                login.send(b"C")
                while True:
                    length = int.from_bytes(await reader.readexactly(4), "little")
                    message = await reader.readexactly(length)
                    self._receive(login, message[:1], message[1:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._logins[login.number]
            for symbol in list(login.streams):
                self._unsubscribe(login, symbol)
            writer.close()

    def _receive(self, login: Login, kind: bytes, body: bytes) -> None:
        if kind == b"T":
            self.took.frombytes(body)
        elif kind == b"l":
            self._log_in(login, body)
        else:
            symbols = body.decode().split()
            self._count(login, len(symbols))
            for symbol in symbols:
                (self._subscribe if kind == b"s" else self._unsubscribe)(login, symbol)
                answer = b"A" if kind == b"s" else b"U"
                login.send(answer, _info(0, "CTP:No Error") + _instrument(symbol))

    def _log_in(self, login: Login, body: bytes) -> None:
        user, password = _text(body[20:36]), _text(body[36:77])
        terms = self.setup.terms
        sessions = sum(1 for one in self._logins.values() if one.account == user and user)
        error, words = 0, "CTP:正确"
        if terms.valid_keys is not None and password not in terms.valid_keys:
            error, words = BAD_LOGIN, "CTP:不合法的登录"
        elif terms.sessions_per_account is not None and sessions >= terms.sessions_per_account:
            error, words = TOO_MANY_SESSIONS, "CTP:用户在线会话超出上限"
            self._violate(login, Rule.DOUBLE_LOGIN, f"{sessions} sessions already")
        else:
            login.account, login.key = user, password
        day = trading_day_of(self.now()).encode()
        answer = LOGIN_ANSWER.pack(day, b"21:00:00", body[9:20], user.encode())
        login.send(b"L", _info(error, words) + answer)

    def _count(self, login: Login, symbols: int) -> None:
        now = _now()
        login.asked = [(at, count) for at, count in login.asked if at > now - 1.0]
        login.asked.append((now, symbols))
        if sum(count for _, count in login.asked) > SYMBOLS_PER_SECOND:
            self._violate(login, Rule.MESSAGE_RATE, f"{symbols} instruments at once")
            self.cut(login, READ_FAILED)

    def _violate(self, login: Login, rule: Rule, detail: str) -> None:
        self.setup.violations.add(
            Violation(
                time=now_ms(),
                market=self.setup.name,
                connection=login.number,
                client=login.account or login.address,
                rule=rule,
                detail=detail,
            )
        )

    def _subscribe(self, login: Login, symbol: str) -> None:
        contract = self.contracts.get(symbol)
        # The real one says yes to instruments that do not exist as well.
        if contract is None:
            return
        if symbol not in login.streams:
            window = DeliveredStream(login.number, symbol, now_ms(), None, account=login.account)
            self.setup.truth.subscribed(self.setup.name, "snapshot", symbol, window)
            login.streams[symbol] = (_now(), window)
        if contract.frame:
            self._deliver(login, contract)

    def _unsubscribe(self, login: Login, symbol: str) -> None:
        _, window = login.streams.pop(symbol, (0.0, None))
        if window is not None:
            self.setup.truth.unsubscribed(self.setup.name, "snapshot", symbol, window, now_ms())

    def _deliver(self, login: Login, contract: Contract) -> None:
        since, window = login.streams[contract.symbol]
        frame = Frame(f"{contract.symbol}@snapshot", contract.changes, since)
        verdict = self.setup.faults.judge_frame(login, frame, _now())
        if not verdict.send:
            window.withhold(contract.changes)
            return
        window.sent(contract.changes, now_ms())
        body = contract.frame
        if verdict.corrupt:
            # No time, as real fronts send it now and then.
            body = body[:208] + bytes(9) + body[217:]
        for _ in range(verdict.copies):
            login.send(b"M", body)

    async def _move(self) -> None:
        owed, before = 0.0, _now()
        turn = itertools.cycle(self.contracts.values())
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = _now()
            owed = min(owed + (now - before) * self.setup.rate(), self.setup.rate())
            before = now
            while owed >= 1.0:
                owed -= 1.0
                self._change(next(turn))
            for login in self._logins.values():
                if login.writer.transport.get_write_buffer_size() > 64 * 1024 * 1024:
                    self.cut(login, READ_FAILED)

    def _change(self, contract: Contract) -> None:
        now = self.now()
        size = self._random.randint(1, 9)
        contract.last += self._random.randint(-2, 2)
        contract.volume += size
        contract.turnover += size * contract.last * 10
        contract.interest += self._random.randint(-5, 5)
        contract.changes += 1
        contract.frame = self.build(contract, now)
        millisecond = now.microsecond // 1_000
        whole, day = int(now.timestamp()), trading_day_of(now)
        fields = {
            "volume": contract.volume,
            "last_price": str(contract.last),
            "turnover": str(contract.turnover),
            "open_interest": str(contract.interest),
            "bid_price": str(contract.last - 1),
            "bid_size": "20",
            "ask_price": str(contract.last + 1),
            "ask_size": "15",
            "trading_day": f"{day[:4]}-{day[4:6]}-{day[6:]}",
            "ts_event": whole * 1_000_000_000 + millisecond * 1_000_000,
        }
        event = VenueEvent(
            channel="snapshot",
            symbol=contract.symbol,
            stream=f"{contract.symbol}@snapshot",
            sequence=contract.changes,
            payload=msgspec.json.encode(fields),
        )
        self.setup.truth.record(self.setup.name, event, now_ms())
        for login in self._logins.values():
            if contract.symbol in login.streams:
                self._deliver(login, contract)


class CtpOptionsVenue(CtpVenue):
    """The sister interface for stock options: no nights, another struct."""

    START = OPTIONS_START

    def list_contracts(self, count: int) -> list[tuple[str, str]]:
        """See `CtpVenue`."""
        return [(f"100045{number:02d}", "SSE") for number in range(count)]

    def build(self, contract: Contract, now: datetime) -> bytes:
        """See `CtpVenue`."""
        return build_options_depth(contract, now)


def _info(error: int, words: str) -> bytes:
    return INFO.pack(error, words.encode("gb18030"))


def _instrument(symbol: str) -> bytes:
    return INSTRUMENT.pack(b"", symbol.encode())


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("gb18030", "replace")


def _now() -> float:
    return asyncio.get_running_loop().time()
