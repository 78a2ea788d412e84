"""Who may come in: keys, bans, an account's sessions, and what holds everybody off.

The referee of logins: it counts sessions by itself, whatever the clients believe.
"""

import asyncio
import math
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from feedplane_simulator.connection import Client
from feedplane_simulator.faults import ActiveFault, FaultKind
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.rules import WeightVerdict
from feedplane_simulator.violations import Rule

KEY_REFUSED = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
POLL_SECONDS = 0.05
LINE_DEAD = 499
"""What a handshake is answered whose client has gone while the line was frozen."""


@dataclass(slots=True)
class Terms:
    """What logins are held to; may change while the simulator runs."""

    sessions_per_account: int | None = None
    """Connections an account may have at once in a market; None means any number."""
    valid_keys: frozenset[str] | None = None
    """Keys that may log in; None asks for none."""


class Admission:
    """The door of one market."""

    def __init__(self, market: LiveMarket, terms: Terms) -> None:
        self._market = market
        self._terms = terms

    async def thawed(self, client: Client, request: web.Request) -> bool:
        """Wait while nothing passes between a client and the venue; False when it hung up."""
        while self._market.faults.freezes(client, _now()):  # noqa: ASYNC110 - ends by the clock
            await asyncio.sleep(POLL_SECONDS)
        return request.transport is not None and not request.transport.is_closing()

    def refuse(self, client: Client) -> web.Response | None:
        """Return the answer to a handshake that is not let in."""
        market, now = self._market, _now()
        if market.connect_meter(client.address).exceeded(now):
            detail = f"more than {market.rules.connects_max} in the window"
            market.violate(client, 0, Rule.CONNECT_RATE, detail)
            return web.Response(status=HTTPStatus.TOO_MANY_REQUESTS)
        ban = market.faults.find(FaultKind.BAN, client, now)
        if ban is not None:
            return self._banned(ban, client, now)
        refused = market.faults.find(FaultKind.REFUSE, client, now)
        if refused is not None:
            headers = {"Retry-After": str(refused.fault.retry_after_seconds)}
            return web.Response(status=refused.fault.answer_status, headers=headers)
        keys = self._terms.valid_keys
        if keys is not None and client.key not in keys:
            return web.json_response(KEY_REFUSED, status=HTTPStatus.UNAUTHORIZED)
        return self._count_sessions(client, now)

    def judge_rest(self, client: Client, used: int) -> WeightVerdict | None:
        """Return what a REST request of a banned client is answered, None when it may go on."""
        now = _now()
        ban = self._market.faults.find(FaultKind.BAN, client, now)
        if ban is None:
            return None
        seconds = math.ceil(ban.left_seconds(now))
        until_ms = self._market.now_ms() + round(ban.left_seconds(now) * 1000)
        return WeightVerdict(used, ban.fault.answer_status, seconds, until_ms)

    def refuses_key(self, client: Client) -> bool:
        """Tell whether a request carries a key that is not valid; none at all is no trouble."""
        keys = self._terms.valid_keys
        return keys is not None and bool(client.key) and client.key not in keys

    def _banned(self, ban: ActiveFault, client: Client, now: float) -> web.Response:
        left = ban.left_seconds(now)
        if client.label in ban.told:
            detail = f"{left:.2f} s before the end of a {ban.fault.answer_status}"
            self._market.violate(client, 0, Rule.CONNECT_WHILE_BANNED, detail)
        ban.told.add(client.label)
        headers = {"Retry-After": str(math.ceil(left))}
        return web.Response(status=ban.fault.answer_status, headers=headers)

    def _count_sessions(self, client: Client, now: float) -> web.Response | None:
        market = self._market
        same = [c for c in market.connections.values() if c.client.label == client.label]
        beside = ", ".join(str(connection.number) for connection in same)
        limit = self._terms.sessions_per_account
        if limit is not None and len(same) >= limit:
            market.violate(client, 0, Rule.DOUBLE_LOGIN, f"beside connection {beside}")
            return web.Response(status=HTTPStatus.CONFLICT)
        if same and market.faults.find(FaultKind.SINGLE_SESSION, client, now) is not None:
            market.violate(client, 0, Rule.SECOND_SESSION, f"beside connection {beside}")
            return web.Response(status=HTTPStatus.FORBIDDEN)
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
