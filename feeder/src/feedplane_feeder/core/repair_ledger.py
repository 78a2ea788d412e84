"""What repairs ask of a ledger: the shape every store with a gap ledger must fit."""

from collections.abc import Sequence
from typing import Protocol

from feedplane_feeder.core.batches import Batch, Written
from feedplane_feeder.core.gap_counts import SettledGaps
from feedplane_feeder.core.restart import ChannelKey
from feedplane_feeder.records import Gap

Span = tuple[int, int]
"""First moment and first moment after."""


class RepairLedger(Protocol):
    """A sink's ledger, and the way for rows into its tables."""

    name: str

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Release the connection; never raises."""

    async def shard_gaps(self, instrument_ids: Sequence[str]) -> list[Gap]:
        """Return the open gaps of these instruments, the oldest first."""

    async def settled_gaps(self, instrument_ids: Sequence[str]) -> dict[ChannelKey, SettledGaps]:
        """Return what became of these instruments' gaps, by instrument_id and channel."""

    async def begin(self, gaps: Sequence[Gap]) -> None:
        """Say of gaps that they are being filled."""

    async def give_up(self, gaps: Sequence[tuple[Gap, str]]) -> None:
        """Say of gaps why they can never be filled."""

    async def span(self, gap: Gap) -> Span:
        """Return times between which all lies that a gap lacks."""

    async def close_backfilled(self, gap: Gap, span: Span) -> int:
        """Mark a gap as filled when a Backfill brought all of it; return its rows, else 0."""

    async def write(self, batch: Batch) -> Written:
        """Write rows and what becomes of gaps, all of it or nothing."""
