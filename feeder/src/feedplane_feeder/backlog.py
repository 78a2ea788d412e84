"""Backlog: what waits for a sink, in order: left-over spill, memory, spill, and named losses.

The memory is bounded; past it batches go to disk, past that they become losses with exact
names. Order is kept: while anything is on disk, newer batches go behind it. Must not know sinks
or tasks.
"""

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from feedplane_api.worker import BufferConfig
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.spill import Losses, join_batches, joinable
from feedplane_feeder.spill import SpillFolder

MEBIBYTE = 1024 * 1024


class Place(StrEnum):
    """Where the batch that is being written came from."""

    LEFT_OVER = "left-over"
    MEMORY = "memory"
    SPILL = "spill"


class Backlog:
    """Everything offered to one sink that it does not have yet."""

    def __init__(self, config: BufferConfig, sink: str) -> None:
        self._bound = config.queue_records
        self._queue: deque[Batch] = deque()
        self._taken: Batch | None = None
        self._place: Place | None = None
        self._folder: SpillFolder | None = None
        if config.spill_path is not None:
            folder = Path(config.spill_path) / sink
            self._folder = SpillFolder(folder, config.spill_mebibytes * MEBIBYTE)
        self.queued_records = 0
        self._remembered = 0
        """Those of them that a standby had in memory before: the bound is for others."""
        self.spilling = False
        self.losses = Losses()

    @property
    def spilled_bytes(self) -> int:
        """Bytes on disk."""
        return self._folder.held_bytes if self._folder else 0

    @property
    def queued_batches(self) -> int:
        """Batches in memory that nobody took yet."""
        return len(self._queue)

    @property
    def empty(self) -> bool:
        """Whether the sink has everything that was offered."""
        on_disk = self._folder is not None and not self._folder.empty
        return not (self._queue or self._taken or on_disk or self.losses)

    @property
    def left_over(self) -> bool:
        """Whether something a former process left is still to be replayed."""
        return self._folder is not None and self._folder.left_over

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits on disk, so that new batches go through memory alone."""
        return not self.spilling and not self.left_over

    @property
    def replaying(self) -> bool:
        """Whether there is work that need not wait for a batch to fill."""
        return self.left_over or (not self._queue and not self.empty)

    def open(self) -> None:
        """Take the spill folder over, with what a former process left in it."""
        if self._folder is not None:
            self._folder.open()

    def close(self) -> None:
        """Close the spill folder; what it holds stays."""
        if self._folder is not None:
            self._folder.close()

    def full(self, *, connected: bool) -> bool:
        """Tell whether the reader should pause: only a sink that is there makes it worthwhile."""
        if not connected:
            return False
        if self.spilling:
            return self._folder is not None and self._folder.nearly_full
        return self.queued_records - self._remembered >= self._bound

    def offer(self, batch: Batch, now_ns: int, *, connected: bool) -> None:
        """Take a batch: into memory, else onto the disk, else as a named loss."""
        size = _size(batch)
        # A connected sink is given twice the room, and what one read brings on top of it, however
        # much had piled up in the socket: its reader was asked to pause and is about to.
        bound = self._bound * 2 if connected else self._bound
        remembered = size if batch.takeover is not None else 0
        waiting = self.queued_records - self._remembered + (0 if connected else size)
        # What a standby remembered only moves, and nobody else has it.
        fits = not self._queue or remembered > 0 or waiting <= bound
        if self._folder is not None and not self._folder.is_open:
            # Nothing can go to the disk before its left-overs are known; that is a moment.
            fits = True
        if fits and not self.spilling:
            if self.losses:
                self._queue.append(self.losses.take(now_ns))
            self._queue.append(batch)
            self.queued_records += size
            self._remembered += remembered
        elif self._folder is None:
            self.losses.add(batch)
        else:
            self.spilling = True
            self._spill(self._folder, batch, now_ns)

    def start_spilling(self) -> None:
        """Send what comes next to the disk, because the sink stays too slow for the reader."""
        self.spilling = self.spilling or self._folder is not None

    def next(self, record_limit: int, now_ns: int) -> Batch | None:
        """Return the oldest part that the sink lacks, or None; the same again until `done`."""
        if self._taken is None:
            self._take(record_limit, now_ns)
        return self._taken

    def done(self) -> bool:
        """Forget what `next` returned: the sink has it.

        Returns False when what follows does not continue it.
        """
        self._taken = None
        folder = self._folder
        if folder is None:
            return True
        continues = True
        if self._place is not Place.MEMORY:
            continues = folder.commit()
            # After the last left-over comes this process's own tape: a new beginning.
            if self._place is Place.LEFT_OVER and not folder.left_over:
                continues = False
        if self.spilling and not self._queue and folder.empty:
            self.spilling = False
        return continues

    def save(self) -> bool:
        """Move what is in memory to the disk, before all else there; True when it is safe."""
        waiting = [*self._queue]
        if self._taken is not None and self._place is Place.MEMORY:
            waiting.insert(0, self._taken)
        if not waiting:
            return True
        folder = self._folder
        if folder is None:
            return False
        behind_left_over = folder.left_over and not self.spilling
        groups = [join_batches(group) for group in _group(waiting)]
        kept = (
            all(folder.append(group) for group in groups)
            if behind_left_over
            else all(folder.prepend(group) for group in reversed(groups))
        )
        if not kept:
            return False
        self._queue.clear()
        self.queued_records = self._remembered = 0
        return True

    def _take(self, record_limit: int, now_ns: int) -> None:
        folder = self._folder
        if folder is not None and folder.left_over:
            self._taken = join_batches(folder.read(record_limit), replayed=True)
            self._place = Place.LEFT_OVER
        elif self._queue:
            taken = [self._queue.popleft() for _ in range(joinable(self._queue))]
            self._taken = join_batches(taken)
            self._place = Place.MEMORY
            self.queued_records = sum(_size(batch) for batch in self._queue)
            self._remembered = sum(_size(b) for b in self._queue if b.takeover is not None)
        elif folder is not None and not folder.empty:
            self._taken = join_batches(folder.read(record_limit))
            self._place = Place.SPILL
        elif self.losses:
            self._taken = self.losses.take(now_ns)
            self._place = Place.MEMORY

    def _spill(self, folder: SpillFolder, batch: Batch, now_ns: int) -> None:
        named = self.losses.take(now_ns) if self.losses else None
        if folder.append(batch if named is None else join_batches([named, batch])):
            return
        if named is not None:
            self.losses.add(named)
        self.losses.add(batch)


def _size(batch: Batch) -> int:
    return max(1, len(batch.records))


def _group(batches: list[Batch]) -> Iterator[list[Batch]]:
    while batches:
        count = joinable(batches)
        yield batches[:count]
        batches = batches[count:]
