"""Publisher: from checked frames to the sinks' queues, by way of the tape.

Synchronous on purpose: a read of the socket is decoded, judged and queued before the next one,
so nothing waits in between and back-pressure reaches the socket. A feeder that stands by checks
everything and remembers it; in a merged feed it offers all but the books. Must not know
connections or who decides on roles.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from feedplane_api.worker import FailoverMode, SinkReport
from feedplane_feeder.core.gap_counts import GapCounts
from feedplane_feeder.core.ports import (
    NO_EPOCH,
    Batch,
    Channel,
    PublisherSession,
    Received,
    Takeover,
)
from feedplane_feeder.core.replay import ReplayBuffer
from feedplane_feeder.core.sessions import Sessions
from feedplane_feeder.core.spill import join_batches
from feedplane_feeder.core.tape import Taken, Tape
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.meters import Meters
from feedplane_feeder.records import BookDelta, ChannelKind, Gap, GapCause, Quarantined
from feedplane_feeder.settlement import Settlement

BOOK = ChannelKind.BOOK.value


class Writer(Protocol):
    """What stands before a sink."""

    on_gap: Callable[[Gap], None] | None
    """Told of every gap the writer itself finds."""
    on_resync: Callable[[str], None] | None
    """Told the instrument_id of a book that does not continue the one the sink holds."""

    last_failover_milliseconds: int | None
    """How long the sink's tape stood still at the last promotion."""
    settlement: Settlement
    """Looks after gaps that another line or a replay fills."""

    @property
    def full(self) -> bool:
        """Whether the reader should pause."""

    def offer(self, batch: Batch) -> None:
        """Queue a batch; never waits."""

    async def room(self) -> None:
        """Wait until reading may go on."""

    async def run(self) -> None:
        """Write until cancelled."""

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was offered so far is written; False when it was not in time."""

    async def drain(self, timeout_seconds: float) -> bool:
        """Write what is queued, at the end; False when that did not succeed in time."""

    def report(self) -> SinkReport:
        """Return how the sink fares."""


class Publisher:
    """One feeder's way to its sinks."""

    def __init__(
        self,
        tape: Tape,
        writers: Sequence[Writer],
        meters: Meters,
        log: FieldLog,
        *,
        mode: FailoverMode = FailoverMode.HOT,
        replay_seconds: int = 0,
    ) -> None:
        self.tape = tape
        self.meters = meters
        self.sessions = Sessions()
        """When the instruments trade; outside of that nothing is missing."""
        self.buffer = ReplayBuffer(replay_seconds)
        self.replayed_records = 0
        """Records written from the buffer on promotions."""
        self.cause = GapCause.PROMOTION
        """What a hole before the first record after a promotion is put down to."""
        self.on_resync: Callable[[str], None] = _ignore
        """Called with the instrument_id of a book that needs a snapshot."""
        self.on_gaps: Callable[[], None] = _stay
        """Called when gaps were found that the ledgers are about to have."""
        self._writers = tuple(writers)
        self._log = log
        self._merged = mode is FailoverMode.MERGED
        # Without channels there is nothing to remember, and what was before says nothing.
        self._remembers = mode is not FailoverMode.WARM
        self._offers, self._offers_books = self._merged, False
        self.gaps = GapCounts()
        self._published: PublisherSession | None = None
        for writer in self._writers:
            writer.on_gap = self._count_gap
            writer.on_resync = self._resync
            writer.settlement.spans = tape.spans
            writer.settlement.on_filled = self.gaps.fill

    @property
    def active(self) -> bool:
        """Whether this feeder is the one that publishes."""
        return self._published is not None

    def promote(self, epoch: int, reason: str, now_ns: int) -> None:
        """Publish from now on, and first what was remembered; the sinks are told since when."""
        if self._published is not None and self._published.epoch == epoch and self._offers_books:
            return
        ended = self._end_session(now_ns)
        if self._offers:
            behind = self.tape.quote_sequences()
            held, _ = self.buffer.take()
        else:
            held, behind = self.buffer.take()
        self._published = PublisherSession(epoch=epoch, reason=reason, started_at=now_ns)
        self._offers = self._offers_books = True
        first = join_batches(held, replayed=bool(held))
        self.replayed_records += len(first.records)
        takeover = Takeover(at_ns=now_ns, cause=self.cause.value, behind=behind)
        self._offer_batch(
            replace(
                first,
                publishers=(*ended, self._published),
                contested=self._merged,
                epoch=epoch,
                takeover=takeover,
            )
        )

    def withhold_books(self) -> None:
        """Publish on, but for the books: another line is about to continue them."""
        if self._offers_books:
            self._offers_books = False
            self.buffer.clear()

    def demote(self, now_ns: int) -> None:
        """Stand by; the sinks are told until when this feeder published."""
        if self._published is None:
            return
        if self._offers_books:
            self.buffer.clear()
        if self._remembers and not self._merged:
            self.buffer.behind = self.tape.quote_sequences()
        self._offers, self._offers_books = self._merged, False
        self._offer_batch(Batch(publishers=self._end_session(now_ns)))

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
        self._offer(self.tape.take(received.records, ts_recv), received.quarantined, ts_recv)
        if received.interrupted:
            self.interrupt(received.interrupted.items(), GapCause.STALE, ts_recv)

    def take_snapshot(self, snapshot: BookDelta, ts_recv: int) -> bool:
        """Take a book's full state; False when the book needs a newer one."""
        taken = self.tape.take_snapshot(snapshot, ts_recv)
        self._offer(taken, [], ts_recv)
        return not taken.resyncs

    def sweep(self, now_ns: int, *, closing: bool = False) -> None:
        """Offer the gaps that are certain by now."""
        self._offer(self.tape.sweep(now_ns, closing=closing), [], now_ns)
        self.buffer.prune(now_ns)

    def forget(self, channels: Iterable[tuple[Channel, str]], now_ns: int) -> None:
        """Drop channels that are not wanted any more."""
        for channel, instrument_id in channels:
            self._offer(self.tape.forget(channel, instrument_id, now_ns), [], now_ns)

    def interrupt(
        self,
        channels: Iterable[tuple[Channel, str]],
        cause: GapCause,
        now_ns: int,
        stood_at: Mapping[Channel, int] = MappingProxyType({}),
    ) -> None:
        """Tell that channels were not covered for a moment.

        `stood_at` says from which ts_event on, where newer records came meanwhile.
        """
        for channel, instrument_id in channels:
            since_ts = stood_at.get(channel, 0)
            self.tape.interrupt(channel, instrument_id, cause, now_ns, since_ts)

    def standing(self, channels: Iterable[tuple[Channel, str]]) -> dict[Channel, int]:
        """Return ts_event of the last record before which none is in doubt, where times tell."""
        spans = ((channel, self.tape.span(key, channel.name)) for channel, key in channels)
        return {channel: span[1] for channel, span in spans if span is not None}

    def _offer(self, taken: Taken, quarantined: list[Quarantined], now_ns: int) -> None:
        quarantined = [*quarantined, *taken.quarantined] if taken.quarantined else quarantined
        if taken.gaps:
            clipped = (self.sessions.clip_gap(gap) for gap in taken.gaps)
            taken.gaps = [gap for gap in clipped if gap is not None]
        self.meters.add_taken(taken)
        if quarantined:
            self._note_quarantined(quarantined)
        if taken.gaps:
            self._note_gaps(taken.gaps)
        for instrument_id in taken.resyncs:
            self.on_resync(instrument_id)
        if not (taken.records or taken.gaps or quarantined):
            return
        batch = Batch(
            records=taken.records,
            gaps=taken.gaps,
            quarantined=quarantined,
            contested=self._merged,
            epoch=self._published.epoch if self._published else NO_EPOCH,
        )
        if self._offers_books:
            self._offer_batch(batch)
        elif not self._offers:
            if self._remembers:
                self.buffer.add(batch, now_ns)
        elif BOOK in taken.counts or taken.gaps:
            self._offer_without_books(batch, now_ns)
        else:
            self._offer_batch(batch)

    # Books are one line's alone; what this line has of them waits for its promotion.
    def _offer_without_books(self, batch: Batch, now_ns: int) -> None:
        books = [record for record in batch.records if type(record) is BookDelta]
        gaps = [gap for gap in batch.gaps if gap.channel == BOOK]
        if books or gaps:
            self.buffer.add(Batch(records=books, gaps=gaps), now_ns)
        others = [record for record in batch.records if type(record) is not BookDelta]
        left = [gap for gap in batch.gaps if gap.channel != BOOK]
        if others or left or batch.quarantined:
            self._offer_batch(replace(batch, records=others, gaps=left))

    def _end_session(self, now_ns: int) -> tuple[PublisherSession, ...]:
        ended, self._published = self._published, None
        return (replace(ended, ended_at=now_ns),) if ended else ()

    def _resync(self, instrument_id: str) -> None:
        if self.tape.lose_book(instrument_id):
            self.on_resync(instrument_id)

    def _offer_batch(self, batch: Batch) -> None:
        for writer in self._writers:
            writer.offer(batch)

    # One line for a batch of gaps: a storm of them must not become a storm of lines.
    def _note_gaps(self, gaps: Sequence[Gap]) -> None:
        # Where another line writes too, a gap counts once the sink has a row of it.
        for gap in gaps if self._offers and not self._merged else ():
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
        self.gaps.name(gap)
        self.on_gaps()

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


def _stay() -> None:
    return
