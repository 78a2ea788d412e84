"""The REST side of a market: weights and bans first, then the answer from the source."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from feedplane_simulator.admission import KEY_REFUSED, LINE_DEAD, Admission
from feedplane_simulator.channels import check_interval
from feedplane_simulator.config import Market
from feedplane_simulator.connection import Client
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.rules import WeightVerdict
from feedplane_simulator.sources import Window
from feedplane_simulator.venue_streams import read_client
from feedplane_simulator.violations import Rule

LIMIT_TEXT = (
    "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)
BAN_TEXT = (
    "Way too much request weight used; IP banned until {until}. "
    "Please use WebSocket Streams for live updates to avoid bans."
)
Weigh = Callable[[web.Request], int]
Answer = Callable[[web.Request], Awaitable[Any]]


class RestError(Exception):
    """A request the venue refuses, with its own code and text."""

    def __init__(self, code: int, text: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


def _integer(request: web.Request, name: str, default: int | None = None) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        message = f"Illegal characters found in parameter '{name}'; legal range is "
        raise RestError(-1100, message + "'^[0-9]{1,20}$'.") from None


def _limit(request: web.Request, default: int, maximum: int) -> int:
    limit = _integer(request, "limit", default)
    if limit is None or limit < 1:
        raise RestError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, maximum)


def _weight_by_limit(default: int, steps: tuple[tuple[int, int], ...]) -> Weigh:
    def weigh(request: web.Request) -> int:
        text = request.query.get("limit", "")
        limit = int(text) if text.isdigit() else default
        return next((weight for up_to, weight in steps if limit <= up_to), steps[-1][1])

    return weigh


def _weight(weight: int) -> Weigh:
    return lambda _request: weight


class RestEndpoint:
    """Serves the REST paths of one market.

    Source: binance-spot-api-docs rest-api.md (2026-07), developers.binance.com USDS-M REST
    pages (2026-05).
    """

    def __init__(self, market: LiveMarket, admission: Admission) -> None:
        self._market = market
        self._admission = admission
        self._spot = market.name is Market.SPOT
        self._prefix = "/api/v3" if self._spot else "/fapi/v1"

    def add_routes(self, app: web.Application) -> None:
        """Register the paths, and a catch-all that knows none."""
        if self._spot:
            depth = _weight_by_limit(100, ((100, 5), (500, 25), (1000, 50), (5000, 250)))
            klines, agg_trades, info = _weight(2), _weight(4), _weight(20)
        else:
            depth = _weight_by_limit(500, ((50, 2), (100, 5), (500, 10), (1000, 20)))
            klines = _weight_by_limit(500, ((99, 1), (499, 2), (1000, 5), (1500, 10)))
            agg_trades, info = _weight(20), _weight(1)
        for path, weigh, answer in (
            ("ping", _weight(1), self._ping),
            ("time", _weight(1), self._time),
            ("exchangeInfo", info, self._exchange_info),
            ("depth", depth, self._depth),
            ("klines", klines, self._klines),
            ("aggTrades", agg_trades, self._agg_trades),
        ):
            app.router.add_get(f"{self._prefix}/{path}", self._wrap(weigh, answer))
        app.router.add_route("*", "/{path:.*}", self._unknown)

    def _wrap(
        self, weigh: Weigh, answer: Answer
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            client = read_client(self._market.name, request)
            if not await self._admission.thawed(client, request):
                return web.Response(status=LINE_DEAD)
            self._market.rest_count += 1
            if self._admission.refuses_key(client):
                return _json(KEY_REFUSED, HTTPStatus.UNAUTHORIZED, {})
            verdict = self._judge(client, weigh(request))
            headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used)}
            if verdict.status != HTTPStatus.OK:
                headers["Retry-After"] = str(verdict.retry_after_seconds)
                return _json(self._limit_body(verdict), verdict.status, headers)
            try:
                return _json(await answer(request), HTTPStatus.OK, headers)
            except RestError as error:
                self._market.violate(client, 0, Rule.MALFORMED_REQUEST, error.text)
                body = {"code": error.code, "msg": error.text}
                return _json(body, error.status, headers)

        return handle

    def _judge(self, client: Client, weight: int) -> WeightVerdict:
        market = self._market
        meter, now_ms = market.weight_meter(client.address), market.now_ms()
        now = asyncio.get_running_loop().time()
        impatient = meter.impatient(now_ms)
        if impatient:
            rule = Rule.REST_WHILE_BANNED if impatient == 418 else Rule.REST_WHILE_LIMITED
            market.violate(client, 0, rule, f"before Retry-After of a {impatient} ran out")
        banned = self._admission.judge_rest(client, meter.used)
        if banned is not None:
            return banned
        forced = market.faults.find(FaultKind.REST, client, now)
        if forced is not None:
            fault = forced.fault
            status, seconds = fault.answer_status, fault.retry_after_seconds
            if status not in (418, HTTPStatus.TOO_MANY_REQUESTS):
                return WeightVerdict(meter.used, status, seconds)
            return meter.penalize(status, now_ms, seconds)
        verdict = meter.spend(weight, now_ms)
        if verdict.status != HTTPStatus.OK and not impatient:
            market.violate(client, 0, Rule.REST_WEIGHT, f"used weight {verdict.used}")
        return verdict

    def _limit_body(self, verdict: WeightVerdict) -> dict[str, Any]:
        if verdict.status == 418:
            return {"code": -1003, "msg": BAN_TEXT.format(until=verdict.until_ms)}
        if verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
            limit = self._market.rules.weight_per_minute
            return {"code": -1003, "msg": LIMIT_TEXT.format(limit=limit)}
        return {"code": -1000, "msg": "An unknown error occurred while processing the request."}

    async def _unknown(self, request: web.Request) -> web.Response:
        client = read_client(self._market.name, request)
        self._market.violate(client, 0, Rule.UNKNOWN_ENDPOINT, request.path)
        return web.Response(status=HTTPStatus.NOT_FOUND, text="<html>404</html>")

    def _symbol(self, request: web.Request) -> str:
        symbol = request.query.get("symbol")
        if not symbol:
            raise RestError(
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
            )
        if not self._market.source.lists(symbol):
            raise RestError(-1121, "Invalid symbol.")
        return symbol

    async def _ping(self, _request: web.Request) -> Any:
        return {}

    async def _time(self, _request: web.Request) -> Any:
        return {"serverTime": self._market.now_ms()}

    async def _exchange_info(self, request: web.Request) -> Any:
        info = self._market.source.exchange_info(self._market.now_ms())
        if not self._spot:
            return info
        wanted = self._wanted_symbols(request)
        status = request.query.get("symbolStatus")
        info["symbols"] = [
            entry
            for entry in info["symbols"]
            if (wanted is None or entry["symbol"] in wanted)
            and (status is None or entry["status"] == status)
        ]
        return info

    def _wanted_symbols(self, request: web.Request) -> set[str] | None:
        if "symbol" in request.query:
            return {self._symbol(request)}
        if "symbols" not in request.query:
            return None
        try:
            wanted = msgspec.json.decode(request.query["symbols"], type=set[str])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise RestError(-1100, "Illegal characters found in parameter 'symbols'.") from None
        if not all(self._market.source.lists(symbol) for symbol in wanted):
            raise RestError(-1121, "Invalid symbol.")
        return wanted

    async def _depth(self, request: web.Request) -> Any:
        limit = _limit(request, 100 if self._spot else 500, 5000 if self._spot else 1000)
        return self._market.source.depth(self._symbol(request), limit, self._market.now_ms())

    async def _klines(self, request: web.Request) -> Any:
        interval = request.query.get("interval", "")
        symbol = self._symbol(request)
        if not check_interval(self._market.name, interval):
            raise RestError(-1120, "Invalid interval.")
        window = Window(
            limit=_limit(request, 500, 1000 if self._spot else 1500),
            start_ms=_integer(request, "startTime"),
            end_ms=_integer(request, "endTime"),
        )
        return self._market.source.klines(symbol, interval, window)

    async def _agg_trades(self, request: web.Request) -> Any:
        window = Window(
            limit=_limit(request, 500, 1000),
            from_id=_integer(request, "fromId"),
            start_ms=_integer(request, "startTime"),
            end_ms=_integer(request, "endTime"),
        )
        return self._market.source.agg_trades(self._symbol(request), window)


def _json(body: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )
