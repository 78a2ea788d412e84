"""The archive over HTTP, and the futures' five metric series over REST.

Both are served on the market's own port: `/data/spot/...`, `/data/futures/um/...`,
`/futures/data/...`. Files are made when they are first asked for, then remembered.
"""

import asyncio
from collections import OrderedDict
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from feedplane_simulator.archive import (
    ArchiveName,
    checksum_line,
    damage,
    header_of,
    pack,
    parse_name,
    published_ms,
    punch,
    render_klines,
    render_metrics,
    render_trades,
)
from feedplane_simulator.config import Market
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.past import METRIC_MS, Metrics
from feedplane_simulator.rules import RateMeter
from feedplane_simulator.venue_streams import read_client
from feedplane_simulator.violations import Rule

CACHE_BYTES = 256 * 1024 * 1024
METRIC_REQUESTS_MAX = 1_000
METRIC_WINDOW_SECONDS = 300.0
METRIC_DAYS = 30
SERIES = (
    "openInterestHist",
    "topLongShortAccountRatio",
    "topLongShortPositionRatio",
    "globalLongShortAccountRatio",
    "takerlongshortRatio",
)


class ArchiveEndpoint:
    """Serves the files of one market."""

    def __init__(self, market: LiveMarket, delay_seconds: float) -> None:
        self._market = market
        self._delay_seconds = delay_seconds
        self._made: OrderedDict[tuple[str, bool], bytes] = OrderedDict()
        self._bytes = 0
        self.served: list[str] = []
        """Paths asked for, in order, so that a trial can tell what was fetched."""

    def add_routes(self, app: web.Application) -> None:
        """Register the paths of the archive."""
        app.router.add_get("/data/{path:.+}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.served.append(path)
        wants_checksum = path.endswith(".CHECKSUM")
        file_path = path.removesuffix(".CHECKSUM")
        name = parse_name(self._market.name, file_path)
        client, now = read_client(self._market.name, request), asyncio.get_running_loop().time()
        # The checksum belongs to the file: a fault strikes both alike and is counted once.
        struck = self._market.faults.find(
            FaultKind.ARCHIVE, client, now, name=file_path, spend=not wants_checksum
        )
        kind = struck.fault.damage if struck else ""
        if struck and kind == "slow":
            await asyncio.sleep(struck.fault.delay_seconds)
        if struck and kind == "error":
            headers = {"Retry-After": str(struck.fault.retry_after_seconds)}
            return web.Response(status=struck.fault.answer_status, text="error", headers=headers)
        if name is None or kind == "missing" or not self._exists(name):
            return web.Response(status=HTTPStatus.NOT_FOUND, text="<Code>NoSuchKey</Code>")
        file = file_path.rpartition("/")[2]
        packed = await self._file(file, name, holed=kind == "hole")
        if wants_checksum:
            signed = damage(kind, packed) if kind == "rotten" else packed
            if kind == "checksum":
                signed = packed + b"!"
            return web.Response(text=checksum_line(file, signed))
        return web.Response(body=damage(kind, packed), content_type="application/zip")

    def _exists(self, name: ArchiveName) -> bool:
        now_ms, source = self._market.now_ms(), self._market.source
        if source.annals is None or not source.lists(name.symbol) or name.start_ms > now_ms:
            return False
        listed_ms = source.annals.listed_ms(name.symbol)
        if listed_ms is None or name.end_ms <= listed_ms:
            return False
        return now_ms >= published_ms(name, self._delay_seconds)

    async def _file(self, file: str, name: ArchiveName, *, holed: bool) -> bytes:
        key = (file, holed)
        whole = name.end_ms <= self._market.now_ms()
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        packed = await asyncio.to_thread(self._make, file, name, holed)
        if whole:
            self._made[key] = packed
            self._bytes += len(packed)
        while self._bytes > CACHE_BYTES:
            self._bytes -= len(self._made.popitem(last=False)[1])
        return packed

    def _make(self, file: str, name: ArchiveName, holed: bool) -> bytes:
        source = self._market.source.annals
        assert source is not None
        market, instrument = self._market.name, source.instrument(name.symbol)
        end_ms = min(name.end_ms, self._market.now_ms())
        if name.kind == "aggTrades":
            trades = source.trades(name.symbol, name.start_ms, end_ms)
            text = render_trades(market, instrument, trades)
        elif name.kind == "metrics":
            rows = source.metrics(name.symbol, name.start_ms, end_ms - 1)
            text = render_metrics(name.symbol, rows)
        else:
            bars = source.bars(name.symbol, name.interval, name.start_ms, end_ms)
            text = render_klines(market, instrument, bars)
        text = punch(text) if holed else text
        return pack(file, header_of(market, name) + text)


class MetricEndpoint:
    """Serves `/futures/data/*`: five series, the last 30 days, a limit of their own."""

    def __init__(self, market: LiveMarket) -> None:
        self._market = market
        self._meters: dict[str, RateMeter] = {}

    def add_routes(self, app: web.Application) -> None:
        """Register the five paths."""
        for series in SERIES:
            app.router.add_get(f"/futures/data/{series}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        market, client = self._market, read_client(self._market.name, request)
        market.rest_count += 1
        meter = self._meters.setdefault(
            client.address, RateMeter(METRIC_REQUESTS_MAX, METRIC_WINDOW_SECONDS)
        )
        if meter.exceeded(asyncio.get_running_loop().time()):
            market.violate(client, 0, Rule.REST_WEIGHT, "metric requests")
            body = {"code": -1003, "msg": "Too many requests."}
            return _json(body, HTTPStatus.TOO_MANY_REQUESTS)
        query, now_ms = request.query, market.now_ms()
        symbol = query.get("symbol", "")
        annals = market.source.annals
        if query.get("period") != "5m" or not market.source.lists(symbol) or annals is None:
            body = {"code": -1121, "msg": "Invalid symbol."}
            return _json(body, HTTPStatus.BAD_REQUEST)
        limit = min(int(query.get("limit", "30")), 500)
        oldest_ms = now_ms - METRIC_DAYS * 86_400_000
        start_ms = max(int(query.get("startTime", "0")), oldest_ms)
        end_ms = min(int(query.get("endTime", str(now_ms))), now_ms - METRIC_MS)
        rows = list(annals.metrics(symbol, start_ms, end_ms))
        chosen = rows[:limit] if "startTime" in query else rows[-limit:]
        series = request.path.rpartition("/")[2]
        return _json([_build_row(series, symbol, row) for row in chosen], HTTPStatus.OK)


def _build_row(series: str, symbol: str, row: Metrics) -> dict[str, Any]:
    if series == "takerlongshortRatio":
        volumes = {"buyVol": "387.3300", "sellVol": "248.5030"}
        return {"buySellRatio": row.taker_ratio, **volumes, "timestamp": row.time_ms}
    if series == "openInterestHist":
        return {
            "symbol": symbol,
            "sumOpenInterest": row.open_interest,
            "sumOpenInterestValue": row.open_interest_value,
            "timestamp": row.time_ms,
        }
    ratio = {
        "topLongShortAccountRatio": row.top_account_ratio,
        "topLongShortPositionRatio": row.top_position_ratio,
        "globalLongShortAccountRatio": row.account_ratio,
    }[series]
    shares = {"longAccount": "0.5891", "shortAccount": "0.4109"}
    return {"symbol": symbol, "longShortRatio": ratio, **shares, "timestamp": row.time_ms}


def add_history_routes(app: web.Application, market: LiveMarket, delay_seconds: float) -> None:
    """Register the archive of a market, and of futures the metric series."""
    ArchiveEndpoint(market, delay_seconds).add_routes(app)
    if market.name is Market.USDM:
        MetricEndpoint(market).add_routes(app)


def _json(body: Any, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
