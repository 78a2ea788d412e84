"""The writer: batches, retries, order, back-pressure and restart gaps, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support_sinks import INSTRUMENT, START_NS, LoopClock, MemorySink, make_trade

from feedplane_api.worker import BufferConfig, FileSinkConfig, PostgresSinkConfig, WorkerConfig
from feedplane_feeder.core.ports import Batch, PublisherSession, Takeover, Watermark
from feedplane_feeder.errors import SinkRefusedError
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import Gap
from feedplane_feeder.writer import Pace, SinkWriter, build_writers

pytestmark = pytest.mark.looptime


def make_writer(
    sink: MemorySink, folder: Path | None = None, *, queue: int = 100, rows: int = 50
) -> SinkWriter:
    return SinkWriter(
        sink,
        BufferConfig(queue_records=queue, spill_path=str(folder) if folder else None),
        clock=LoopClock(),
        metrics=Metrics(CollectorRegistry()),
        venue="binance-spot",
        pace=Pace(rows=rows, milliseconds=100),
    )


@asynccontextmanager
async def running(writer: SinkWriter) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0.001)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def trades(start: int, count: int) -> Batch:
    return Batch(records=[make_trade(number) for number in range(start, start + count)])


async def test_writer_waits_for_its_batch_time() -> None:
    sink = MemorySink()
    writer = make_writer(sink)
    async with running(writer):
        writer.offer(trades(0, 3))
        await asyncio.sleep(0.09)
        assert sink.records == []
        await asyncio.sleep(0.02)
        assert sink.trade_ids == [0, 1, 2]


async def test_writer_with_enough_rows_writes_at_once() -> None:
    sink = MemorySink()
    writer = make_writer(sink, rows=3)
    async with running(writer):
        writer.offer(trades(0, 2))
        writer.offer(trades(2, 1))
        await asyncio.sleep(0.001)
        assert sink.trade_ids == [0, 1, 2]


async def test_writer_leaves_nothing_behind_that_could_not_go_along() -> None:
    sink = MemorySink()
    writer = make_writer(sink)
    ended = PublisherSession(epoch=1, reason="Failback", started_at=1, ended_at=2)
    async with running(writer):
        writer.offer(replace(trades(0, 3), epoch=1))
        writer.offer(Batch(publishers=(ended,)))
        await asyncio.sleep(0.5)
        assert [batch.publishers for batch in sink.batches[-1:]] == [(ended,)]


async def test_promotion_on_a_full_queue_loses_nothing_of_what_was_remembered() -> None:
    sink = MemorySink()
    writer = make_writer(sink, queue=100)
    sink.seconds_per_write = 1.0
    remembered = replace(
        trades(0, 1_000),
        epoch=2,
        replayed=True,
        takeover=Takeover(at_ns=START_NS, cause="promotion"),
    )
    async with running(writer):
        writer.offer(Batch(publishers=(PublisherSession(epoch=1, reason="r", started_at=1),)))
        writer.offer(remembered)
        writer.offer(replace(trades(1_000, 50), epoch=2))
        assert not writer.full
        await asyncio.sleep(20)
        assert sink.trade_ids == list(range(1_050))
        assert sink.gaps == []


async def test_writer_survives_outage_in_order(tmp_path: Path) -> None:
    sink = MemorySink()
    writer = make_writer(sink, tmp_path)
    async with running(writer):
        for start in range(0, 2_000, 10):
            if start == 300:
                sink.away = True
            if start == 1_500:
                assert writer.report().spilled_bytes > 0
                assert writer.report().queued_records <= 100
                assert not writer.report().connected
                sink.away = False
            writer.offer(trades(start, 10))
            await asyncio.sleep(0.02)
        assert await writer.drain(30)
    assert sink.trade_ids == list(range(2_000))
    assert sink.gaps == []
    report = writer.report()
    assert report.records_written == 2_000
    assert report.spilled_bytes == 0
    assert report.lost_records == 0


async def test_writer_counts_own_second_copy_after_lost_answer() -> None:
    sink = MemorySink()
    writer = make_writer(sink)
    async with running(writer):
        sink.forgets_answer = True
        writer.offer(trades(0, 10))
        assert await writer.drain(10)
    assert sink.trade_ids == list(range(10))
    assert writer.report().records_duplicate == 10
    assert sink.batches[-1].replayed


async def test_writer_slow_sink_pauses_reader_then_spills(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.seconds_per_write = 7.0
    writer = make_writer(sink, tmp_path)
    async with running(writer):
        writer.offer(trades(0, 50))
        await asyncio.sleep(0.01)
        writer.offer(trades(50, 100))
        assert writer.full
        before = asyncio.get_running_loop().time()
        await writer.room()
        assert asyncio.get_running_loop().time() - before == pytest.approx(2.0)
        writer.offer(trades(150, 50))
        assert writer.report().spilled_bytes > 0
        assert not writer.full
        assert await writer.drain(60)
    assert sink.trade_ids == list(range(200))


async def test_writer_room_returns_when_the_queue_moves() -> None:
    sink = MemorySink()
    sink.seconds_per_write = 1.0
    writer = make_writer(sink)
    async with running(writer):
        writer.offer(trades(0, 50))
        await asyncio.sleep(0.01)
        writer.offer(trades(50, 100))
        before = asyncio.get_running_loop().time()
        await writer.room()
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.99)
        await writer.room()
        assert await writer.drain(10)


async def test_writer_without_spill_names_exactly_what_it_lost() -> None:
    sink = MemorySink()
    writer = make_writer(sink)
    told: list[Gap] = []
    writer.on_gap = told.append
    async with running(writer):
        writer.offer(trades(0, 50))
        await asyncio.sleep(0.2)
        sink.away = True
        for start in range(50, 500, 50):
            writer.offer(trades(start, 50))
            await asyncio.sleep(0.2)
        sink.away = False
        assert await writer.drain(30)
    lost = set(range(500)) - set(sink.trade_ids)
    (gap,) = sink.gaps
    assert gap.from_id is not None
    assert gap.to_id is not None
    assert set(range(gap.from_id, gap.to_id + 1)) == lost
    assert told == [gap]
    assert writer.report().lost_records == len(lost) > 0


async def test_writer_names_restart_gap_once() -> None:
    sink = MemorySink()
    sink.held = {(INSTRUMENT, "trade"): Watermark(sequence=4, ts_event=START_NS)}
    writer = make_writer(sink)
    async with running(writer):
        writer.offer(trades(10, 5))
        await asyncio.sleep(0.2)
        writer.offer(trades(20, 5))
        assert await writer.drain(10)
    assert [(gap.from_id, gap.to_id, gap.cause) for gap in sink.gaps] == [(5, 9, "restart")]


async def test_writer_replays_left_over_spill_before_judging(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.away = True
    killed = make_writer(sink, tmp_path)
    async with running(killed):
        killed.offer(trades(0, 80))
        killed.offer(trades(80, 80))
        assert killed.report().spilled_bytes > 0
    # Only the disk survives: 0..79 were in memory, 80..159 in the spill.
    sink.away = False
    sink.held = {(INSTRUMENT, "trade"): Watermark(sequence=-1, ts_event=START_NS)}
    writer = make_writer(sink, tmp_path)
    async with running(writer):
        writer.offer(trades(200, 10))
        assert await writer.drain(10)
    assert sink.trade_ids == [*range(80, 160), *range(200, 210)]
    assert [(gap.from_id, gap.to_id) for gap in sink.gaps] == [(0, 79), (160, 199)]


async def test_writer_drain_without_sink_keeps_memory_on_disk(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.away = True
    writer = make_writer(sink, tmp_path)
    async with running(writer):
        for start in range(0, 300, 50):
            writer.offer(trades(start, 50))
        assert not await writer.drain(5)
    sink.away = False
    successor = make_writer(sink, tmp_path)
    async with running(successor):
        assert await successor.drain(10)
    assert sink.trade_ids == list(range(300))
    assert sink.gaps == []


async def test_writer_refused_sink_ends_the_run() -> None:
    class Refusing(MemorySink):
        async def open(self) -> None:
            raise SinkRefusedError(self.name, "too old")

    with pytest.raises(SinkRefusedError):
        await make_writer(Refusing()).run()


async def test_writer_tries_again_ever_more_slowly() -> None:
    class Counting(MemorySink):
        tries = 0

        async def open(self) -> None:
            self.tries += 1
            await super().open()

    sink = Counting()
    sink.away = True
    async with running(make_writer(sink)):
        await asyncio.sleep(60)
    assert 10 < sink.tries < 25


async def test_build_writers_makes_one_per_sink(tmp_path: Path) -> None:
    config = WorkerConfig(
        venue="binance-spot",
        sinks=(
            FileSinkConfig(path=str(tmp_path)),
            PostgresSinkConfig(dsn_env="DSN", batch_rows=7),
        ),
    )
    writers = build_writers(config, clock=LoopClock(), metrics=Metrics(CollectorRegistry()))
    assert [writer.report().kind for writer in writers] == ["file", "postgres"]
