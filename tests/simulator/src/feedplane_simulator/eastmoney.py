"""EastMoney: lists of quotes pushed as server-sent events, klines by REST, ticks by WebSocket.

A pushed list's first event holds every field, the later ones what changed since the last event
of that stream. A banned address is cut off without an answer.

Source: what public clients read of push2 and push2his (akshare, efinance; 2026-11); the
WebSocket dialect is that of the project that names it.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
from aiohttp import web

from feedplane_simulator.board import Board, Line
from feedplane_simulator.clock import now_ms
from feedplane_simulator.decimals import format_scaled
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.hosted_http import NUMBER, HttpVenue
from feedplane_simulator.truth import DeliveredStream

SHANGHAI = timezone(timedelta(hours=8))
FAMILIAR = ("600519", "000001", "300750", "601872", "688981", "002594")
INDICES = ("1.000001",)
"""Beside the shares, and on no list; named with their market, as a share may have the same code."""
KEEP_ALIVE_SECONDS = 2.0
LIST_ROWS_MAX = 100
"""More a page are not given out, however many are asked for."""
NOTHING = {"rc": 0, "rt": 4, "svr": 177542529, "lt": 1, "full": 0, "dlmkts": "", "data": None}
MINUTES = {"1": 1, "5": 5, "15": 15, "30": 30, "60": 60}
SESSIONS = (("09:30", 120), ("13:00", 120))


def build_symbols(count: int) -> list[str]:
    """Return so many codes, the familiar ones first."""
    others = (f"{600_000 + number}" for number in range(2 * count + 100))
    return [*FAMILIAR, *(code for code in others if code not in FAMILIAR)][:count]


def market_of(code: str) -> int:
    """Return the venue's number of a share's market."""
    return 1 if code[0] in "569" else 0


def secid_of(symbol: str) -> str:
    """Return market number, dot and code of a symbol."""
    return symbol if "." in symbol else f"{market_of(symbol)}.{symbol}"


def symbol_of(secid: str) -> str:
    """Return the symbol of market number, dot and code: a share's code alone, else all of it."""
    code = secid.partition(".")[2]
    return code if code and secid_of(code) == secid else secid


@dataclass(slots=True)
class PushedList:
    """One open stream: its rows by key, what it was sent of each, and what waits."""

    rows: dict[str, str]
    """Symbol -> key."""
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: "asyncio.Queue[Line]" = field(default_factory=asyncio.Queue)
    windows: dict[str, DeliveredStream] = field(default_factory=dict)


