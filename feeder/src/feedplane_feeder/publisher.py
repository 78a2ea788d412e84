"""Publisher: from checked frames to the sinks' queues, by way of the tape.

Synchronous on purpose: a read of the socket is decoded, judged and queued before the next one,
so nothing waits in between and back-pressure reaches the socket. A feeder that stands by checks
everything and offers nothing. Must not know connections.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from feedplane_api.worker import GapCount, SinkReport
from feedplane_feeder.core.ports import Batch, Channel, PublisherSession, Received
from feedplane_feeder.core.tape import Taken, Tape
from feedplane_feeder.events import Event
from feedplane_feeder.instruments import parse_instrument_id
from feedplane_feeder.log import FieldLog
from feedplane_feeder.meters import Meters
from feedplane_feeder.records import BookDelta, Gap, GapCause, Quarantined


class Writer(Protocol):
    """What stands before a sink."""

    on_gap: Callable[[Gap], None] | None
    """Told of every gap the writer itself finds."""

    @property
    def full(self) -> bool:
        """Whether the reader should pause."""

    def offer(self, batch: Batch) -> None:
        """Queue a batch; never waits."""

    async def room(self) -> None:
        """Wait until reading may go on."""

    async def run(self) -> None:
        """Write until cancelled."""

    async def drain(self, timeout_seconds: float) -> bool:
        """Write what is queued; False when that did not succeed in time."""

    def report(self) -> SinkReport:
        """Return how the sink fares."""


class Publisher:
    """One feeder's way to its sinks."""

    def __init__(
        self, tape: Tape, writers: Sequence[Writer], meters: Meters, log: FieldLog
    ) -> None:
        self.tape = tape
        self.meters = meters
        self.on_resync: Callable[[str], None] = _ignore
        """Called with the instrument_id of a book that needs a snapshot."""
        self._writers = tuple(writers)
        self._log = log
        self._gaps: dict[tuple[str, str], int] = {}
        self._published: PublisherSession | None = None
        for writer in self._writers:
            writer.on_gap = self._count_gap

    @property
    def active(self) -> bool:
        """Whether records are offered to the sinks."""
        return self._published is not None

    def promote(self, epoch: int, reason: str, now_ns: int) -> None:
        """Publish from now on; the sinks are told since when."""
        if self._published is not None and self._published.epoch == epoch:
            return
        self.demote(now_ns)
        self._published = PublisherSession(epoch=epoch, reason=reason, started_at=now_ns)
        self._offer_batch(Batch(publishers=(self._published,)))

    def demote(self, now_ns: int) -> None:
        """Publish no more; the sinks are told until when."""
        if self._published is not None:
            self._offer_batch(Batch(publishers=(replace(self._published, ended_at=now_ns),)))
            self._published = None

    @property
    def full(self) -> bool:
        """Whether any sink's queue is at its bound."""
        return any(writer.full for writer in self._writers)

    async def room(self) -> None:
        """Wait until every queue has room."""
        for writer in self._writers:
            if writer.full:
                await writer.room()

    def take(self, received: Received, ts_recv: int) -> None:
        """Judge and offer what one read of a socket brought."""
        if received.unreadable:
            self.interrupt(received.unreadable.items(), GapCause.MALFORMED, ts_recv)
        self._offer(self.tape.take(received.records, ts_recv), received.quarantined)

    def take_snapshot(self, snapshot: BookDelta, ts_recv: int) -> bool:
        """Take a book's full state; False when the book needs a newer one."""
        taken = self.tape.take_snapshot(snapshot, ts_recv)
        self._offer(taken, [])
        return not taken.resyncs

    def sweep(self, now_ns: int, *, closing: bool = False) -> None:
        """Offer the gaps that are certain by now."""
        self._offer(self.tape.sweep(now_ns, closing=closing), [])

    def forget(self, channels: Iterable[tuple[Channel, str]], now_ns: int) -> None:
        """Drop channels that are not wanted any more."""
        for channel, instrument_id in channels:
            self._offer(self.tape.forget(channel, instrument_id, now_ns), [])

    def interrupt(
        self, channels: Iterable[tuple[Channel, str]], cause: GapCause, now_ns: int
    ) -> None:
        """Tell that channels were not covered for a moment."""
        for channel, instrument_id in channels:
            self.tape.interrupt(channel, instrument_id, cause, now_ns)

    def gap_counts(self) -> tuple[GapCount, ...]:
        """Return how many gaps this process named, by instrument and channel."""
        return tuple(
            GapCount(symbol=parse_instrument_id(instrument_id).symbol, channel=channel, open=count)
            for (instrument_id, channel), count in sorted(self._gaps.items())
        )

    def _offer(self, taken: Taken, quarantined: list[Quarantined]) -> None:
        quarantined = [*quarantined, *taken.quarantined] if taken.quarantined else quarantined
        self.meters.add_taken(taken)
        if quarantined:
            self._note_quarantined(quarantined)
        if taken.gaps:
            self._note_gaps(taken.gaps)
        for instrument_id in taken.resyncs:
            self.on_resync(instrument_id)
        if self.active and (taken.records or taken.gaps or quarantined):
            self._offer_batch(
                Batch(records=taken.records, gaps=taken.gaps, quarantined=quarantined)
            )

    def _offer_batch(self, batch: Batch) -> None:
        for writer in self._writers:
            writer.offer(batch)

    # One line for a batch of gaps: a storm of them must not become a storm of lines.
    def _note_gaps(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            self._count_gap(gap)
        first = gaps[0]
        self._log.warning(
            Event.GAP_DETECTED,
            instrument_id=first.instrument_id,
            channel=first.channel,
            cause=first.cause,
            from_id=first.from_id,
            to_id=first.to_id,
            gap_count=len(gaps),
        )

    def _count_gap(self, gap: Gap) -> None:
        key = (gap.instrument_id, gap.channel)
        self._gaps[key] = self._gaps.get(key, 0) + 1

    def _note_quarantined(self, quarantined: Sequence[Quarantined]) -> None:
        self.meters.add_quarantined([row.channel for row in quarantined])
        first = quarantined[0]
        self._log.warning(
            Event.RECORD_QUARANTINED,
            instrument_id=first.instrument_id,
            channel=first.channel,
            reason=first.reason,
            record_count=len(quarantined),
        )


def _ignore(_instrument_id: str) -> None:
    return
