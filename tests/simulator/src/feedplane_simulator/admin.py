"""The admin port: truth, violations, faults and connections over plain HTTP and JSON."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from feedplane_simulator.faults import Fault
from feedplane_simulator.load import LoadSpec

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

if TYPE_CHECKING:
    from feedplane_simulator.simulator import Simulator


class TermsChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What logins are held to from now on; null lifts a rule, what is absent stays."""

    sessions_per_account: int | msgspec.UnsetType | None = msgspec.UNSET
    valid_keys: list[str] | msgspec.UnsetType | None = msgspec.UNSET


@web.middleware
async def refuse_malformed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 400 to a body that is no JSON of the expected shape."""
    try:
        return await handler(request)
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)


class AdminEndpoint:
    """Serves the admin paths of one simulator."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator

    def add_routes(self, app: web.Application) -> None:
        """Register the admin paths."""
        router = app.router
        router.add_get("/healthz", self._health)
        router.add_get("/metrics", self._metrics)
        router.add_get("/connections", self._connections)
        router.add_get("/violations", self._violations)
        router.add_delete("/violations", self._clear_violations)
        router.add_get("/faults", self._faults)
        router.add_post("/faults", self._inject)
        router.add_delete("/faults", self._clear)
        router.add_delete("/faults/{number}", self._clear)
        router.add_get("/truth", self._truth)
        router.add_post("/truth/mark", self._mark)
        router.add_get("/truth/{market}/{channel}/{symbol}", self._channel_truth)
        router.add_get("/deliveries/{market}/{channel}/{symbol}", self._deliveries)
        router.add_get("/terms", self._terms)
        router.add_post("/terms", self._set_terms)
        router.add_post("/rate", self._rate)
        router.add_get("/load", self._loads)
        router.add_post("/load", self._start_load)
        router.add_delete("/load", self._stop_loads)

    async def _health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok", "ports": self._simulator.ports})

    async def _metrics(self, _request: web.Request) -> web.Response:
        lines = []
        for name, market in self._simulator.markets.items():
            values = {
                "connections": len(market.connections),
                "events_total": market.emitted_count,
                "rest_requests_total": market.rest_count,
            }
            lines += [
                f'feedplane_simulator_{key}{{market="{name}"}} {value}'
                for key, value in values.items()
            ]
        lines += [
            f'feedplane_simulator_violations_total{{rule="{rule}"}} {count}'
            for rule, count in self._simulator.violations.counts.items()
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _connections(self, _request: web.Request) -> web.Response:
        return _json(self._simulator.connections())

    async def _violations(self, _request: web.Request) -> web.Response:
        return _json(self._simulator.violations.list_all())

    async def _clear_violations(self, _request: web.Request) -> web.Response:
        self._simulator.violations.clear()
        return _json({})

    async def _faults(self, _request: web.Request) -> web.Response:
        return _json(self._simulator.faults.describe())

    async def _inject(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        active = await self._simulator.inject(fault)
        return _json(active.describe(), HTTPStatus.CREATED)

    async def _clear(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        return _json({"cleared": self._simulator.clear(int(number) if number else None)})

    async def _truth(self, request: web.Request) -> web.Response:
        since = request.query.get("since")
        try:
            return _json(self._simulator.truth.summarize(since))
        except KeyError:
            return _json({"error": f"no mark named {since}"}, HTTPStatus.NOT_FOUND)

    async def _mark(self, request: web.Request) -> web.Response:
        body = await request.read()
        name = msgspec.json.decode(body, type=dict[str, str])["name"] if body else "mark"
        self._simulator.mark(name)
        return _json({"name": name})

    async def _channel_truth(self, request: web.Request) -> web.Response:
        info = request.match_info
        key = (info["market"], info["channel"], info["symbol"])
        if key[0] not in self._simulator.rates:
            return _json({"error": f"no market named {key[0]}"}, HTTPStatus.NOT_FOUND)
        truth, query = self._simulator.truth, request.query
        emitted = truth.emitted.get(key)
        if emitted is None:
            return _json({"error": "nothing emitted"}, HTTPStatus.NOT_FOUND)
        body: dict[str, Any] = {
            "emitted": emitted.summary(),
            "delivered": [window.summary() for window in truth.delivered.get(key, ())],
        }
        after = int(query["after"]) if "after" in query else None
        until = int(query["until"]) if "until" in query else None
        if query.get("ids"):
            body["ids"] = truth.ids(key, after, until)
            for row, window in zip(body["delivered"], truth.delivered.get(key, ()), strict=True):
                row["withheldIds"] = list(window.withheld)
        if query.get("events"):
            body["events"] = [
                {"sequence": sequence, "time": at, "payload": msgspec.Raw(payload)}
                for sequence, at, payload in truth.events(key)
                if (after is None or sequence > after) and (until is None or sequence <= until)
            ]
        return _json(body)

    async def _deliveries(self, request: web.Request) -> web.Response:
        info, query = request.match_info, request.query
        key = (info["market"], info["channel"], info["symbol"])
        if key[0] not in self._simulator.rates:
            return _json({"error": f"no market named {key[0]}"}, HTTPStatus.NOT_FOUND)
        truth = self._simulator.truth
        return _json(truth.deliveries(key, query.get("account"), with_ids=bool(query.get("ids"))))

    async def _terms(self, _request: web.Request) -> web.Response:
        terms = self._simulator.terms
        # How many keys, never which: they are somebody's secret even here.
        keys = None if terms.valid_keys is None else len(terms.valid_keys)
        return _json({"sessionsPerAccount": terms.sessions_per_account, "validKeys": keys})

    async def _set_terms(self, request: web.Request) -> web.Response:
        told = msgspec.json.decode(await request.read(), type=TermsChange)
        terms = self._simulator.terms
        if told.sessions_per_account is not msgspec.UNSET:
            terms.sessions_per_account = told.sessions_per_account
        if told.valid_keys is not msgspec.UNSET:
            terms.valid_keys = None if told.valid_keys is None else frozenset(told.valid_keys)
        return await self._terms(request)

    async def _loads(self, _request: web.Request) -> web.Response:
        loads = self._simulator.loads
        return _json({name: run.describe() for name, run in loads.items()})

    async def _start_load(self, request: web.Request) -> web.Response:
        spec = msgspec.json.decode(await request.read() or b"{}", type=LoadSpec)
        run = await self._simulator.start_load(spec)
        return _json(run.describe(), HTTPStatus.CREATED)

    async def _stop_loads(self, request: web.Request) -> web.Response:
        for name in self._simulator.markets:
            await self._simulator.stop_load(name)
        return await self._loads(request)

    async def _rate(self, request: web.Request) -> web.Response:
        rates = msgspec.json.decode(await request.read(), type=dict[str, float])
        unknown = sorted(set(rates).difference(self._simulator.rates))
        if unknown:
            return _json({"error": f"no market named {unknown[0]}"}, HTTPStatus.NOT_FOUND)
        self._simulator.rates.update(rates)
        return _json(self._simulator.rates)


def _json(body: Any, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
