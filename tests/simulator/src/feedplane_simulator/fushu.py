"""Hong Kong quote services, polled: FuShu's JSON, and the statements of Tencent and Sina.

One venue of each name, alike but for the text. Times are whole seconds, as all three print them.

Source: what public clients of qt.gtimg.cn and hq.sinajs.cn read, and the one known client of
FuShu (2026-11); unknown symbols are left out by FuShu, answered with an empty statement by Sina
and with `v_pv_none_match` by Tencent.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import msgspec
from aiohttp import web

from feedplane_simulator.board import Board, Line
from feedplane_simulator.clock import now_ms
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.hosted_http import HttpVenue

HONG_KONG = timezone(timedelta(hours=8))
FAMILIAR = ("00700", "09988", "00005", "03690", "01299", "00941", "00388", "02318")
NOT_FOUND = 'v_pv_none_match="1";\n'


def build_symbols(count: int) -> list[str]:
    """Return so many Hong Kong codes, the familiar ones first."""
    others = (f"{number:05d}" for number in range(1, 10 * count + 100))
    return [*FAMILIAR, *(code for code in others if code not in FAMILIAR)][:count]


class FushuVenue(HttpVenue):
    """One of the three services; its name says which."""

    def __init__(self, setup: VenueSetup) -> None:
        super().__init__(setup, Board(build_symbols(setup.symbols), setup.seed, decimals=3, lot=1))
        self._delay_seconds = float(setup.options.get("delay_seconds", "0"))

    def add_routes(self, app: web.Application) -> None:
        """See `HttpVenue`."""
        match self.setup.name:
            case "fushu":
                app.router.add_get("/v1/tick", self.guard(self._answer_fushu))
            case "fushu-tencent":
                app.router.add_get("/{query:q=.+}", self.guard(self._answer_tencent))
            case _:
                app.router.add_get("/{query:list=.+}", self.guard(self._answer_sina))

    def tell(self, line: Line) -> None:
        """See `HttpVenue`."""
        seconds = line.time_ms // 1000
        fields = line.fields() | {"ts_event": seconds * 1_000_000_000}
        if self.setup.name == "fushu":
            fields = {key: fields[key] for key in ("last_price", "volume", "ts_event")}
            self._record("quote", line, _quote(line) | {"ts_event": fields["ts_event"]})
            fields |= _quote(line)
        elif self.setup.name == "fushu-sina":
            prices = _quote(line)
            fields |= {key: prices[key] for key in ("bid_price", "ask_price")}
        self._record("snapshot", line, fields)

    def _record(self, channel: str, line: Line, fields: dict[str, object]) -> None:
        event = VenueEvent(
            channel=channel,
            symbol=line.symbol,
            stream=line.symbol,
            sequence=line.changes,
            payload=msgspec.json.encode(fields),
        )
        self.setup.truth.record(self.setup.name, event, now_ms())

    async def _answer_fushu(self, request: web.Request) -> web.StreamResponse:
        codes = request.query.get("symbols", "").split(",")
        rows = await self._collect(request, [code.removesuffix(".HK") for code in codes], _tick)
        body = b'{"data":[' + ",".join(row for row in rows if row).encode() + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _answer_tencent(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info["query"].removeprefix("q=").split(",")
        codes = [name.removeprefix("r_").removeprefix("hk") for name in names]
        rows = await self._collect(request, codes, _tencent)
        text = "".join(row or NOT_FOUND for row in rows)
        return web.Response(body=text.encode("gbk", "replace"), content_type="text/html")

    async def _answer_sina(self, request: web.Request) -> web.StreamResponse:
        if not request.headers.get("Referer", "").startswith("https://finance.sina.com.cn"):
            return web.Response(status=403, text="Forbidden")
        names = request.match_info["query"].removeprefix("list=").split(",")
        codes = [name.removeprefix("rt_hk") for name in names]
        rows = await self._collect(request, codes, _sina)
        pairs = zip(codes, rows, strict=True)
        text = "".join(row or f'var hq_str_rt_hk{code}="";\n' for code, row in pairs)
        return web.Response(body=text.encode("gbk", "replace"), content_type="text/html")

    # One text per code, empty for unknown ones and those a fault keeps back.
    async def _collect(
        self, request: web.Request, codes: list[str], render: Callable[[Line], str]
    ) -> list[str]:
        await asyncio.sleep(self._delay_seconds)
        rows: list[str] = []
        for code in codes:
            line = self.board.lines.get(code)
            if line is None or not line.trading:
                rows.append("")
                continue
            verdict = self.judge(request, code, line.changes)
            if verdict.delay_seconds:
                await asyncio.sleep(verdict.delay_seconds)
            row = render(line) if verdict.send else ""
            rows.append(row[: len(row) // 2] if verdict.corrupt else row)
        return rows


def _quote(line: Line) -> dict[str, object]:
    (bid, bid_size), (ask, ask_size) = line.bids[0], line.asks[0]
    return {
        "bid_price": line.text(bid),
        "bid_size": str(bid_size),
        "ask_price": line.text(ask),
        "ask_size": str(ask_size),
    }


def _local(line: Line) -> datetime:
    return datetime.fromtimestamp(line.time_ms // 1000, UTC).astimezone(HONG_KONG)


def _tick(line: Line) -> str:
    quote = _quote(line)
    return (
        f'{{"symbol":"{line.symbol}.HK","price":{line.text(line.last)},"volume":{line.volume},'
        f'"timestamp":"{_local(line).isoformat()}",'
        f'"bid_price":{quote["bid_price"]},"ask_price":{quote["ask_price"]},'
        f'"bid_volume":{quote["bid_size"]},"ask_volume":{quote["ask_size"]}}}'
    )


def _tencent(line: Line) -> str:
    fields = [""] * 79
    last = line.text(line.last)
    fields[0:4] = ["100", "模拟", line.symbol, last]
    fields[4:7] = [line.text(line.previous_close), line.text(line.open), f"{line.volume}.0"]
    fields[7:9] = ["0", "0"]
    fields[9:29] = [last, "0"] * 10
    fields[30] = _local(line).strftime("%Y/%m/%d %H:%M:%S")
    fields[33:38] = [
        line.text(line.high),
        line.text(line.low),
        last,
        f"{line.volume}.0",
        line.text(line.turnover),
    ]
    fields[75] = "HKD"
    return f'v_r_hk{line.symbol}="{"~".join(fields)}";\n'


def _sina(line: Line) -> str:
    quote = _quote(line)
    at = _local(line)
    fields = [
        *("SIMULATED", "模拟", line.text(line.open), line.text(line.previous_close)),
        *(line.text(line.high), line.text(line.low), line.text(line.last), "0.000", "0.000"),
        *(str(quote["bid_price"]), str(quote["ask_price"]), line.text(line.turnover)),
        *(str(line.volume), "17.403", "0.000", "675.134", "411.000"),
        *(at.strftime("%Y/%m/%d"), at.strftime("%H:%M:%S"), "1"),
    ]
    return f'var hq_str_rt_hk{line.symbol}="{",".join(fields)}";\n'
