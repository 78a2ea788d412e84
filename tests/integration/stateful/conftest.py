"""A whole feeder in this process for venues that tell states: polled, pushed, over a socket."""

import asyncio
import json
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from feedplane_api.worker import (
    Endpoints,
    FeederStatus,
    FileSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.election import SoloElection
from feedplane_feeder.live import Live, Outside
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.transport import Engine, build_transport
from feedplane_feeder.writer import build_writers
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.faults import Fault
from feedplane_simulator.simulator import Simulator


@dataclass(slots=True)
class Rig:
    """The feeder under test, its venue, and the folder its rows go to."""

    live: Live
    simulator: Simulator
    config: WorkerConfig
    folder: Path
    metrics: Metrics
    stop: asyncio.Event

    def status(self) -> FeederStatus:
        return self.live.status()

    def all_live(self) -> bool:
        coverage = self.status().coverage
        return coverage.wanted == coverage.live > 0

    def rows(self, kind: str) -> list[dict[str, Any]]:
        lines = [
            line
            for path in sorted(self.folder.rglob("*.jsonl"))
            if path.name.startswith(kind)
            for line in path.read_text().splitlines()
        ]
        return [json.loads(line) for line in lines]

    def emitted(self, channel: str, symbol: str) -> list[dict[str, Any]]:
        events = self.simulator.truth.events((self.config.venue, channel, symbol))
        return [json.loads(payload) for _, _, payload in events]

    def metric(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(name, {"venue": self.config.venue})
        return found or 0.0

    async def until(self, happened: Callable[[], bool], seconds: float = 15.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not happened():  # noqa: ASYNC110 - other tasks' state, no event to wait on
                    await asyncio.sleep(0.02)
        except TimeoutError:
            status = self.status().model_dump_json(exclude_defaults=True)
            raise AssertionError(f"not within {seconds} s: {status}") from None

    async def inject(self, **fault: Any) -> None:
        await self.simulator.inject(Fault(market=self.config.venue, **fault))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Start a simulator and a feeder on it."""

    @asynccontextmanager
    async def started(
        venue: str,
        wanted: Sequence[Wanted],
        *,
        scheme: str = "http",
        **simulated: Any,
    ) -> AsyncIterator[Rig]:
        settings: dict[str, Any] = {"markets": (), "venues": {venue: 0}, "rate": 50, "symbols": 4}
        async with Simulator(SimulatorConfig(**settings | simulated)) as simulator:
            address = f"127.0.0.1:{simulator.ports[venue]}"
            config = WorkerConfig(
                venue=venue,
                endpoints=Endpoints(stream=f"{scheme}://{address}", rest=f"http://{address}"),
                wanted=tuple(wanted),
                session=SessionConfig(stale_after_seconds=12),
                sinks=(FileSinkConfig(path=str(tmp_path)),),
            )
            rig = build_rig(config, simulator, tmp_path)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(rig.live.run(rig.stop))
                try:
                    yield rig
                finally:
                    rig.stop.set()
                await task

    return started


def build_rig(config: WorkerConfig, simulator: Simulator, folder: Path) -> Rig:
    """Put a feeder together as the program does."""
    clock = SystemClock()
    adapter = find_adapter(config.venue)
    metrics = Metrics(CollectorRegistry())
    outside = Outside(
        transport=adapter.transport(clock, lambda: build_transport(Engine.PICOWS, clock)),
        election=SoloElection("line-a", clock=clock),
        clock=clock,
        rng=random.Random(1),  # noqa: S311 - the same delays each time
        metrics=metrics,
        version="1.2.3",
    )
    writers = build_writers(config, clock=clock, metrics=metrics)
    live = Live(config, adapter, writers, outside)
    return Rig(live, simulator, config, folder, metrics, asyncio.Event())
