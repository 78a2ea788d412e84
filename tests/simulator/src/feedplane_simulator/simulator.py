"""A whole simulator in one event loop: two markets, their ports, the admin port, the pace."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from functools import partial
from typing import Any, Self

from aiohttp import WSCloseCode, web

from feedplane_simulator.admin import AdminEndpoint, refuse_malformed
from feedplane_simulator.admission import Admission, Terms
from feedplane_simulator.clock import now_ms
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.connection import Connection
from feedplane_simulator.events import LogEvent
from feedplane_simulator.faults import ONCE, ActiveFault, Fault, FaultBook, FaultKind
from feedplane_simulator.hosted import HostedVenue, VenueSetup
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.load import LoadSpec, first_lap
from feedplane_simulator.load_run import LoadRun
from feedplane_simulator.load_source import LoadSource
from feedplane_simulator.market import LiveMarket
from feedplane_simulator.pacing import drive
from feedplane_simulator.recorded_source import RecordedSource
from feedplane_simulator.recording import find_recordings
from feedplane_simulator.sources import GeneratedSource, Source
from feedplane_simulator.truth import Truth
from feedplane_simulator.venue_archive import add_history_routes
from feedplane_simulator.venue_rest import RestEndpoint
from feedplane_simulator.venue_streams import StreamEndpoint
from feedplane_simulator.venues import VENUES
from feedplane_simulator.violations import ViolationLog

logger = logging.getLogger(__name__)

KEEP_EVERY_SECONDS = 0.05
URL_BYTES_MAX = 64 * 1024
"""A thousand stream names fit into one path."""


class Simulator:
    """Serves both markets between `start` and `stop`; also an async context manager."""

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.truth = Truth(self.config.truth_bytes)
        self.violations = ViolationLog()
        self.faults = FaultBook(self.config.seed)
        keys = self.config.valid_keys
        self.terms = Terms(
            sessions_per_account=self.config.sessions_per_account,
            valid_keys=None if keys is None else frozenset(keys),
        )
        self.markets: dict[Market, LiveMarket] = {}
        self.ports: dict[str, int] = {}
        self.hosted: dict[str, HostedVenue] = {}
        self._wanted = [name for name in self.config.venues if name in VENUES]
        names = (*self.config.markets, *self._wanted)
        self.rates: dict[str, float] = dict.fromkeys(names, self.config.rate)
        self._endpoints: dict[Market, StreamEndpoint] = {}
        self._runners: list[web.AppRunner] = []
        folder = self.config.recordings
        self._recordings = find_recordings(folder) if folder is not None else {}
        self.loads: dict[Market, LoadRun] = {}
        self._load_tasks: dict[Market, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._rng = random.Random(self.config.seed)  # noqa: S311 - seeded on purpose

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @property
    def spot_url(self) -> str:
        """Base of the spot WebSocket paths."""
        return f"ws://{self._reachable_host}:{self.ports['spot']}"

    @property
    def usdm_url(self) -> str:
        """Base of the futures WebSocket paths."""
        return f"ws://{self._reachable_host}:{self.ports['usdm']}"

    @property
    def admin_url(self) -> str:
        """Base of the admin paths."""
        return f"http://{self._reachable_host}:{self.ports['admin']}"

    @property
    def _reachable_host(self) -> str:
        return "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host  # noqa: S104

    def _build_source(self, market: Market) -> Source:
        recording = self._recordings.get(market)
        if recording is not None:
            return RecordedSource(recording, self.config, now_ms())
        return GeneratedSource(market, self.config, now_ms())

    async def start(self) -> None:
        """Open all ports and begin to emit."""
        books = (self.truth, self.violations, self.faults)
        ports = {Market.SPOT: self.config.spot_port, Market.USDM: self.config.usdm_port}
        for name in self.config.markets:
            source = self._build_source(name)
            market = LiveMarket(name, self.config, source, books, now_ms)
            self.markets[name] = market
            admission = Admission(market, self.terms)
            self._endpoints[name] = StreamEndpoint(market, admission)
            app = web.Application()
            self._endpoints[name].add_routes(app)
            add_history_routes(app, market, self.config.archive_delay_seconds)
            RestEndpoint(market, admission).add_routes(app)
            await self._listen(name, app, ports[name])
        admin = web.Application(middlewares=[refuse_malformed])
        AdminEndpoint(self).add_routes(admin)
        await self._listen("admin", admin, self.config.admin_port)
        await self._start_hosted()
        for name in self.markets:
            self._tasks.append(_spawn(drive(self, self.markets[name])))
            self._tasks.append(_spawn(self._keep(self._endpoints[name])))
        logger.info(LogEvent.SIMULATOR_STARTED, extra={"ports": self.ports})

    async def _start_hosted(self) -> None:
        for name in self._wanted:
            setup = VenueSetup(
                name=name,
                host=self.config.host,
                port=self.config.venues[name],
                seed=self.config.seed,
                symbols=self.config.symbols,
                rate=partial(self.rates.__getitem__, name),
                truth=self.truth,
                violations=self.violations,
                faults=self.faults,
                terms=self.terms,
                further_ports=self.config.venues,
                options=self.config.venue_options.get(name, {}),
            )
            venue = self.hosted[name] = VENUES[name](setup)
            await venue.start()
            self.ports |= venue.ports

    async def _listen(self, name: str, app: web.Application, port: int) -> None:
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, max_line_size=URL_BYTES_MAX
        )
        await runner.setup()
        site = web.TCPSite(runner, self.config.host, port, backlog=1024)
        await site.start()
        self._runners.append(runner)
        self.ports[name] = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop emitting, cut all connections and close the ports."""
        for name in self.markets:
            await self.stop_load(name)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        for market in self.markets.values():
            for connection in list(market.connections.values()):
                connection.flush()
                connection.transport.close()
        for venue in self.hosted.values():
            await venue.stop()
        self.hosted.clear()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        logger.info(LogEvent.SIMULATOR_STOPPED)

    async def _keep(self, endpoint: StreamEndpoint) -> None:
        while True:
            await asyncio.sleep(KEEP_EVERY_SECONDS)
            await endpoint.keep()

    async def inject(self, fault: Fault) -> ActiveFault:
        """Put a fault in force; those that happen once have happened on return."""
        active = self.faults.add(fault, asyncio.get_running_loop().time())
        logger.info(LogEvent.FAULT_INJECTED, extra={"fault": active.describe()})
        match fault.kind:
            case FaultKind.DROP | FaultKind.ROTATE | FaultKind.BAN:
                await self._end_connections(active)
            case FaultKind.HALT | FaultKind.RESUME:
                for market in self._markets_of(fault):
                    market.halted = fault.kind is FaultKind.HALT
            case FaultKind.LIST | FaultKind.DELIST:
                for market in self._markets_of(fault):
                    _change_listing(market, fault)
            case _:
                pass
        for name, venue in self.hosted.items():
            if fault.market in (None, name):
                await venue.inject(active)
        return active

    async def start_load(self, spec: LoadSpec) -> LoadRun:
        """Hand a market to a load run; its generator is silent from then on."""
        await self.stop_load(spec.market)
        market = self.markets[spec.market]
        before = market.source.before if isinstance(market.source, LoadSource) else market.source
        listed = build_instruments(spec.market, spec.symbols or self.config.symbols)
        ids = (e.last or 0 for key, e in self.truth.emitted.items() if key[0] is spec.market)
        lap = first_lap(max([self.config.id_base, *ids]))
        run = LoadRun(market, spec, listed, lap, self.config.seed)
        self.loads[spec.market] = run
        market.source = LoadSource(run, before)
        self.truth.before_read = [load.account for load in self.loads.values()]
        self._load_tasks[spec.market] = _spawn(run.drive(self.config.tick_seconds))
        logger.info(LogEvent.LOAD_STARTED, extra={"load": run.describe()})
        return run

    async def loads_ended(self) -> None:
        """Wait until no load run is under way."""
        await asyncio.gather(*self._load_tasks.values())

    async def stop_load(self, name: Market) -> None:
        """End a market's load run, if one is under way."""
        task = self._load_tasks.pop(name, None)
        if task is None:
            return
        if not task.done():
            task.cancel()
            self.loads[name].end("stopped")
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def clear(self, number: int | None = None) -> int:
        """End one standing fault or all of them."""
        logger.info(LogEvent.FAULT_CLEARED, extra={"fault": number})
        return self.faults.clear(number)

    def mark(self, name: str) -> None:
        """Remember where every channel stands, under a name."""
        self.truth.mark(name)

    def connections(self) -> list[dict[str, Any]]:
        """Describe every open connection."""
        builtin = [
            connection.describe()
            for market in self.markets.values()
            for connection in market.connections.values()
        ]
        hosted = [dict(row) for venue in self.hosted.values() for row in venue.connections()]
        return builtin + hosted

    def _markets_of(self, fault: Fault) -> list[LiveMarket]:
        return [m for name, m in self.markets.items() if fault.market in (None, name)]

    def _chosen_connections(self, active: ActiveFault) -> list[Connection]:
        chosen = [
            connection
            for market in self.markets.values()
            for connection in market.connections.values()
            if active.matches(connection)
        ]
        count = active.fault.count
        if active.fault.kind in ONCE and count is not None and count < len(chosen):
            chosen = self._rng.sample(chosen, count)
        return chosen

    async def _end_connections(self, active: ActiveFault) -> None:
        fault = active.fault
        for connection in self._chosen_connections(active):
            active.applied += 1
            endpoint = self._endpoints[connection.market_name]
            if fault.kind is FaultKind.ROTATE:
                endpoint.rotate(connection, fault.notice_seconds)
            elif fault.close_frame:
                await endpoint.close(connection, WSCloseCode.GOING_AWAY, "dropped by order")
            else:
                endpoint.abort(connection, "dropped by order")


def _change_listing(market: LiveMarket, fault: Fault) -> None:
    if fault.symbol is None:
        return
    if fault.removed:
        market.source.remove(fault.symbol, now_ms())
    else:
        trading = fault.kind is FaultKind.LIST
        market.source.set_status(fault.symbol, now_ms(), trading=trading)


# A task that dies must be heard of: the simulator would go on serving a silent market.
def _spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    def report(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical(LogEvent.TASK_FAILED, exc_info=error)

    task = asyncio.create_task(coroutine)
    task.add_done_callback(report)
    return task
