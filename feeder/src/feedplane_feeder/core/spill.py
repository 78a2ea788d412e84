"""Spill frames and losses: batches as bytes that survive a torn write, and what no frame holds.

A frame is length, CRC-32 and a MessagePack document. Records go as arrays in field order, so a
spilled trade costs about 90 bytes. Pure; the files are in feedplane_feeder/spill.py.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple as fields_of

from feedplane_feeder.core.ports import NO_EPOCH, Batch, PublisherSession, Takeover
from feedplane_feeder.core.restart import ChannelKey, channel_key
from feedplane_feeder.records import (
    Bar,
    BookDelta,
    Gap,
    GapCause,
    Metric,
    Quarantined,
    Quote,
    Record,
    Snapshot,
    Trade,
    is_numbered,
)

HEADER = struct.Struct(">II")
LARGEST_FRAME_BYTES = 256 * 1024 * 1024
"""Anything longer is not a frame of ours but noise read as a length."""

_KINDS: tuple[type[Record], ...] = (Trade, Quote, Bar, BookDelta, Metric, Snapshot)
_FIRST_KINDS = 5
"""As many kinds of records a frame of the first version has."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[list[Any]])
AnyStruct = TypeVar("AnyStruct", bound=Struct)


def encode_frame(batch: Batch) -> bytes:
    """Return a batch as one frame."""
    by_kind: list[list[Any]] = [
        [_row(record) for record in batch.records if type(record) is kind] for kind in _KINDS
    ]
    by_kind.append([fields_of(gap) for gap in batch.gaps])
    by_kind.append([fields_of(item) for item in batch.quarantined])
    by_kind.append([astuple(session) for session in batch.publishers])
    takeover = batch.takeover
    by_kind.append(
        [
            [
                batch.contested,
                batch.epoch,
                takeover and (takeover.at_ns, takeover.cause, takeover.behind),
            ]
        ]
    )
    payload = _encoder.encode(by_kind)
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def decode_payload(payload: bytes) -> Batch:
    """Return the batch of a frame's payload."""
    *kinds, gaps, quarantined, publishers, how = _whole(_decoder.decode(payload))
    contested, epoch, takeover = how[0]
    return Batch(
        records=[
            _record(kind, row) for kind, rows in zip(_KINDS, kinds, strict=True) for row in rows
        ],
        gaps=[Gap(*row) for row in gaps],
        quarantined=[Quarantined(*row) for row in quarantined],
        publishers=[
            PublisherSession(epoch=row[0], reason=row[1], started_at=row[2], ended_at=row[3])
            for row in publishers
        ],
        contested=contested,
        epoch=epoch,
        takeover=takeover and Takeover(at_ns=takeover[0], cause=takeover[1], behind=takeover[2]),
    )


def whole_frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each whole frame's payload and the offset behind it; stop at the first torn one."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, checksum = HEADER.unpack_from(data, offset)
        start, end = offset + HEADER.size, offset + HEADER.size + length
        if length > LARGEST_FRAME_BYTES or end > len(data):
            return
        payload = data[start:end]
        if zlib.crc32(payload) != checksum:
            return
        yield payload, end
        offset = end


def joinable(batches: Iterable[Batch]) -> int:
    """Return how many batches from the first on may become one: those of one epoch."""
    epoch: int | None = None
    count = 0
    for batch in batches:
        if count and (batch.epoch != epoch or batch.takeover is not None):
            break
        epoch = batch.epoch
        count += 1
    return count


def join_batches(batches: Sequence[Batch], *, replayed: bool = False) -> Batch:
    """Return one batch with everything of several, in order; see `joinable`."""
    if len(batches) == 1 and batches[0].replayed == replayed:
        return batches[0]
    return Batch(
        records=[record for batch in batches for record in batch.records],
        gaps=[gap for batch in batches for gap in batch.gaps],
        quarantined=[item for batch in batches for item in batch.quarantined],
        publishers=[session for batch in batches for session in batch.publishers],
        replayed=replayed or any(batch.replayed for batch in batches),
        contested=any(batch.contested for batch in batches),
        epoch=max((batch.epoch for batch in batches), default=NO_EPOCH),
        takeover=next((batch.takeover for batch in batches if batch.takeover), None),
    )


