"""The spill on disk: bounded segment files, appended while a sink is away, replayed in order.

Each append is one write system call, so a killed process loses at most a torn tail, which is
cut off at the next start. A segment is deleted once all of it is in the sink. Must not know
sinks or queues.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.spill import HEADER, decode_payload, encode_frame, joinable, whole_frames
from feedplane_feeder.errors import SpillUnusableError

SEGMENT_BYTES = 8 * 1024 * 1024
FIRST_SEGMENT = 1_000_000
"""Numbers below are for what has to be replayed before everything that is there."""
SUFFIX = ".spill"


class SpillFolder:
    """The segments of one sink of one feeder."""

    def __init__(self, folder: Path, bound_bytes: int) -> None:
        self._folder = folder
        self._bound_bytes = bound_bytes
        self._segment_bytes = max(1, min(SEGMENT_BYTES, bound_bytes // 4))
        self._sizes: dict[int, int] = {}
        self._writing: BinaryIO | None = None
        self._writing_number = 0
        self._reading: BinaryIO | None = None
        self._reading_number = 0
        self._read_offset = 0
        self._next_offset = 0
        self._cut: set[int] = set()
        self._left_over_end = 0
        self._blocked = False
        self._lock: BinaryIO | None = None

    @property
    def is_open(self) -> bool:
        """Whether the folder was taken over."""
        return self._lock is not None

    @property
    def held_bytes(self) -> int:
        """Bytes on disk that wait for the sink."""
        return sum(self._sizes.values())

    @property
    def empty(self) -> bool:
        """Whether everything written was read and committed."""
        return not self._sizes

    @property
    def left_over(self) -> bool:
        """Whether segments of a former process are still to be read."""
        return bool(self._sizes) and min(self._sizes) < self._left_over_end

    @property
    def nearly_full(self) -> bool:
        """Whether less than a tenth of the bound is left."""
        return self.held_bytes * 10 >= self._bound_bytes * 9

    def open(self) -> None:
        """Take the folder and cut torn tails off what a killed process left.

        Raises:
            SpillUnusableError: not writable, or another process uses it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                if path.stem.isdecimal():
                    self._take_over(path)
            self._left_over_end = max(self._sizes, default=-1) + 1
        except OSError as error:
            self.close()
            raise SpillUnusableError(str(self._folder), error.strerror or str(error)) from error

    def append(self, batch: Batch) -> bool:
        """Write a batch behind everything else; False when the bound or the disk is reached."""
        # Once full, nothing is encoded in vain until a segment was replayed.
        if self._blocked:
            return False
        frame = encode_frame(batch)
        if self.held_bytes + len(frame) > self._bound_bytes:
            self._blocked = True
            return False
        try:
            whole = self._segment_for(len(frame)).write(frame) == len(frame)
        except OSError:
            whole = False
        if not whole:
            self._cut_writing()
            return False
        self._sizes[self._writing_number] += len(frame)
        return True

    def prepend(self, batch: Batch) -> bool:
        """Write a batch before everything else; False when the disk is full."""
        number = min([*self._sizes, FIRST_SEGMENT]) - 1
        frame = encode_frame(batch)
        path = self._path(number)
        try:
            path.write_bytes(frame)
        except OSError:
            path.unlink(missing_ok=True)
            return False
        self._sizes[number] = len(frame)
        return True

    def read(self, record_limit: int) -> list[Batch]:
        """Return the oldest batches that were not committed, about `record_limit` records.

        Never reaches over the end of a segment or beyond what may become one batch; empty means
        there is nothing left.
        """
        if not self._sizes:
            return []
        number = min(self._sizes)
        if self._reading is None or self._reading_number != number:
            self._open_reading(number)
        batches: list[Batch] = []
        count = 0
        offset = self._read_offset
        while count < record_limit and offset < self._sizes[number]:
            batch, end = self._read_frame(offset)
            if joinable([*batches[-1:], batch]) < len(batches[-1:]) + 1:
                break
            offset = end
            batches.append(batch)
            count += max(1, len(batch.records))
        self._next_offset = offset
        return batches

    def commit(self) -> bool:
        """Forget what the last `read` returned: it is in the sink.

        Returns False when what follows does not continue it, because the end was torn off.
        """
        self._read_offset = self._next_offset
        number = self._reading_number
        if self._read_offset < self._sizes[number]:
            return True
        self._drop(number)
        whole = number not in self._cut
        self._cut.discard(number)
        return whole

    def close(self) -> None:
        """Close the files; what they hold stays."""
        for file in (self._writing, self._reading, self._lock):
            if file is not None:
                file.close()
        self._writing = self._reading = self._lock = None

    def _take_over(self, path: Path) -> None:
        data = path.read_bytes()
        whole = 0
        for _, end in whole_frames(data):
            whole = end
        if whole == 0:
            path.unlink()
            return
        number = int(path.stem)
        if whole < len(data):
            os.truncate(path, whole)
            self._cut.add(number)
        self._sizes[number] = whole

    def _segment_for(self, size: int) -> BinaryIO:
        full = self._sizes.get(self._writing_number, 0) + size > self._segment_bytes
        if self._writing is None or full:
            if self._writing is not None:
                self._writing.close()
            number = max([*self._sizes, FIRST_SEGMENT - 1, self._writing_number]) + 1
            self._writing = self._path(number).open("wb", buffering=0)
            self._writing_number = number
            self._sizes[number] = 0
        return self._writing

    def _cut_writing(self) -> None:
        # The disk is full or gone: what was begun is taken back, whole frames stay.
        if self._writing is None:
            return
        with suppress(OSError):
            self._writing.truncate(self._sizes[self._writing_number])
        self._writing.close()
        self._writing = None
        if self._sizes[self._writing_number] == 0:
            self._drop(self._writing_number)

    def _open_reading(self, number: int) -> None:
        if self._reading is not None:
            self._reading.close()
        self._reading = self._path(number).open("rb")
        self._reading_number = number
        self._read_offset = 0

    def _read_frame(self, offset: int) -> tuple[Batch, int]:
        assert self._reading is not None  # noqa: S101 - read() opened it
        self._reading.seek(offset)
        header = self._reading.read(HEADER.size)
        length, _ = HEADER.unpack(header)
        for payload, end in whole_frames(header + self._reading.read(length)):
            return decode_payload(payload), offset + end
        raise SpillUnusableError(str(self._folder), f"frame at {offset} is damaged")

    def _drop(self, number: int) -> None:
        if self._writing is not None and self._writing_number == number:
            self._writing.close()
            self._writing = None
        if self._reading is not None and self._reading_number == number:
            self._reading.close()
            self._reading = None
        self._path(number).unlink(missing_ok=True)
        del self._sizes[number]
        self._blocked = False

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:09d}{SUFFIX}"
