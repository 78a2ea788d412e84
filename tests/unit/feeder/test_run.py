import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from feedplane_api.worker import (
    CandidateReport,
    Coverage,
    FeederStatus,
    FeedSourceIdentity,
    FileSinkConfig,
    HealthReport,
    Limits,
    SessionState,
    WorkerConfig,
)
from feedplane_feeder.election import LeaseElection
from feedplane_feeder.errors import SinkRefusedError
from feedplane_feeder.events import Event
from feedplane_feeder.live import Live
from feedplane_feeder.log import get_log
from feedplane_feeder.loop_lag import LoopLag
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.run import RELEASE_SECONDS, STOP_SECONDS, Process, RunOptions, build_registry
from feedplane_feeder.seat import OpenSeat
from feedplane_feeder.server import Server

pytestmark = pytest.mark.looptime

CONFIG = WorkerConfig(venue="some-venue", sinks=(FileSinkConfig(path="-"),))
NOON = "2026-11-21T12:00:00Z"


class FakeLive:
    """A pipeline that ends a while after it is told to, or fails."""

    def __init__(self, story: list[str], ends_after: float = 1.0) -> None:
        self.story = story
        self.ends_after = ends_after
        self.error: Exception | None = None
        self.configs: list[WorkerConfig] = []

    async def run(self, stop: asyncio.Event) -> None:
        try:
            if self.error is not None:
                await asyncio.sleep(5)
                raise self.error
            await stop.wait()
            await asyncio.sleep(self.ends_after)
            self.story.append("drained")
        except asyncio.CancelledError:
            self.story.append("cut off")
            raise

    def reconfigure(self, config: WorkerConfig) -> None:
        self.configs.append(config)

    def status(self) -> FeederStatus:
        return FeederStatus.model_validate(
            {
                "feed_source": FeedSourceIdentity(),
                "venue": "some-venue",
                "account": "main",
                "shard": 0,
                "start_time": NOON,
                "time": NOON,
                "session": SessionState.STREAMING,
                "health": HealthReport(healthy=True, reason="Healthy"),
                "coverage": Coverage(wanted=2, live=2),
            }
        )


class FakeElection:
    """An election that notes when it is let go, and may hang there."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.hangs = False
        self.peer_healthy = False
        self.released = False

    def peers(self) -> tuple[CandidateReport, ...]:
        return (CandidateReport(account="spare", healthy=self.peer_healthy, fresh=True),)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if not self.released:
            self.released = True
            self.story.append("released")


class FakeServer:
    """A server that notes its end."""

    port = 8000

    def __init__(self, story: list[str]) -> None:
        self.story = story

    async def start(self) -> None:
        self.story.append("listening")

    async def stop(self) -> None:
        self.story.append("closed")


class FakeKeeper:
    """Work beside the tape that notes its end."""

    def __init__(self, story: list[str]) -> None:
        self.story = story

    async def run(self) -> None:
        self.story.append("keeps house")
        try:
            await asyncio.Event().wait()
        finally:
            self.story.append("left")


class Bench:
    """A process of fakes, and what happened to it in order."""

    def __init__(self, configs: Sequence[WorkerConfig] = ()) -> None:
        self.story: list[str] = []
        self.live = FakeLive(self.story)
        self.election = FakeElection(self.story)
        self.printed: list[str] = []
        self.process = Process(
            config=CONFIG,
            options=RunOptions(config_path=Path("worker.yaml"), print_line=self.printed.append),
            live=cast("Live", self.live),
            election=cast("LeaseElection", self.election),
            seat=OpenSeat(),
            server=cast("Server", FakeServer(self.story)),
            loop_lag=LoopLag(Metrics(CollectorRegistry()).event_loop_lag_seconds.labels("v")),
            changes=self._changes(configs),
            api=None,
            log=get_log("run"),
        )

    async def run(self, seconds: float = 10) -> None:
        asyncio.get_running_loop().call_later(seconds, self.process.stop.set)
        await self.process.run()

    @staticmethod
    async def _changes(configs: Sequence[WorkerConfig]) -> AsyncIterator[WorkerConfig]:
        for config in configs:
            await asyncio.sleep(1)
            yield config
        await asyncio.Event().wait()


async def test_process_told_to_stop_drains_before_it_lets_go() -> None:
    bench = Bench()
    await bench.run()
    assert bench.story == ["listening", "drained", "released", "closed"]


async def test_process_ends_what_works_beside_the_tape() -> None:
    bench = Bench()
    bench.process.beside = (FakeKeeper(bench.story),)
    await bench.run()
    assert bench.story == ["listening", "keeps house", "drained", "left", "released", "closed"]


async def test_process_with_a_healthy_peer_hands_over_before_it_drains() -> None:
    bench = Bench()
    bench.election.peer_healthy = True
    await bench.run()
    assert bench.story == ["listening", "released", "drained", "closed"]


async def test_process_whose_handover_hangs_ends_all_the_same() -> None:
    bench = Bench()
    bench.election.peer_healthy = bench.election.hangs = True
    await bench.run(seconds=10)
    assert bench.story == ["listening", "drained", "closed"]
    assert asyncio.get_running_loop().time() < 10 + STOP_SECONDS + RELEASE_SECONDS


async def test_process_that_cannot_drain_is_cut_off_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.live.ends_after = 3_600
    bench.election.hangs = True
    await bench.run(seconds=10)
    assert asyncio.get_running_loop().time() == pytest.approx(
        10 + STOP_SECONDS + RELEASE_SECONDS, abs=0.5
    )
    assert bench.story == ["listening", "cut off", "closed"]
    assert Event.FEEDER_FAILED in [record.getMessage() for record in caplog.records]


async def test_process_whose_pipeline_fails_ends_with_its_error() -> None:
    bench = Bench()
    bench.live.error = SinkRefusedError("main", "too old")
    with pytest.raises(ExceptionGroup) as failed:
        await bench.run(seconds=100)
    assert failed.group_contains(SinkRefusedError)
    assert bench.story == ["listening", "released", "closed"]


async def test_process_given_a_new_config_takes_over_what_it_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    live = CONFIG.model_copy(update={"limits": Limits(streams_per_connection=5)})
    both = live.model_copy(update={"venue": "another-venue", "limits": Limits()})
    bench = Bench([live, both])
    await bench.run()
    assert [config.limits for config in bench.live.configs] == [live.limits, both.limits]
    assert {config.venue for config in bench.live.configs} == {"some-venue"}
    deferred = [one for one in caplog.records if one.getMessage() == Event.CONFIG_DEFERRED]
    assert [one.__dict__["fields"]["fields"] for one in deferred] == [("venue",)]


async def test_process_with_a_person_watching_prints_a_line_every_five_seconds() -> None:
    bench = Bench()
    await bench.run(seconds=16)
    assert len(bench.printed) == 3
    assert all("live 2/2" in line for line in bench.printed)


def test_registry_shows_the_process_itself() -> None:
    names = {family.name for family in build_registry().collect()}
    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= names