class EastMoneyVenue(HttpVenue):
    """The venue behind one port."""

    BAN_CUTS = True

    def __init__(self, setup: VenueSetup) -> None:
        symbols = [*build_symbols(setup.symbols), *INDICES]
        board = Board(symbols, setup.seed, decimals=2, lot=100)
        super().__init__(setup, board)
        self._lists: dict[int, PushedList] = {}
        self._sockets: dict[int, tuple[web.WebSocketResponse, set[str]]] = {}

    def add_routes(self, app: web.Application) -> None:
        """See `HttpVenue`."""
        app.router.add_get("/api/qt/ulist/sse", self.guard(self._push))
        app.router.add_get("/api/qt/stock/kline/get", self.guard(self._klines))
        app.router.add_get("/api/qt/clist/get", self.guard(self._list))
        app.router.add_get("/ws/qt/stock/klt.min", self.guard(self._socket))

    def tell(self, line: Line) -> None:
        """See `HttpVenue`."""
        fields = line.fields() | {"ts_event": line.time_ms // 1000 * 1_000_000_000}
        event = VenueEvent(
            channel="snapshot",
            symbol=line.symbol,
            stream=f"{line.symbol}@snapshot",
            sequence=line.changes,
            payload=msgspec.json.encode(fields),
        )
        self.setup.truth.record(self.setup.name, event, now_ms())
        for pushed in self._lists.values():
            if line.symbol in pushed.rows:
                pushed.moved.put_nowait(_still(line))
        tick = {
            "code": secid_of(line.symbol),
            "price": _Number(line.text(line.last)),
            "volume": line.volume,
        }
        for socket, codes in self._sockets.values():
            if tick["code"] in codes and not socket.closed:
                task = asyncio.ensure_future(socket.send_str(_render(tick)))
                task.add_done_callback(_forgive)

    async def _push(self, request: web.Request) -> web.StreamResponse:
        asked = map(symbol_of, request.query.get("secids", "").split(","))
        known = [symbol for symbol in asked if symbol in self.board.lines]
        pushed = PushedList({code: str(place) for place, code in enumerate(known)})
        number = request[NUMBER]
        self.open[number].streams = tuple(f"{code}@snapshot" for code in known)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await self._until_heard(request, known)
        full = {pushed.rows[code]: self._changed(pushed, self.board.lines[code]) for code in known}
        self._lists[number] = pushed
        self._open_windows(number, pushed)
        try:
            await answer.write(_event(_envelope(full, full=1)))
            await self._push_changes(request, answer, pushed)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self._lists[number]
            self._close_windows(pushed)
        return answer

    # A mute stream keeps its first event to itself too.
    async def _until_heard(self, request: web.Request, codes: list[str]) -> None:
        one, faults = self.open[request[NUMBER]], self.setup.faults
        while not one.gone.is_set():
            now = asyncio.get_running_loop().time()
            mute = (FaultKind.MUTE, FaultKind.STALL)
            if not any(
                faults.find(kind, one.client, now, name=f"{code}@snapshot", spend=False)
                for kind in mute
                for code in codes
            ):
                return
            await asyncio.sleep(0.05)

    async def _push_changes(
        self, request: web.Request, answer: web.StreamResponse, pushed: PushedList
    ) -> None:
        gone = self.open[request[NUMBER]].gone
        quiet = asyncio.get_running_loop().time()
        while not gone.is_set() and request.transport and not request.transport.is_closing():
            line: Line | None = None
            with contextlib.suppress(TimeoutError):
                line = await asyncio.wait_for(pushed.moved.get(), 0.1)
            now = asyncio.get_running_loop().time()
            if line is not None:
                await self._push_line(request, answer, pushed, line)
                quiet = now
            elif now - quiet >= KEEP_ALIVE_SECONDS and not self._stalled(request):
                await answer.write(_event(_render(NOTHING)))
                quiet = now

    def _stalled(self, request: web.Request) -> bool:
        one = self.open[request[NUMBER]]
        return self.setup.faults.stalls(one.client, asyncio.get_running_loop().time())

    async def _push_line(
        self, request: web.Request, answer: web.StreamResponse, pushed: PushedList, line: Line
    ) -> None:
        verdict = self.judge(request, f"{line.symbol}@snapshot", line.changes)
        window = pushed.windows[line.symbol]
        if not verdict.send:
            window.withhold(line.changes)
            return
        await asyncio.sleep(verdict.delay_seconds)
        changed = self._changed(pushed, line)
        text = _envelope({pushed.rows[line.symbol]: changed}, full=0)
        if verdict.corrupt:
            text = text[: len(text) // 2]
        for _ in range(verdict.copies):
            await answer.write(_event(text))
        window.sent(line.changes, now_ms())

    # What differs from what this stream was sent before; the venue counts a lost event as sent.
    def _changed(self, pushed: PushedList, line: Line) -> dict[str, Any]:
        market, _, code = secid_of(line.symbol).partition(".")
        fields = {
            "f2": _Number(line.text(line.last)),
            "f5": line.volume,
            "f6": _Number(line.text(line.turnover)),
            "f12": code,
            "f13": int(market),
            "f15": _Number(line.text(line.high)),
            "f16": _Number(line.text(line.low)),
            "f17": _Number(line.text(line.open)),
            "f18": _Number(line.text(line.previous_close)),
            "f124": line.time_ms // 1000,
        }
        before = pushed.sent.get(line.symbol, {})
        pushed.sent[line.symbol] = fields
        return {key: value for key, value in fields.items() if before.get(key) != value}

    def _open_windows(self, number: int, pushed: PushedList) -> None:
        account = self.open[number].client.account
        for code in pushed.rows:
            opened = DeliveredStream(number, code, now_ms(), None, account=account)
            pushed.windows[code] = self.setup.truth.subscribed(
                self.setup.name, "snapshot", code, opened
            )

    def _close_windows(self, pushed: PushedList) -> None:
        for code, window in pushed.windows.items():
            self.setup.truth.unsubscribed(self.setup.name, "snapshot", code, window, now_ms())

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number = request[NUMBER]
        codes: set[str] = set()
        self._sockets[number] = (socket, codes)
        try:
            async for message in socket:
                order = msgspec.json.decode(message.data)
                codes.update(order["param"]["codes"])
        finally:
            del self._sockets[number]
        return socket

    async def _klines(self, request: web.Request) -> web.StreamResponse:
        secid = request.query.get("secid", "")
        symbol = symbol_of(secid)
        if symbol not in self.board.lines:
            return _json({"rc": 100, "rt": 17, "data": None})
        if self._find(request, FaultKind.ARCHIVE):
            return _json({"rc": 0, "rt": 17, "data": {}})
        klt = request.query.get("klt", "101")
        rows = [
            row
            for day in _days(request.query.get("beg", "0"), request.query.get("end", "20500101"))
            for row in build_klines(symbol, day, klt)
        ]
        market, _, code = secid.partition(".")
        data = {
            "code": code,
            "market": int(market),
            "name": "模拟",
            "decimal": 2,
            "dktotal": 4_621,
            "klines": rows,
        }
        return _json({"rc": 0, "rt": 17, "svr": 183641822, "lt": 1, "full": 0, "data": data})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        lines = self.board.lines.items()
        trading = [code for code, line in lines if line.trading and code not in INDICES]
        return _json(build_list(trading, request.query))

    def _find(self, request: web.Request, kind: FaultKind) -> bool:
        one = self.open[request[NUMBER]]
        now = asyncio.get_running_loop().time()
        return self.setup.faults.find(kind, one.client, now) is not None


def build_list(codes: Sequence[str], query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the board list; past its end, and of no known board, there is nothing."""
    boards = {each.partition(" ")[0] for each in query.get("fs", "").replace("+", " ").split(",")}
    listed = [code for code in codes if f"m:{market_of(code)}" in boards]
    listed.sort(reverse=query.get("po") == "1")
    size = min(int(query.get("pz", "20")), LIST_ROWS_MAX)
    start = (max(1, int(query.get("pn", "1"))) - 1) * size
    rows = [
        {"f12": code, "f13": market_of(code), "f14": "模拟"}
        for code in listed[start : start + size]
    ]
    if not rows:
        return {"rc": 0, "rt": 6, "svr": 177542529, "lt": 1, "full": 1, "dlmkts": "", "data": None}
    told = set(query.get("fields", "f12,f13,f14").split(","))
    diff = [{key: value for key, value in row.items() if key in told} for row in rows]
    keyed = {str(place): row for place, row in enumerate(diff)}
    data = {"total": len(listed), "diff": diff if query.get("np") == "1" else keyed}
    return {"rc": 0, "rt": 6, "svr": 177542529, "lt": 1, "full": 1, "dlmkts": "", "data": data}


def build_klines(code: str, day: date, klt: str) -> list[str]:
    """Return an instrument's klines of a day: the same ones each time they are asked for."""
    if day.weekday() >= 5:
        return []
    rng = random.Random(f"{code}:{day}")  # noqa: S311 - seeded on purpose
    price = 1_000 + rng.randrange(9_000)
    if klt == "101":
        return [_kline(rng, day.isoformat(), price)]
    rows = []
    for opens, minutes in SESSIONS:
        start = datetime.fromisoformat(f"{day} {opens}")
        step = MINUTES[klt]
        for offset in range(step, minutes + 1, step):
            label = (start + timedelta(minutes=offset)).strftime("%Y-%m-%d %H:%M")
            rows.append(_kline(rng, label, price + rng.randint(-5, 5)))
    return rows


def _kline(rng: random.Random, label: str, price: int) -> str:
    first, last = price + rng.randint(-9, 9), price + rng.randint(-9, 9)
    high, low = max(first, last) + rng.randint(0, 5), min(first, last) - rng.randint(0, 5)
    lots = rng.randrange(1, 100_000)
    prices = ",".join(format_scaled(each, 2) for each in (first, last, high, low))
    turnover = format_scaled(lots * 100 * price, 2)
    return f"{label},{prices},{lots},{turnover},2.96,1.64,0.10,1.03"


def _days(begin: str, end: str) -> list[date]:
    today = datetime.now(UTC).astimezone(SHANGHAI).date()
    first = today - timedelta(days=400) if begin == "0" else _date(begin)
    last = min(today, _date(end))
    return [first + timedelta(days=days) for days in range((last - first).days + 1)]


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


class _Number(str):
    """A decimal that is printed without quotes."""

    __slots__ = ()


def _render(value: Any) -> str:
    match value:
        case _Number():
            return str(value)
        case dict():
            return "{" + ",".join(f'"{k}":{_render(v)}' for k, v in value.items()) + "}"
        case _:
            return msgspec.json.encode(value).decode()


def _envelope(rows: dict[str, dict[str, Any]], *, full: int) -> str:
    data = {"total": len(rows), "diff": rows}
    head = {"rc": 0, "rt": 11, "svr": 177542529, "lt": 1, "full": full, "dlmkts": "", "dsc": "0"}
    return _render(head | {"data": data})


def _event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def _json(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


# The board moves on while a line waits to be sent.
def _still(line: Line) -> Line:
    return Line(
        symbol=line.symbol,
        decimals=line.decimals,
        lot=line.lot,
        previous_close=line.previous_close,
        last=line.last,
        open=line.open,
        high=line.high,
        low=line.low,
        volume=line.volume,
        turnover=line.turnover,
        bids=line.bids,
        asks=line.asks,
        time_ms=line.time_ms,
        changes=line.changes,
    )


def _forgive(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()
