"""Continuation: joins what this process writes to the tape that a sink holds already.

At a process's first record of a channel, and again after each promotion, the sink is asked where
its tape stands: what is missing in between gets a name, what it has is not written twice where
that would matter, and what it surely lacks goes first. Must not know queues or retries.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from feedplane_feeder.core.ports import Batch, Clock, Sink, Takeover, Watermark
from feedplane_feeder.core.restart import ChannelKey, SeenChannels, channel_key, restart_gap
from feedplane_feeder.core.sessions import Sessions
from feedplane_feeder.core.takeover import BOOK, BookFloors, clip_gaps, newest_recv, split_known
from feedplane_feeder.records import Gap, GapCause, Quote, Record

LATER_RECORDS: Final = 10_000
"""What a sink probably holds is written again in parts of this size, between newer batches."""


@dataclass(slots=True, kw_only=True)
class Joined:
    """A batch as it is to be written."""

    batch: Batch
    judged: Mapping[ChannelKey, Record] = field(default_factory=dict)
    """Channels whose place on the held tape was looked at for this batch."""
    found: list[Gap] = field(default_factory=list)
    resumed: set[str] = field(default_factory=set)
    """Instruments whose book is beyond what the sink held."""
    known: list[Record] = field(default_factory=list)
    newest_recv: int | None = None
    """Of a takeover: when the newest record the sink held was received."""
    quotes_from: dict[str, int] = field(default_factory=dict)
    """Of a takeover: ts_event of the first quote remembered, by instrument."""


class Continuation:
    """One sink's tape and ours."""

    def __init__(self, sink: Sink, clock: Clock, sessions: Sessions | None = None) -> None:
        self._sessions = sessions or Sessions()
        self._sink = sink
        self._clock = clock
        self._seen = SeenChannels()
        self._floors = BookFloors()
        self._takeover: Takeover | None = None
        self._later: deque[Batch] = deque()

    def forget(self) -> None:
        """Judge every channel again: what follows does not continue what was written."""
        self._seen.forget()
        self._floors.clear()
        self._takeover = None

    async def join(self, batch: Batch) -> Joined:
        """Return a batch as it continues the sink's tape; `confirm` it once it is written."""
        if batch.takeover is not None:
            self.forget()
            self._takeover = batch.takeover
            # Where the tape ends is asked once nobody else can move the end of a book any more.
            await self._sink.write(Batch(publishers=batch.publishers, epoch=batch.epoch))
            batch = replace(batch, publishers=())
        first = self._seen.first_records(batch.records)
        if not first and batch.takeover is None:
            records, resumed = self._floors.pass_records(batch.records)
            if records is batch.records:
                return Joined(batch=batch)
            return Joined(batch=replace(batch, records=records), resumed=resumed)
        return await self._judge(batch, first)

    def confirm(self, joined: Joined) -> None:
        """Remember that a batch is in the sink."""
        self._seen.add(joined.judged)
        self._floors.clear(joined.resumed)
        for start in range(0, len(joined.known), LATER_RECORDS):
            part = joined.known[start : start + LATER_RECORDS]
            self._later.append(Batch(records=part, replayed=True))

    def next_known(self) -> Batch | None:
        """Return the next part of what the sink probably holds; None when all is written."""
        return self._later[0] if self._later else None

    def known_written(self) -> bool:
        """Forget the part that `next_known` returned; True when it was the last."""
        self._later.popleft()
        return not self._later

    async def _judge(self, batch: Batch, first: Mapping[ChannelKey, Record]) -> Joined:
        channels = {*first, *((gap.instrument_id, gap.channel) for gap in batch.gaps)}
        held = await self._sink.last(tuple(channels)) if channels else {}
        if self._takeover is not None:
            unseen_books = {key: mark for key, mark in held.items() if key in first}
            self._floors.raise_to(unseen_books, self._takeover.at_ns)
        records, resumed = self._floors.pass_records(batch.records)
        # The first delta that passes is what continues the book, not the first one remembered.
        judged = {**first, **_first_books(records, first)}
        found = self._find_gaps(judged, held)
        gaps = batch.gaps
        known: list[Record] = []
        if batch.takeover is not None and batch.replayed:
            gaps = clip_gaps(batch.gaps, held)
        joined = replace(batch, records=records, gaps=[*found, *gaps])
        if batch.takeover is not None and batch.replayed:
            joined, known = split_known(joined, held)
        return Joined(
            batch=joined,
            judged=first,
            found=found,
            resumed=resumed,
            known=known,
            newest_recv=newest_recv(held) if batch.takeover else None,
            quotes_from=_first_quotes(batch.records) if batch.takeover else {},
        )

    def _find_gaps(
        self, first: Mapping[ChannelKey, Record], held: Mapping[ChannelKey, Watermark]
    ) -> list[Gap]:
        takeover = self._takeover
        cause = takeover.cause if takeover else GapCause.RESTART.value
        behind = takeover.behind if takeover else {}
        now_ns = self._clock.now_ns()
        gaps = (
            restart_gap(
                held.get(key),
                record,
                now_ns,
                cause=cause,
                behind=behind.get(key[0]) if isinstance(record, Quote) else None,
            )
            for key, record in first.items()
        )
        clipped = (self._sessions.clip_gap(gap) for gap in gaps if gap is not None)
        return [gap for gap in clipped if gap is not None]


def _first_quotes(records: Iterable[Record]) -> dict[str, int]:
    first: dict[str, int] = {}
    for record in records:
        if type(record) is Quote and record.instrument_id not in first:
            first[record.instrument_id] = record.ts_event
    return first


def _first_books(
    records: Iterable[Record], first: Mapping[ChannelKey, Record]
) -> dict[ChannelKey, Record]:
    waiting = {key for key in first if key[1] == BOOK}
    found: dict[ChannelKey, Record] = {}
    if not waiting:
        return found
    for record in records:
        key = channel_key(record)
        if key in waiting:
            found[key] = record
            waiting.discard(key)
            if not waiting:
                break
    return found
