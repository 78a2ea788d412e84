"""How far a backfill is: chunks and rows counted, the rate, the time that is left.

Pure: the time is an argument. Must not know what a chunk holds.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from feedplane_feeder.core.chunks import Chunk
from feedplane_feeder.core.ports import Written

RATE_WINDOW_NS: Final = 30 * 1_000_000_000


class ChunkState(StrEnum):
    """How a chunk stands."""

    DONE = "done"
    """Fetched and checked, or there already."""
    FAILED = "failed"
    """Every try failed; the reason stands beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResult:
    """What became of a chunk: a row of `backfill_chunks`."""

    chunk: Chunk
    state: ChunkState
    source: str
    """`Archive`, `Rest`, `Archive+Rest` or `Held`."""
    checksum: str | None = None
    """Of the archive file, as the venue published it."""
    written: Written = field(default_factory=Written)
    rows_held: int = 0
    """What the table holds of it afterwards."""
    rows_expected: int | None = None
    tries: int = 1
    reason: str = ""
    """One CamelCase word where something was wrong."""
    message: str = ""
    started_ns: int = 0
    finished_ns: int = 0

    @property
    def rows_missing(self) -> int:
        """Expected rows that are nowhere."""
        return max(0, (self.rows_expected or 0) - self.rows_held)


@dataclass(slots=True)
class Progress:
    """The counts of one worker's run."""

    started_ns: int
    chunks_total: int = 0
    chunks_done: int = 0
    chunks_failed: int = 0
    chunks_present: int = 0
    """Of those done, the ones that needed no fetch."""
    written: Written = field(default_factory=Written)
    rows_expected: int = 0
    rows_missing: int = 0
    failed: list[ChunkResult] = field(default_factory=list)
    _marks: deque[tuple[int, int, int]] = field(default_factory=deque)

    @property
    def settled(self) -> bool:
        """Whether every chunk has ended, well or not."""
        return self.chunks_done + self.chunks_failed >= self.chunks_total

    def add(self, result: ChunkResult, now_ns: int) -> None:
        """Count a chunk that ended."""
        if result.state is ChunkState.FAILED:
            self.chunks_failed += 1
            self.failed.append(result)
        else:
            self.chunks_done += 1
            self.chunks_present += result.source == "Held"
        self.written += result.written
        self.rows_expected += result.rows_expected or 0
        self.rows_missing += result.rows_missing
        self._marks.append((now_ns, self.rows, self.chunks_fetched))
        while self._marks[0][0] < now_ns - RATE_WINDOW_NS and len(self._marks) > 2:
            self._marks.popleft()

    @property
    def rows(self) -> int:
        """Rows that went to the table, known ones included."""
        return self.written.new + self.written.updated + self.written.duplicate

    @property
    def chunks_fetched(self) -> int:
        """Chunks that ended after something was fetched."""
        return self.chunks_done + self.chunks_failed - self.chunks_present

    @property
    def percent(self) -> int:
        """Chunks done as a part of all, rounded down."""
        return 100 * self.chunks_done // self.chunks_total if self.chunks_total else 100

    def rows_per_second(self, now_ns: int) -> float:
        """Return the rate of late."""
        return self._rate(1, now_ns)

    def seconds_left(self, now_ns: int) -> float | None:
        """Return how long the rest takes at the rate of late; None where nothing tells."""
        left = self.chunks_total - self.chunks_done - self.chunks_failed
        if left <= 0:
            return 0.0
        rate = self._rate(2, now_ns)
        return left / rate if rate > 0 else None

    def _rate(self, column: int, now_ns: int) -> float:
        first = (self.started_ns, 0, 0)
        if len(self._marks) > 2 and self._marks[0][0] < now_ns - RATE_WINDOW_NS // 2:
            first = self._marks[0]
        last = self._marks[-1] if self._marks else first
        seconds = (now_ns - first[0]) / 1e9
        return (last[column] - first[column]) / seconds if seconds > 0 else 0.0
