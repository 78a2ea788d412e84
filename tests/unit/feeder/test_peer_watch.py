"""When a line is compared with what other accounts wrote, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from support_sinks import LoopClock, MemorySink

from feedplane_api.worker import (
    BufferConfig,
    ElectionConfig,
    FailoverMode,
    FileSinkConfig,
    PostgresSinkConfig,
    WorkerConfig,
)
from feedplane_feeder.core.peer_volumes import Slice
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.peer_watch import EVERY_SECONDS, PeerWatch, build_peer_watches
from feedplane_feeder.records import Snapshot
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.writer import SinkWriter, build_writers

pytestmark = pytest.mark.looptime

RB = "rb2605.CTP"
SECOND = 1_000_000_000
ONE_TURN = EVERY_SECONDS + 0.1


class Tape:
    """A tape that says what the test gave it, and notes who asks."""

    name = "tape"

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], int] = {}
        self.asked: list[list[int]] = []
        self.opened = self.closed = 0
        self.away = False

    async def open(self) -> None:
        """Connect."""
        self.opened += 1

    async def count_volumes(self, slices: Sequence[Slice]) -> Mapping[tuple[str, int], int]:
        """Return what was given."""
        if self.away:
            raise SinkUnavailableError(self.name, "away")
        self.asked.append([each.number for each in slices])
        return self.held

    async def close(self) -> None:
        """Release the connection."""
        self.closed += 1


class Watched:
    """A writer, a tape, and a watch on both."""

    def __init__(self) -> None:
        self.tape, self.registry = Tape(), CollectorRegistry()
        metrics = Metrics(self.registry)
        self.writer = SinkWriter(
            MemorySink(), BufferConfig(), clock=LoopClock(), metrics=metrics, venue="ctp"
        )
        self.writer.settlement.spans = lambda *_: [(0, 1_000 * SECOND)]
        self.watch = PeerWatch(self.tape, self.writer, LoopClock(), metrics, get_log("test"))

    def offer(self, *snapshots: tuple[int, int]) -> None:
        """Give the writer snapshots by second and volume."""
        records = [
            Snapshot(RB, second * SECOND, second * SECOND, "2026-01-05", volume, volume)
            for second, volume in snapshots
        ]
        self.writer.offer(Batch(records=records))

    @property
    def missed(self) -> tuple[int, float | None]:
        """What status and metric say."""
        labels = {"venue": "ctp", "sink": "tape"}
        name = "feedplane_feeder_missed_snapshots_total"
        return self.writer.report().missed_snapshots, self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    """Run a watch until the block ends."""
    watched = Watched()
    task = asyncio.create_task(watched.watch.run())
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_missed_snapshots_are_counted_one_turn_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching() as watched:
        watched.offer((1, 5), (2, 6), (11, 7))
        watched.tape.held = {(RB, 0): 4}
        await asyncio.sleep(ONE_TURN)
        assert (watched.tape.opened, watched.missed) == (0, (0, 0.0))
        await asyncio.sleep(ONE_TURN)
        assert watched.missed == (2, 2.0)
        await asyncio.sleep(5 * EVERY_SECONDS)
        assert watched.tape.asked == [[0]]
        assert watched.missed == (2, 2.0)
    assert watched.tape.closed == 1
    assert [record.message for record in caplog.records] == [Event.SNAPSHOTS_MISSED]


async def test_line_that_had_everything_is_not_told_off(caplog: pytest.LogCaptureFixture) -> None:
    async with watching() as watched:
        watched.offer((1, 5), (2, 6), (11, 7))
        watched.tape.held = {(RB, 0): 2}
        await asyncio.sleep(2 * ONE_TURN)
        assert watched.tape.asked == [[0]]
        assert watched.missed == (0, 0.0)
    assert caplog.records == []


async def test_tape_that_is_away_is_asked_for_later_slices() -> None:
    async with watching() as watched:
        watched.offer((1, 5), (11, 7))
        watched.tape.held = {(RB, 0): 9, (RB, 1): 3}
        watched.tape.away = True
        await asyncio.sleep(2 * ONE_TURN)
        assert (watched.tape.opened, watched.tape.closed) == (1, 1)
        watched.tape.away = False
        watched.offer((21, 8))
        await asyncio.sleep(2 * ONE_TURN)
        assert (watched.tape.opened, watched.tape.asked) == (2, [[1]])
        assert watched.missed == (2, 2.0)


async def test_writer_nobody_vouches_for_is_not_compared() -> None:
    async with watching() as watched:
        watched.writer.settlement.spans = None
        watched.offer((1, 5), (11, 7))
        await asyncio.sleep(3 * ONE_TURN)
        assert watched.tape.opened == 0


@pytest.mark.parametrize(
    ("venue", "mode", "watches"),
    [
        ("ctp", FailoverMode.MERGED, 1),
        ("ctp", FailoverMode.HOT, 0),
        ("ctp", None, 0),
        ("fushu", FailoverMode.MERGED, 0),
    ],
    ids=["merged", "one line at a time", "alone", "polled"],
)
async def test_watches_are_those_of_databases_that_lines_share(
    venue: str, mode: FailoverMode | None, watches: int
) -> None:
    election = ElectionConfig(namespace="a", lease_name="b", mode=mode) if mode else None
    sinks = (FileSinkConfig(path="-"), PostgresSinkConfig(dsn_env="DSN"))
    config = WorkerConfig(venue=venue, sinks=sinks, election=election)
    metrics, clock = Metrics(CollectorRegistry()), LoopClock()
    writers = build_writers(config, clock=clock, metrics=metrics)
    capabilities = find_adapter(venue).capabilities
    built = build_peer_watches(config, capabilities, writers, clock, metrics, get_log("test"))
    assert len(built) == watches
    assert [writer.volumes is not None for writer in writers] == [False, watches == 1]
