"""A venue simulated, and whole feeders on it in this process, each into lists."""

import asyncio
import random  # noqa: TID251 - seeded
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from support_sinks import ListWriter

from conformance.fixture import VenueUnderTest
from conformance.truth import Emitted, channel_of, emitted, stream_name
from feedplane_api.worker import (
    AccountIdentity,
    ChannelProblem,
    FileSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.election import SoloElection
from feedplane_feeder.live import Live, Outside
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import Gap, Record
from feedplane_feeder.transport import Engine, build_transport
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.faults import Fault, FaultKind
from feedplane_simulator.simulator import Simulator

KEY = "right-key"
CALM_SECONDS = 30
"""A busy machine is slow, which is no silence of a venue."""
PATIENCE_SECONDS = 45.0


@dataclass(slots=True)
class Feeder:
    """One feeder under test."""

    live: Live
    writer: ListWriter
    config: WorkerConfig
    stop: asyncio.Event

    @property
    def reconnects(self) -> int:
        status = self.live.status()
        return status.reconnects + status.rotations

    def problems(self) -> list[ChannelProblem]:
        return list(self.live.status().problems)

    def all_live(self) -> bool:
        coverage = self.live.status().coverage
        return coverage.wanted == coverage.live > 0

    def records(self, channel: str, symbol: str) -> list[Record]:
        """Return the records of one channel, full states of books left out."""
        return [
            record
            for record in self.writer.records
            if record.instrument_id.rpartition(".")[0] == symbol
            and channel_of(record) == channel
            and not getattr(record, "snapshot", False)
        ]

    def gaps(self, channel: str, symbol: str) -> list[Gap]:
        return [
            gap
            for gap in self.writer.gaps
            if gap.channel == channel and gap.instrument_id.rpartition(".")[0] == symbol
        ]

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for a condition."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not happened():  # noqa: ASYNC110 - other tasks' state, no event to wait on
                    await asyncio.sleep(0.03)
        except TimeoutError:
            status = self.live.status().model_dump_json(exclude_defaults=True)
            raise AssertionError(f"not within {PATIENCE_SECONDS} s: {status}") from None

    async def more(self, count: int, channel: str, symbol: str) -> None:
        """Wait until so many more records of a channel came."""
        before = len(self.records(channel, symbol))
        await self.until(lambda: len(self.records(channel, symbol)) >= before + count)


@dataclass(slots=True)
class Stage:
    """A simulated venue."""

    venue: VenueUnderTest
    simulator: Simulator

    @property
    def first(self) -> tuple[str, str]:
        """Channel and symbol that a card looks at most closely."""
        return self.venue.channels[0], self.venue.symbols[0]

    @property
    def trade(self) -> tuple[str, str]:
        return "trade", self.venue.symbols[0]

    def emitted(self, channel: str, symbol: str) -> list[Emitted]:
        return emitted(self.simulator, self.venue.market, channel, symbol)

    def stream(self, channel: str, symbol: str) -> str:
        return stream_name(self.venue.market, channel, symbol)

    def connections(self) -> set[int]:
        """Return the numbers of the connections that the venue sees."""
        return {int(each["id"]) for each in self.simulator.connections()}

    def violations(self) -> list[dict[str, Any]]:
        return self.simulator.violations.list_all()

    async def inject(self, kind: FaultKind, **fields: Any) -> None:
        await self.simulator.inject(Fault(kind=kind, market=self.venue.market, **fields))

    async def quiet(self) -> None:
        """Let nothing more happen, and what is under way arrive."""
        self.simulator.rates[self.venue.market] = 0.0
        await asyncio.sleep(0.3)

    @asynccontextmanager
    async def feeder(
        self,
        *,
        key: str = KEY,
        account: str = "line-a",
        channels: Sequence[str] = (),
        symbols: Sequence[str] = (),
        alert: bool = False,
        **settings: Any,
    ) -> AsyncIterator[Feeder]:
        """Run a feeder until the block ends; an alert one soon takes silence for a fault."""
        stale_after = self.venue.quiet_seconds if alert else CALM_SECONDS
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedplane-")))
            for name in self.venue.adapter.capabilities.credential_headers:
                (folder / name).write_text(key)
            wanted = [
                Wanted(symbol=symbol, channels=tuple(channels or self.venue.channels))
                for symbol in symbols or self.venue.symbols
            ]
            config = WorkerConfig(
                venue=self.venue.name,
                account=AccountIdentity(name=account),
                endpoints=self.venue.endpoints(self.simulator.ports),
                credentials_path=str(folder) if self.venue.logs_in else None,
                wanted=tuple(wanted),
                session=SessionConfig(stale_after_seconds=stale_after),
                sinks=(FileSinkConfig(path="-"),),
                **settings,
            )
            feeder = _build(self.venue, config)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(feeder.live.run(feeder.stop))
                try:
                    yield feeder
                finally:
                    feeder.stop.set()
                await task


@asynccontextmanager
async def staged(venue: VenueUnderTest, **changes: Any) -> AsyncIterator[Stage]:
    """Simulate a venue until the block ends."""
    async with Simulator(SimulatorConfig(**{**venue.simulated, **changes})) as simulator:
        yield Stage(venue, simulator)


def _build(venue: VenueUnderTest, config: WorkerConfig) -> Feeder:
    clock, writer = SystemClock(), ListWriter()
    transport = venue.adapter.transport(clock, lambda: build_transport(Engine.PICOWS, clock))
    outside = Outside(
        transport=transport,
        election=SoloElection(config.account.name, clock=clock),
        clock=clock,
        rng=random.Random(1),  # noqa: S311 - the same delays each time
        metrics=Metrics(CollectorRegistry()),
        version="1.2.3",
    )
    live = Live(config, venue.adapter, [writer], outside)
    return Feeder(live, writer, config, asyncio.Event())
