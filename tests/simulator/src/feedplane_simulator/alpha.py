"""Binance Alpha: past bars of tokens over REST, in an envelope, every value a text.

The past is made from the seed alone, so that a judge can ask for it again. What the venue does not
state is an option: with `order` as `falling` the newest row comes first, and with `keep` as
`newest` these are what is left of an answer that is too long.

Source: client package binance-sdk-alpha 4.7.0 (paths, parameters, samples); read 2026-11-21.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from feedplane_simulator.channels import INTERVAL_MS, open_time
from feedplane_simulator.clock import now_ms
from feedplane_simulator.faults import ActiveFault, FaultKind
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.hosted_http import HttpClient
from feedplane_simulator.violations import Rule, Violation

PATH = "/bapi/defi/v1/public/alpha-trade/klines"
LISTED_MS = round(datetime(2026, 6, 3, 9, 17, tzinfo=UTC).timestamp() * 1000)
ROWS, ROWS_MOST = 500, 1_500


class AlphaVenue:
    """See `HostedVenue`."""

    def __init__(self, setup: VenueSetup) -> None:
        self.setup = setup
        self.symbols = tuple(f"ALPHA_{100 + number}USDT" for number in range(setup.symbols))
        self.requests: list[dict[str, str]] = []
        """What was asked, parameter by parameter."""
        self._ports: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._paused_until_ms, self._paused_by = 0, 0

    @property
    def ports(self) -> Mapping[str, int]:
        """See `HostedVenue`."""
        return self._ports

    async def start(self) -> None:
        """See `HostedVenue`."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.setup.host, self.setup.port).start()
        self._ports[self.setup.name] = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """See `HostedVenue`."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def inject(self, active: ActiveFault) -> None:
        """See `HostedVenue`: nothing here happens at once."""

    def connections(self) -> Sequence[Mapping[str, Any]]:
        """See `HostedVenue`: none stays."""
        return ()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        refused = self._refuse(request)
        if refused is not None:
            return refused
        query = dict(request.query)
        self.requests.append(query)
        symbol, interval = query.get("symbol", ""), query.get("interval", "")
        if symbol not in self.symbols or interval not in INTERVAL_MS:
            return web.json_response(_envelope(None, "000002", "illegal parameter"))
        limit = min(int(query.get("limit", ROWS)), ROWS_MOST)
        length = INTERVAL_MS[interval]
        end_ms = min(int(query.get("endTime", now_ms())), now_ms())
        start_ms = int(query.get("startTime", end_ms - limit * length + 1))
        rows = past_rows(self.setup.seed, symbol, interval, start_ms, end_ms)
        newest = self.setup.options.get("keep") == "newest"
        rows = rows[-limit:] if newest else rows[:limit]
        if self.setup.options.get("order") == "falling":
            rows.reverse()
        return web.json_response(_envelope(rows))

    def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        client = HttpClient(
            market_name=self.setup.name,
            account="",
            host=request.host,
            address=request.remote or "",
            user_agent=request.headers.get("User-Agent", ""),
            key="",
        )
        if now_ms() < self._paused_until_ms:
            banned = self._paused_by == 418
            self._violate(client, Rule.REST_WHILE_BANNED if banned else Rule.REST_WHILE_LIMITED)
        found = self.setup.faults.find(FaultKind.REST, client, asyncio.get_running_loop().time())
        if found is None:
            return None
        fault = found.fault
        if fault.answer_status in (418, 429):
            self._paused_by = fault.answer_status
            self._paused_until_ms = now_ms() + fault.retry_after_seconds * 1000
        headers = {"Retry-After": str(fault.retry_after_seconds)}
        return web.Response(status=fault.answer_status, headers=headers)

    def _violate(self, client: HttpClient, rule: Rule) -> None:
        violation = Violation(
            time=now_ms(),
            market=self.setup.name,
            connection=0,
            client=client.label,
            rule=rule,
            detail=f"before Retry-After of a {self._paused_by} ran out",
        )
        self.setup.violations.add(violation)


def past_rows(
    seed: int, symbol: str, interval: str, start_ms: int, end_ms: int
) -> list[list[str | int]]:
    """Return the bars that open in a range, both ends included, as the venue prints them."""
    length = INTERVAL_MS[interval]
    first = max(start_ms, open_time(length, LISTED_MS))
    at_ms = open_time(length, first)
    at_ms += length if at_ms < first else 0
    return [_row(seed, symbol, interval, at) for at in range(at_ms, end_ms + 1, length)]


def _row(seed: int, symbol: str, interval: str, at_ms: int) -> list[str | int]:
    rng = random.Random(f"{seed} {symbol} {interval} {at_ms}")  # noqa: S311 - prices, not a secret
    low, middle, other, high = sorted(rng.randrange(100_000, 200_000) for _ in range(4))
    size, count = rng.randrange(1, 10**9), rng.randrange(1, 500)
    sizes = [f"{part / 10**5:.8f}" for part in (size, size // 3, size // 2, size // 6)]
    return [
        str(at_ms),
        *(f"{price / 10**8:.8f}" for price in (middle, high, low, other)),
        sizes[0],
        str(at_ms + INTERVAL_MS[interval] - 1),
        sizes[1],
        str(count),
        *sizes[2:],
        0,
    ]


def _envelope(data: object, code: str = "000000", message: str | None = None) -> dict[str, Any]:
    return {
        "code": code,
        "message": message,
        "messageDetail": None,
        "success": code == "000000",
        "data": data,
    }
