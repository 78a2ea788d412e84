"""Replay buffer: what a standby remembers, so that a promotion delays the tape and loses nothing.

Holds whole batches as they passed the tape, records with their gaps, in order. Bounded in time
and in bytes; what the bound of memory pushes out is counted. Pure; must not know who publishes.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from feedplane_api.worker import CandidateReport, ElectionReport
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.records import BookDelta, Quote

SECOND_NS: Final = 1_000_000_000
BUFFER_BYTES: Final = 192 * 1024 * 1024
"""By `RECORD_BYTES` and the size of book levels; far more than 5,000 records a second need."""
RECORD_BYTES: Final = 480
"""What one record costs in memory, its texts and times included (measured: trades 477)."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One batch and when it came."""

    at_ns: int
    batch: Batch
    size_bytes: int


class ReplayBuffer:
    """The last seconds of one line's tape."""

    def __init__(self, seconds: int, bound_bytes: int = BUFFER_BYTES) -> None:
        self.seconds = seconds
        self.keep = False
        """Nothing grows too old: whoever publishes seems to be gone. The bound holds."""
        self.behind: dict[str, int] = {}
        """Per instrument, the sequence of the quote that passed before the first one held."""
        self.records = 0
        self.dropped_records = 0
        """Records the bound pushed out before their time, over the life of the process."""
        self._bound_bytes = bound_bytes
        self._bytes = 0
        self._batches: deque[_Held] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch, now_ns: int) -> None:
        """Remember a batch; costs next to nothing per record."""
        size = _size_bytes(batch)
        self._batches.append(_Held(now_ns, batch, size))
        self.records += len(batch.records)
        self._bytes += size
        self.prune(now_ns)

    def prune(self, now_ns: int) -> None:
        """Forget what is too old, and what does not fit."""
        batches = self._batches
        while self._bytes > self._bound_bytes and len(batches) > 1:
            self.dropped_records += len(self._forget_oldest().records)
        if self.keep:
            return
        oldest_ns = now_ns - self.seconds * SECOND_NS
        while batches and batches[0].at_ns < oldest_ns:
            self._forget_oldest()

    def clear(self) -> None:
        """Begin anew."""
        self._batches.clear()
        self.records = self._bytes = 0
        self.behind = {}

    def take(self) -> tuple[list[Batch], dict[str, int]]:
        """Return all of it and what stood behind it; then empty."""
        taken = [held.batch for held in self._batches], self.behind
        self.clear()
        return taken

    def age_seconds(self, now_ns: int) -> int:
        """Return how far back it reaches."""
        return max(0, now_ns - self._batches[0].at_ns) // SECOND_NS if self._batches else 0

    # Quotes have no contiguous numbers: only what came before the first one held can show later
    # that nothing is missing between a sink's tape and this line's.
    def _forget_oldest(self) -> Batch:
        held = self._batches.popleft()
        self._bytes -= held.size_bytes
        self.records -= len(held.batch.records)
        for record in held.batch.records:
            if type(record) is Quote:
                self.behind[record.instrument_id] = record.sequence
        return held.batch


def holder_fails(report: ElectionReport, peers: Iterable[CandidateReport]) -> bool:
    """Tell whether whoever publishes seems to be gone or unwell, as far as one can know."""
    if report.active:
        return False
    if report.holder is None or not report.api_reachable:
        return True
    lines = [peer for peer in peers if peer.account == report.holder]
    return any(not (peer.fresh and peer.healthy) for peer in lines)


def _size_bytes(batch: Batch) -> int:
    levels = sum(
        memoryview(record.bids).nbytes + memoryview(record.asks).nbytes
        for record in batch.records
        if type(record) is BookDelta
    )
    rows = len(batch.records) + len(batch.gaps) + len(batch.quarantined)
    return rows * RECORD_BYTES + levels
