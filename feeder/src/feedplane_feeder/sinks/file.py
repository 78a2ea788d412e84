"""JSON lines in a folder, one file per channel and UTC day, or on standard output.

The quickest way to look at a venue. Second copies are refused as far back as the memory of keys
reaches, which is read back from the files' tails at the start. Must not know venues or queues.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from feedplane_api.worker import FileSinkConfig
from feedplane_feeder.core.intervals import previous_open_ns
from feedplane_feeder.core.ports import Batch, Watermark, Written
from feedplane_feeder.core.restart import ChannelKey, channel_key
from feedplane_feeder.errors import SinkRefusedError, SinkUnavailableError
from feedplane_feeder.records import Bar, BookDelta, Gap, Metric, Quote, Record, Snapshot, Trade

STANDARD_OUTPUT: Final = "-"
REMEMBERED_KEYS: Final = 65_536
"""Per channel kind and interval; older second copies are not recognized."""
TAIL_BYTES: Final = 8 * 1024 * 1024
Key = tuple[object, ...]
_DAY_NS: Final = 86_400 * 1_000_000_000
_RECORDS: Final[Mapping[str, type[Record]]] = {
    "trade": Trade,
    "quote": Quote,
    "bar": Bar,
    "book": BookDelta,
    "metric": Metric,
    "snapshot": Snapshot,
}


class FileSink:
    """A folder of JSON lines."""

    kind = "file"

    def __init__(self, config: FileSinkConfig) -> None:
        self.name = config.name
        self._folder = None if config.path == STANDARD_OUTPUT else Path(config.path)
        self._files: dict[str, BinaryIO] = {}
        self._known: dict[str, dict[Key, None]] = {}
        self._last: dict[ChannelKey, Watermark] = {}
        self._encoder = msgspec.json.Encoder()

    async def open(self) -> None:
        """Make the folder and remember what its newest files hold."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in _newest(self._folder):
                self._read_tail(path)
        except OSError as error:
            raise SinkUnavailableError(self.name, error.strerror or "failed") from error

    async def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    async def write(self, batch: Batch) -> Written:
        """Append a batch's lines; a failed write takes back what it began."""
        lines: dict[str, list[bytes]] = {}
        fresh: dict[str, dict[Key, None]] = {}
        new = 0
        for record in batch.records:
            channel = channel_key(record)[1]
            known, adding = self._known.get(channel, {}), fresh.setdefault(channel, {})
            keys = _keys(record)
            if any(key in known or key in adding for key in keys):
                continue
            adding[keys[0]] = None
            lines.setdefault(f"{channel}-{_day(record)}", []).append(self._encoder.encode(record))
            new += 1
        for gap in batch.gaps:
            name = f"gap-{_utc_day(gap.detected_at)}"
            lines.setdefault(name, []).append(self._encoder.encode(gap))
        for item in batch.quarantined:
            name = f"quarantine-{_utc_day(item.ts_recv)}"
            lines.setdefault(name, []).append(self._encoder.encode(item))
        self._append(lines)
        for channel, adding in fresh.items():
            self._remember(channel, adding)
        self._raise_watermarks(batch.records)
        return Written(
            new=new, duplicate=len(batch.records) - new, quarantined=len(batch.quarantined)
        )

    async def last(
        self, channels: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Watermark]:
        """Return the newest record of each channel that the files' tails hold."""
        return {key: self._last[key] for key in channels if key in self._last}

    async def open_gaps(self, since_ns: int) -> Sequence[Gap]:
        """Return nothing: lines that were written stay as they are."""
        return ()

    async def fill(self, gaps: Sequence[Gap], filled_by: str) -> int:
        """Change nothing: a reader of the files finds the records beside the gap."""
        return 0

    def _remember(self, channel: str, keys: Iterable[Key]) -> None:
        known = self._known.setdefault(channel, {})
        known.update(dict.fromkeys(keys))
        excess = len(known) - REMEMBERED_KEYS
        for key in list(islice(known, max(0, excess))):
            del known[key]

    def _raise_watermarks(self, records: Iterable[Record]) -> None:
        for record in records:
            key = channel_key(record)
            mark = _watermark(record)
            held = self._last.get(key)
            if held is None or _order(mark) > _order(held):
                self._last[key] = mark

    def _append(self, lines: Mapping[str, list[bytes]]) -> None:
        if self._folder is None:
            self._print(lines)
            return
        begun: list[tuple[BinaryIO, int]] = []
        try:
            for name, items in lines.items():
                file = self._file(name)
                begun.append((file, file.seek(0, os.SEEK_END)))
                file.write(b"\n".join(items) + b"\n")
                file.flush()
        except OSError as error:
            for file, size in begun:
                file.truncate(size)
            raise SinkUnavailableError(self.name, error.strerror or "failed") from error

    def _print(self, lines: Mapping[str, list[bytes]]) -> None:
        try:
            for items in lines.values():
                sys.stdout.buffer.write(b"\n".join(items) + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise SinkRefusedError(self.name, "nobody reads standard output") from error

    def _file(self, name: str) -> BinaryIO:
        file = self._files.get(name)
        if file is None:
            assert self._folder is not None  # noqa: S101 - standard output has no files
            # Yesterday's files are done with once today's are open.
            for old in [old for old in self._files if old[:-10] == name[:-10] and old < name]:
                self._files.pop(old).close()
            file = self._files[name] = (self._folder / f"{name}.jsonl").open("ab")
        return file

    def _read_tail(self, path: Path) -> None:
        channel = path.stem[:-11]
        kind = _RECORDS.get(channel.partition("-")[0])
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            # A process killed while it wrote left half a line; it is written again.
            if whole < len(data):
                file.truncate(start + whole)
        lines = data[:whole].splitlines()[1 if start else 0 :]
        if kind is None:
            return
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        records: list[Record] = []
        for line in lines:
            # A line of somebody else's is none of ours to judge.
            with suppress(msgspec.MsgspecError):
                records.append(decoder.decode(line))
        self._remember(channel, [_keys(record)[0] for record in records])
        self._raise_watermarks(records)


def _newest(folder: Path) -> list[Path]:
    by_channel: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*-????-??-??.jsonl")):
        by_channel.setdefault(path.stem[:-11], []).append(path)
    return [path for paths in by_channel.values() for path in paths[-2:]]


# What a record is known by, its own key first; any of them known makes it a second copy.
def _keys(record: Record) -> tuple[Key, ...]:
    if isinstance(record, Trade):
        return ((record.instrument_id, record.trade_id),)
    if isinstance(record, Quote):
        return ((record.instrument_id, record.sequence),)
    if isinstance(record, BookDelta):
        return ((record.instrument_id, record.ts_event, record.last_id, record.snapshot),)
    if isinstance(record, Snapshot):
        return ((record.instrument_id, record.ts_event, record.fingerprint),)
    if isinstance(record, Bar):
        final = (record.instrument_id, record.ts_open)
        return (final,) if record.final else ((*final, record.ts_event), final)
    return ((record.instrument_id, record.name, record.ts_event),)


def _watermark(record: Record) -> Watermark:
    if isinstance(record, Trade):
        return Watermark(sequence=record.trade_id, ts_event=record.ts_event)
    if isinstance(record, Quote):
        return Watermark(sequence=record.sequence, ts_event=record.ts_event)
    if isinstance(record, BookDelta):
        return Watermark(sequence=record.last_id, ts_event=record.ts_event)
    if isinstance(record, Bar):
        complete = (
            record.ts_open if record.final else previous_open_ns(record.ts_open, record.interval)
        )
        return Watermark(sequence=None, ts_event=complete)
    return Watermark(sequence=None, ts_event=record.ts_event)


def _order(mark: Watermark) -> tuple[int, int]:
    # Ids below zero stand in no order.
    return (max(mark.sequence or 0, 0), mark.ts_event)


def _day(record: Record) -> str:
    return _utc_day(record.ts_open if isinstance(record, Bar) else record.ts_event)


def _utc_day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // _DAY_NS * 86_400, UTC).strftime("%Y-%m-%d")
