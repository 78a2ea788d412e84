"""Alpaca's market data: one stream of JSON or MessagePack arrays, and REST history in pages.

Source: docs.alpaca.markets "WebSocket Stream", "Real-time Stock Data", "Historical Stock Data".
Where the documentation is silent the simulator is strict: a login that fails and a second session
are told so and cut off.
"""

import asyncio
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import count
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, web
from msgspec.msgpack import Ext

from feedplane_simulator.alpaca_past import DAYS, past_bars, past_trades, print_price
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.socket_venue import Happening, Line, SocketVenue
from feedplane_simulator.violations import Rule

MAJORS: Final = ("AAPL", "MSFT", "NVDA", "AMZN", "TSLA")
EXCHANGES: Final = "ABCDIJKMNPQVXYZ"
CHANNELS: Final = {"trades": "trade", "quotes": "quote", "bars": "bar-1m"}
OTHER_LISTS: Final = ("updatedBars", "dailyBars", "statuses", "lulds")
AUTH_SECONDS: Final = 10.0
MESSAGES: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
}
SECOND_NS: Final = 1_000_000_000
SECOND: Final = timedelta(seconds=1)
PAST_SERIES: Final = {"trades": past_trades, "bars": past_bars}


@dataclass(slots=True)
class Stock:
    """What moves of one instrument; prices in cents."""

    symbol: str
    cents: int
    next_id: int
    minute: dict[str, Any] | None = None
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"trades": [], "quotes": [], "bars": []}
    )
    """Wire rows by series, oldest first, for REST."""


