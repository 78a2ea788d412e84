"""SinkWriter: carries what the tape lets pass into one sink, and never makes the reader wait long.

Batches by rows or by time, writes, tries again when the sink is away, and names what was missed
between the held tape and this process's first record. Must not know venues or sessions.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from feedplane_api.worker import BufferConfig, PostgresSinkConfig, SinkReport, WorkerConfig
from feedplane_feeder.backlog import Backlog
from feedplane_feeder.continuation import Continuation, Joined
from feedplane_feeder.core.peer_volumes import VolumeTally
from feedplane_feeder.core.ports import Batch, Clock, Sink, Written
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import ChannelKind, Gap, GapCause
from feedplane_feeder.settlement import Settlement
from feedplane_feeder.sinks.factory import build_sink

ROOM_SECONDS: Final = 2.0
"""How long a reader may be asked to pause; a venue ends connections of slow readers."""
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a batch is written: at so many rows, or so long after its first one."""

    rows: int = 5_000
    milliseconds: int = 100


class SinkWriter:
    """Stands between the tape and one sink."""

    def __init__(
        self,
        sink: Sink,
        config: BufferConfig,
        *,
        clock: Clock,
        metrics: Metrics,
        venue: str,
        pace: Pace | None = None,
    ) -> None:
        self.on_gap: Callable[[Gap], None] | None = None
        """Told of every gap the writer itself finds (restart, promotion, spill)."""
        self.on_resync: Callable[[str], None] | None = None
        """Told the instrument_id of a book that does not continue the one the sink holds."""
        self.last_failover_milliseconds: int | None = None
        """How long the sink's tape stood still at the last promotion: commit of this line's first
        batch minus ts_recv of the newest row that was there."""
        self.venue = venue
        self.volumes: VolumeTally | None = None
        """What this line had, where somebody compares it with what other lines had."""
        self._sink = sink
        self._clock = clock
        self._metrics = metrics
        self._pace = pace or Pace()
        self._log = get_log("writer", venue=venue, sink=sink.name)
        self._backlog = Backlog(config, sink.name)
        self._chunk_records = max(self._pace.rows, config.queue_records)
        self.settlement = Settlement(sink)
        """Looks after gaps that another line or a replay fills."""
        self._continuation = Continuation(sink, clock, self.settlement.sessions)
        self._connected = False
        self._draining = self._hurried = False
        self._told_full = False
        self._oldest: float | None = None
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._total = Written()
        self._offered = self._written = 0
        self._last_write_ns: int | None = None
        self._last_error: str | None = None

    @property
    def full(self) -> bool:
        """Whether the reader should pause, by awaiting `room`."""
        return self._backlog.full(connected=self._connected)

    def offer(self, batch: Batch) -> None:
        """Take a batch; never blocks."""
        backlog = self._backlog
        was_spilling, lost = backlog.spilling, backlog.losses.lost_count
        backlog.offer(batch, self._clock.now_ns(), connected=self._connected)
        self._offered += 1
        if self.volumes is not None:
            self.volumes.note(batch.records)
        self.settlement.contested |= batch.contested
        if self._oldest is None:
            self._oldest = asyncio.get_running_loop().time()
            self._wake.set()
        elif backlog.queued_records >= self._pace.rows:
            self._wake.set()
        if backlog.spilling and not was_spilling:
            self._log.warning(Event.SPILL_STARTED, queued_records=backlog.queued_records)
        if backlog.losses.lost_count > lost:
            self._tell_lost(backlog.losses.lost_count - lost)

    async def room(self) -> None:
        """Return when the queue has room, and after two seconds in any case."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                while self.full:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            self._backlog.start_spilling()

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            SinkRefusedError: the sink can never work as it is.
            SpillUnusableError: the spill folder cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._backlog.open()
        try:
            await self._until_written(Batch())
            while True:
                await self._gather()
                batch = self._backlog.next(self._chunk_records, self._clock.now_ns())
                # What could not go along, as of another epoch, waits for nobody.
                self._oldest = loop.time() if self._backlog.queued_batches else None
                self._moved.set()
                if batch is not None:
                    await self._until_written(batch)
                    self._settle()
                await self._write_known()
                await self._settle_gaps()
        finally:
            await self._sink.close()
            self._backlog.close()

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was offered so far is written; False when it was not in time."""
        if not self._backlog.caught_up:
            return False
        mark = self._offered
        self._hurried = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._written < mark and not self._backlog.empty:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        finally:
            self._hurried = False
        return True

    async def drain(self, timeout_seconds: float) -> bool:
        """Write what waits; what the sink does not take in time is kept on disk.

        Returns True when the sink has everything.
        """
        self._draining = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not self._backlog.empty:
                    self._moved.clear()
                    await self._moved.wait()
        if self._backlog.empty:
            return True
        self._backlog.save()
        return False

    def report(self) -> SinkReport:
        """Return the sink as it looks from here."""
        backlog = self._backlog
        last = self._last_write_ns
        return SinkReport(
            name=self._sink.name,
            kind=self._sink.kind,
            connected=self._connected,
            records_written=self._total.new + self._total.updated,
            records_duplicate=self._total.duplicate,
            records_quarantined=self._total.quarantined,
            queued_records=backlog.queued_records,
            spilled_bytes=backlog.spilled_bytes,
            lost_records=backlog.losses.lost_count,
            missed_snapshots=self.volumes.missed if self.volumes is not None else 0,
            last_write_time=None if last is None else datetime.fromtimestamp(last / 1e9, UTC),
            last_error=self._last_error,
        )

    # Waits until there is a batch worth writing.
    async def _gather(self) -> None:
        backlog, loop = self._backlog, asyncio.get_running_loop()
        while True:
            if backlog.queued_records >= self._pace.rows or backlog.replaying:
                return
            if (self._draining or self._hurried) and not backlog.empty:
                return
            if self._continuation.next_known() is not None:
                return
            remaining = self.settlement.wait_seconds(loop.time()) if self._connected else None
            if self._oldest is not None:
                left = self._oldest + self._pace.milliseconds / 1000 - loop.time()
                remaining = left if remaining is None else min(left, remaining)
            if remaining is not None and remaining <= 0:
                return
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._wake.wait()

    async def _until_written(self, batch: Batch) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._write(batch)
            except SinkUnavailableError as error:
                self._tell_unavailable(error)
                # It may have been committed before the answer was lost.
                batch = replace(batch, replayed=True)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)
            else:
                return

    async def _write(self, batch: Batch) -> None:
        if not self._connected:
            await self._sink.open()
            self._connected = True
            self._log.info(Event.SINK_OPENED)
        if not (batch.records or batch.gaps or batch.quarantined or batch.publishers):
            return
        joined = await self._continuation.join(batch)
        started = asyncio.get_running_loop().time()
        written = await self._sink.write(joined.batch)
        self._count(written, asyncio.get_running_loop().time() - started)
        self._continuation.confirm(joined)
        self._tell_joined(joined, written)

    # What the sink probably holds may fill a hole of the line before; it waits for newer batches.
    async def _write_known(self) -> None:
        known = self._continuation.next_known()
        if known is not None:
            await self._until_written(known)
            self._continuation.known_written()

    async def _settle_gaps(self) -> None:
        # Only after the last of what a standby remembered can its gaps be told from holes.
        if self._connected and self._continuation.next_known() is None:
            now, now_ns = asyncio.get_running_loop().time(), self._clock.now_ns()
            await self.settlement.look(now, now_ns, self._offered, self._written)

    def _tell_joined(self, joined: Joined, written: Written) -> None:
        batch = joined.batch
        # Of what the tape names, the publisher counts the rest.
        own = batch.takeover is not None or batch.contested
        told = [
            gap
            for gap in batch.gaps
            if (own or gap in joined.found or gap.cause == GapCause.SPILL.value)
            and gap not in written.covered
        ]
        for gap in told:
            self._tell_gap(gap)
        if batch.contested or batch.takeover is not None:
            self.settlement.remember(told)
        if batch.takeover is not None and batch.replayed:
            self.settlement.replayed(batch.takeover.at_ns, joined.quotes_from)
        for gap in joined.found:
            broken = gap.channel == ChannelKind.BOOK.value
            if broken and gap.cause == GapCause.PROMOTION.value and self.on_resync is not None:
                self.on_resync(gap.instrument_id)
        takeover = batch.takeover
        if takeover is None or joined.newest_recv is None:
            return
        if takeover.cause == GapCause.PROMOTION.value:
            stood_still_ns = max(0, self._clock.now_ns() - joined.newest_recv)
            labels = (self.venue, self._sink.name)
            self._metrics.failover_seconds.labels(*labels).observe(stood_still_ns / 1e9)
            self.last_failover_milliseconds = stood_still_ns // 1_000_000

    # A part of the backlog is in the sink; the next one may follow.
    def _settle(self) -> None:
        was_spilling = self._backlog.spilling or self._backlog.left_over
        # Counted in batches offered: what is left in memory is all that was not written.
        self._written = self._offered - self._backlog.queued_batches
        if not self._backlog.done():
            self._continuation.forget()
        if was_spilling and self._backlog.caught_up:
            self._log.info(Event.SPILL_REPLAYED)
            self._told_full = False
        labels = (self.venue, self._sink.name)
        self._metrics.queue_records.labels(*labels).set(self._backlog.queued_records)
        self._metrics.spilled_bytes.labels(*labels).set(self._backlog.spilled_bytes)
        self._moved.set()

    def _count(self, written: Written, seconds: float) -> None:
        self._total += written
        self._last_write_ns = self._clock.now_ns()
        self._last_error = None
        venue, name = self.venue, self._sink.name
        self._metrics.sink_write_seconds.labels(venue, name).observe(seconds)
        for result in ("new", "updated", "duplicate", "quarantined"):
            count = getattr(written, result)
            if count:
                self._metrics.sink_rows_total.labels(venue, name, result).inc(count)
        if written.fenced:
            self._metrics.fenced_records_total.labels(venue, name).inc(written.fenced)

    def _tell_unavailable(self, error: SinkUnavailableError) -> None:
        if self._connected or self._last_error is None:
            self._log.warning(Event.SINK_LOST, error=error)
        self._connected = False
        self._last_error = str(error)
        self._metrics.sink_errors_total.labels(self.venue, self._sink.name).inc()
        self._moved.set()

    def _tell_gap(self, gap: Gap) -> None:
        self._metrics.gaps_total.labels(self.venue, gap.channel.partition("-")[0]).inc()
        self._log.warning(
            Event.GAP_DETECTED,
            instrument_id=gap.instrument_id,
            channel=gap.channel,
            cause=gap.cause,
            from_id=gap.from_id,
            to_id=gap.to_id,
        )
        if self.on_gap is not None:
            self.on_gap(gap)

    def _tell_lost(self, count: int) -> None:
        self._metrics.lost_records_total.labels(self.venue, self._sink.name).inc(count)
        if not self._told_full:
            self._told_full = True
            self._log.error(Event.SPILL_FULL, spilled_bytes=self._backlog.spilled_bytes)


def build_writers(
    config: WorkerConfig, *, clock: Clock, metrics: Metrics
) -> tuple[SinkWriter, ...]:
    """Return a writer for each sink of a configuration."""
    writers = []
    for sink_config in config.sinks:
        pace = None
        if isinstance(sink_config, PostgresSinkConfig):
            pace = Pace(rows=sink_config.batch_rows, milliseconds=sink_config.batch_milliseconds)
        writers.append(
            SinkWriter(
                build_sink(sink_config, config),
                config.buffer,
                clock=clock,
                metrics=metrics,
                venue=config.venue,
                pace=pace,
            )
        )
    return tuple(writers)