@dataclass(slots=True)
class _Loss:
    """One run of dropped records of one channel."""

    from_id: int | None = None
    to_id: int | None = None
    from_ts: int | None = None
    to_ts: int | None = None

    def widen_ids(self, first: int, last: int) -> None:
        self.from_id = first if self.from_id is None else min(self.from_id, first)
        self.to_id = last if self.to_id is None else max(self.to_id, last)

    def widen_times(self, first: int, last: int) -> None:
        self.from_ts = first if self.from_ts is None else min(self.from_ts, first)
        self.to_ts = last if self.to_ts is None else max(self.to_ts, last)


class Losses:
    """What had to be dropped, as runs per channel: memory by channel, not by record."""

    def __init__(self) -> None:
        self._runs: dict[ChannelKey, _Loss] = {}
        self._publishers: list[PublisherSession] = []
        self._takeover: Takeover | None = None
        self._epoch = NO_EPOCH
        self.lost_count = 0
        """Records and quarantined frames ever dropped."""

    def __bool__(self) -> bool:
        return bool(self._runs or self._publishers)

    def add(self, batch: Batch) -> None:
        """Drop a batch; its gaps widen the runs, so that no hole loses its name.

        A takeover stays: what follows is still to be held against the sink's tape.
        """
        for record in batch.records:
            run = self._runs.setdefault(channel_key(record), _Loss())
            if isinstance(record, Trade) and is_numbered(record):
                run.widen_ids(record.trade_id, record.trade_id)
            elif isinstance(record, BookDelta):
                first = record.last_id if record.snapshot else record.first_id
                run.widen_ids(first, record.last_id)
            elif isinstance(record, Bar):
                run.widen_times(record.ts_open, record.ts_open)
            else:
                run.widen_times(record.ts_event, record.ts_event)
        for gap in batch.gaps:
            run = self._runs.setdefault((gap.instrument_id, gap.channel), _Loss())
            if gap.from_id is not None and gap.to_id is not None:
                run.widen_ids(gap.from_id, gap.to_id)
            if gap.from_ts is not None and gap.to_ts is not None:
                run.widen_times(gap.from_ts, gap.to_ts)
        self._publishers += batch.publishers
        if batch.takeover is not None:
            self._takeover, self._epoch = batch.takeover, batch.epoch
        self.lost_count += len(batch.records) + len(batch.quarantined)

    def take(self, now_ns: int) -> Batch:
        """Return the losses as a batch of gaps and start over."""
        gaps = [
            Gap(
                instrument_id=instrument_id,
                channel=channel,
                cause=GapCause.SPILL.value,
                detected_at=now_ns,
                from_id=run.from_id,
                to_id=run.to_id,
                from_ts=run.from_ts,
                to_ts=run.to_ts,
            )
            for (instrument_id, channel), run in self._runs.items()
        ]
        batch = Batch(
            gaps=gaps,
            publishers=tuple(self._publishers),
            epoch=self._epoch,
            takeover=self._takeover,
        )
        self._runs = {}
        self._publishers = []
        self._takeover, self._epoch = None, NO_EPOCH
        return batch


# Frames of older versions say nothing of how they were offered, or know no snapshots.
def _whole(document: list[list[Any]]) -> list[list[Any]]:
    if len(document) == _FIRST_KINDS + 3:
        document = [*document, [[False, NO_EPOCH, None]]]
    if len(document) == _FIRST_KINDS + 4:
        return [*document[:_FIRST_KINDS], [], *document[_FIRST_KINDS:]]
    return document


def _row(record: Record) -> tuple[Any, ...]:
    row = fields_of(record)
    if isinstance(record, BookDelta):
        # Raw JSON must travel as bytes; unwrapped it would be taken for MessagePack.
        return (*row[:6], bytes(record.bids), bytes(record.asks), record.snapshot)
    if isinstance(record, Snapshot):
        return (*row[:-2], bytes(record.bids), bytes(record.asks))
    return row


def _record(kind: type[Record], row: list[Any]) -> Record:
    if kind is BookDelta:
        row = [*row[:6], Raw(row[6]), Raw(row[7]), row[8]]
    if kind is Snapshot:
        row = [*row[:-2], Raw(row[-2]), Raw(row[-1])]
    return kind(*row)
