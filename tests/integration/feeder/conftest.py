"""A whole feeder in this process, against the simulator over real sockets, into lists."""

import asyncio
import json
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support_sinks import ListWriter

from feedplane_api.worker import (
    ChannelProblem,
    Endpoints,
    FileSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.election import SoloElection
from feedplane_feeder.live import Live, Outside
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import BookDelta
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.transport import Engine, build_transport
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.faults import Fault
from feedplane_simulator.simulator import Simulator

MARKETS = {"binance-spot": Market.SPOT, "binance-usdm": Market.USDM}


@dataclass(slots=True)
class Rig:
    """The feeder under test and its venue."""

    live: Live
    writer: ListWriter
    simulator: Simulator
    config: WorkerConfig
    stop: asyncio.Event

    @property
    def market(self) -> Market:
        return MARKETS[self.config.venue]

    def problems(self) -> list[ChannelProblem]:
        return list(self.live.status().problems)

    def all_live(self) -> bool:
        coverage = self.live.status().coverage
        return coverage.wanted == coverage.live > 0

    def book_in_step(self, symbol: str) -> bool:
        wanted = f"{symbol}."
        return any(
            isinstance(record, BookDelta) and record.snapshot
            for record in self.writer.records
            if record.instrument_id.startswith(wanted)
        )

    def emitted(self, channel: str, symbol: str) -> dict[int, Any]:
        events = self.simulator.truth.events((self.market, channel, symbol))
        return {sequence: json.loads(payload) for sequence, _, payload in events}

    def violations(self) -> list[dict[str, Any]]:
        return self.simulator.violations.list_all()

    async def until(self, happened: Callable[[], bool], seconds: float = 12.0) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(seconds):
                while not happened():  # noqa: ASYNC110 - other tasks' state, no event to wait on
                    await asyncio.sleep(0.02)
        except TimeoutError:
            status = self.live.status().model_dump_json(exclude_defaults=True)
            raise AssertionError(f"not within {seconds} s: {status}") from None
        return loop.time() - started

    async def inject(self, **fault: Any) -> None:
        await self.simulator.inject(Fault(market=self.market, **fault))


Run = Callable[..., Any]


@pytest.fixture(params=list(Engine))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Both WebSocket engines, one after the other."""
    return Engine(request.param)


@pytest.fixture
def run(engine: Engine) -> Run:
    """Start a simulator and a feeder on it."""

    @asynccontextmanager
    async def started(
        venue: str,
        *,
        wanted: Sequence[Wanted],
        session: SessionConfig | None = None,
        before: Callable[[Simulator], Awaitable[object]] | None = None,
        settings: dict[str, Any] | None = None,
        **simulated: Any,
    ) -> AsyncIterator[Rig]:
        async with Simulator(SimulatorConfig(**simulated)) as simulator:
            url = simulator.spot_url if venue == "binance-spot" else simulator.usdm_url
            config = WorkerConfig(
                venue=venue,
                endpoints=Endpoints(stream=url, rest=url.replace("ws://", "http://")),
                wanted=tuple(wanted),
                session=session or SessionConfig(stale_after_seconds=2),
                sinks=(FileSinkConfig(path="-"),),
                **(settings or {}),
            )
            if before is not None:
                await before(simulator)
            rig = build_rig(config, engine, simulator)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(rig.live.run(rig.stop))
                try:
                    yield rig
                finally:
                    rig.stop.set()
                await task

    return started


def build_rig(config: WorkerConfig, engine: Engine, simulator: Simulator) -> Rig:
    """Put a feeder together as the program does, but for its writer."""
    clock = SystemClock()
    writer = ListWriter()
    outside = Outside(
        transport=build_transport(engine, clock),
        election=SoloElection("line-a", clock=clock),
        clock=clock,
        rng=random.Random(1),  # noqa: S311 - the same delays each time
        metrics=Metrics(CollectorRegistry()),
        version="1.2.3",
    )
    live = Live(config, find_adapter(config.venue), [writer], outside)
    return Rig(live, writer, simulator, config, asyncio.Event())