class AlpacaVenue(SocketVenue):
    """See `HostedVenue`. Options: `bar_seconds`, `symbol_limit`, `rest_limit` a minute."""

    def __init__(self, setup: VenueSetup) -> None:
        super().__init__(setup)
        made_up = (f"SIM{number:04d}" for number in count())
        symbols = [*MAJORS[: setup.symbols], *(next(made_up) for _ in range(setup.symbols))]
        self.stocks = {
            symbol: Stock(symbol, self.rng.randint(2_000, 90_000), 1_000 + 7 * at)
            for at, symbol in enumerate(symbols)
        }
        self._numbers_of_events = count(1)
        self._bar_ns = int(float(setup.options.get("bar_seconds", "60")) * SECOND_NS)
        self._symbol_limit = int(setup.options.get("symbol_limit", "1000000"))
        self._rest_limit = int(setup.options.get("rest_limit", "1000000"))
        self._rest_minute: tuple[int, int] = (0, 0)
        self._began = datetime.now(UTC)

    def add_routes(self, app: web.Application) -> None:
        """See `SocketVenue`."""
        app.router.add_get("/v2/{feed:iex|sip|delayed_sip|test}", self.serve)
        app.router.add_get("/v2/stocks/{series:trades|quotes|bars}", self._history)

    async def greet(self, line: Line) -> None:
        """See `SocketVenue`."""
        line.binary = "msgpack" in line.request.headers.get("Content-Type", "")
        await self._say(line, {"T": "success", "msg": "connected"})
        headers = line.request.headers
        if "APCA-API-KEY-ID" in headers:
            await self._log_in(line, headers["APCA-API-KEY-ID"])
        else:
            asyncio.get_running_loop().call_later(
                AUTH_SECONDS, lambda: asyncio.ensure_future(self._time_out(line))
            )

    async def heard(self, line: Line, data: bytes) -> None:
        """See `SocketVenue`."""
        try:
            message = (msgspec.msgpack if line.binary else msgspec.json).decode(data)
            action = message["action"]
        except (msgspec.DecodeError, KeyError, TypeError):
            self.violate(line, Rule.MALFORMED_REQUEST, "not an action")
            await self._refuse(line, 400)
            return
        if action == "auth":
            if line.logged_in:
                await self._refuse(line, 403)
            else:
                await self._log_in(line, str(message.get("key", "")))
        elif not line.logged_in:
            await self._refuse(line, 401)
        elif action in ("subscribe", "unsubscribe"):
            await self._change(line, action, message)
        else:
            await self._refuse(line, 400)

    def encode(self, line: Line, happening: Happening) -> bytes:
        """See `SocketVenue`."""
        return _pack([happening.wire], binary=line.binary)

    def happen(self, at_ms: int) -> Sequence[Happening]:
        """See `SocketVenue`."""
        stock = self.rng.choice(list(self.stocks.values())[: max(1, self.setup.symbols)])
        at_ns = at_ms * 1_000_000 + self.rng.randrange(1_000_000)
        stock.cents = max(100, stock.cents + self.rng.randint(-3, 3))
        if self.rng.random() < 0.5:
            return (self._trade(stock, at_ns),)
        return (self._quote(stock, at_ns),)

    def fall_due(self, at_ms: int) -> Sequence[Happening]:
        """See `SocketVenue`: minutes that ended, of stocks that traded in them."""
        ended = []
        for stock in self.stocks.values():
            minute = stock.minute
            if minute is not None and at_ms * 1_000_000 >= minute["at"] + self._bar_ns:
                stock.minute = None
                ended.append(self._bar(stock, minute))
        return ended

    def _trade(self, stock: Stock, at_ns: int) -> Happening:
        stock.next_id += self.rng.randint(1, 9)
        price, size = print_price(stock.cents), self.rng.randint(1, 900)
        row = {
            "i": stock.next_id,
            "x": self.rng.choice(EXCHANGES),
            "p": price,
            "s": size,
            "c": ["@"],
            "t": _text(at_ns),
            "z": "C",
        }
        self._count(stock, at_ns, size)
        facts = {"ts_event": at_ns, "price": _printed(price), "size": str(size)}
        return self._happening("trades", stock, row, facts)

    def _quote(self, stock: Stock, at_ns: int) -> Happening:
        bid, ask = print_price(stock.cents - 1), print_price(stock.cents + self.rng.randint(0, 3))
        sizes = self.rng.randint(1, 40), self.rng.randint(1, 40)
        row = {
            "bx": self.rng.choice(EXCHANGES),
            "bp": bid,
            "bs": sizes[0],
            "ax": self.rng.choice(EXCHANGES),
            "ap": ask,
            "as": sizes[1],
            "c": ["R"],
            "t": _text(at_ns),
            "z": "C",
        }
        facts = {
            "ts_event": at_ns,
            "bid_price": _printed(bid),
            "bid_size": str(sizes[0]),
            "ask_price": _printed(ask),
            "ask_size": str(sizes[1]),
        }
        return self._happening("quotes", stock, row, facts)

    def _bar(self, stock: Stock, minute: dict[str, Any]) -> Happening:
        row = {
            "o": print_price(minute["open"]),
            "h": print_price(minute["high"]),
            "l": print_price(minute["low"]),
            "c": print_price(minute["close"]),
            "v": minute["volume"],
            "n": minute["count"],
            "vw": round(minute["amount"] / minute["volume"] / 100, 6),
            "t": _text(minute["at"]),
        }
        facts = {
            "ts_open": minute["at"],
            "open": _printed(row["o"]),
            "high": _printed(row["h"]),
            "low": _printed(row["l"]),
            "close": _printed(row["c"]),
            "volume": str(row["v"]),
            "trade_count": row["n"],
            "final": True,
        }
        return self._happening("bars", stock, row, facts)

    def _count(self, stock: Stock, at_ns: int, size: int) -> None:
        cents = stock.cents
        if stock.minute is None:
            stock.minute = {
                "at": at_ns // self._bar_ns * self._bar_ns,
                "open": cents,
                "high": cents,
                "low": cents,
                "volume": 0,
                "count": 0,
                "amount": 0,
            }
        minute = stock.minute
        minute["high"], minute["low"] = max(minute["high"], cents), min(minute["low"], cents)
        minute["close"] = cents
        minute["volume"] += size
        minute["count"] += 1
        minute["amount"] += size * cents

    def _happening(
        self, series: str, stock: Stock, row: dict[str, Any], facts: dict[str, Any]
    ) -> Happening:
        stock.rows[series].append(row)
        return Happening(
            channel=CHANNELS[series],
            symbol=stock.symbol,
            sequence=next(self._numbers_of_events),
            facts=facts,
            wire={"T": series[0], "S": stock.symbol, **row},
        )

    async def _log_in(self, line: Line, key: str) -> None:
        line.key = key
        keys, limit = self.setup.terms.valid_keys, self.setup.terms.sessions_per_account
        if not key or (keys is not None and key not in keys):
            await self._refuse(line, 402, close=True)
        elif limit is not None and len(self.beside(line)) >= limit:
            self.violate(line, Rule.DOUBLE_LOGIN, f"beside {len(self.beside(line))} more")
            await self._refuse(line, 406, close=True)
        elif self.setup.faults.find(FaultKind.SINGLE_SESSION, line, _now()) and self.beside(line):
            self.violate(line, Rule.SECOND_SESSION, "while one holds the slot")
            await self._refuse(line, 406, close=True)
        else:
            line.logged_in = True
            await self._say(line, {"T": "success", "msg": "authenticated"})

    async def _time_out(self, line: Line) -> None:
        if not line.logged_in and not line.socket.closed:
            await self._refuse(line, 404, close=True)

    async def _change(self, line: Line, action: str, message: dict[str, Any]) -> None:
        try:
            named = {key: list(message.get(key, ())) for key in CHANNELS}
        except TypeError:
            await self._refuse(line, 400)
            return
        pairs = [(CHANNELS[key], symbol) for key, found in named.items() for symbol in found]
        if any(not _is_symbol(symbol) for _, symbol in pairs):
            await self._refuse(line, 400)
        elif set(message) - {"action", *CHANNELS, *OTHER_LISTS}:
            await self._refuse(line, 410)
        elif action == "unsubscribe":
            self.unsubscribe(line, pairs)
            await self._tell_list(line)
        elif len({symbol for _, symbol in (*line.streams, *pairs)}) > self._symbol_limit:
            await self._refuse(line, 405)
        else:
            # The list goes first, so that no event comes before its acknowledgement.
            await self._tell_list(line, pairs)
            self.subscribe(line, pairs)

    async def _tell_list(self, line: Line, more: Iterable[tuple[str, str]] = ()) -> None:
        pairs = dict.fromkeys((*line.streams, *more))
        told: dict[str, Any] = {"T": "subscription"}
        for key, channel in CHANNELS.items():
            told[key] = [symbol for name, symbol in pairs if name == channel]
        told |= {key: [] for key in OTHER_LISTS}
        told |= {"corrections": told["trades"], "cancelErrors": told["trades"]}
        await self._say(line, told)

    async def _refuse(self, line: Line, code: int, *, close: bool = False) -> None:
        await self._say(line, {"T": "error", "code": code, "msg": MESSAGES[code]})
        if close:
            await line.socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _say(self, line: Line, message: dict[str, Any]) -> None:
        await line.send(_pack([message], binary=line.binary))

    async def _history(self, request: web.Request) -> web.Response:
        keys = self.setup.terms.valid_keys
        if keys is not None and request.headers.get("APCA-API-KEY-ID") not in keys:
            return _json({"message": "forbidden."}, HTTPStatus.FORBIDDEN)
        minute, used = self._rest_minute
        now = int(_now() // 60)
        self._rest_minute = (now, used + 1 if now == minute else 1)
        if self._rest_minute[1] > self._rest_limit:
            return _json({"message": "too many requests."}, HTTPStatus.TOO_MANY_REQUESTS)
        series, query = request.match_info["series"], request.query
        try:
            limit = int(query.get("limit", "1000"))
            low, high = query.get("start", ""), query.get("end", "9")
            oldest = self._began - timedelta(days=DAYS)
            since = max(oldest, _moment(low)) if low else oldest
            until = min(self._began, _moment(high) + SECOND) if "end" in query else self._began
            skip = int(urlsafe_b64decode(query.get("page_token", "") or b"MA=="))
            symbols = query["symbols"].split(",")
        except (ValueError, KeyError):
            return _json({"message": "invalid query"}, HTTPStatus.BAD_REQUEST)
        if not 1 <= limit <= 10_000:
            return _json({"message": "limit out of range"}, HTTPStatus.UNPROCESSABLE_ENTITY)
        drawn = PAST_SERIES.get(series) if query.get("timeframe", "1Min") == "1Min" else None
        # All symbols count against one limit, sorted by symbol and time.
        found = [
            (symbol, row)
            for symbol in sorted(symbols)
            if symbol in self.stocks
            for row in (
                *(drawn(self.setup.seed, symbol, since, until) if drawn else ()),
                *self.stocks[symbol].rows[series],
            )
            if low <= row["t"] <= high
        ]
        page: dict[str, list[Any]] = {}
        for symbol, row in found[skip : skip + limit]:
            page.setdefault(symbol, []).append(row)
        more = skip + limit < len(found)
        token = urlsafe_b64encode(str(skip + limit).encode()).decode() if more else None
        return _json({series: page, "next_page_token": token})


def _pack(messages: list[dict[str, Any]], *, binary: bool) -> bytes:
    if not binary:
        return msgspec.json.encode(messages)
    packed = [
        {**message, "t": _packed_time(message["t"])} if "t" in message else message
        for message in messages
    ]
    return msgspec.msgpack.encode(packed)


# Source: MessagePack specification, "Timestamp extension type", 64 bits.
def _packed_time(text: str) -> Ext:
    whole, _, digits = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return Ext(-1, struct.pack("!Q", int(digits) << 34 | seconds))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def _text(at_ns: int) -> str:
    seconds, nanos = divmod(at_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def _printed(value: float) -> str:
    return msgspec.json.encode(value).decode()


def _is_symbol(symbol: object) -> bool:
    return isinstance(symbol, str) and symbol.replace(".", "").isalnum() and symbol.isupper()


def _json(body: Any, status: int = HTTPStatus.OK) -> web.Response:
    data = msgspec.json.encode(body)
    return web.Response(body=data, status=status, content_type="application/json")


def _now() -> float:
    return asyncio.get_running_loop().time()
