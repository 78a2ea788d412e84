"""Batches: what goes to a sink in one write, and what the sink says of it.

Read through `core.ports`, beside the ports that use it. Must not know queues or stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from feedplane_feeder.core.evidence import Repaired
from feedplane_feeder.records import Gap, Quarantined, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSession:
    """A time during which this feeder published; told at its start and again at its end."""

    epoch: int
    reason: str
    started_at: int
    ended_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """How a promoted line continues what a sink holds."""

    at_ns: int
    cause: str
    """What a hole before the first record is put down to."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """Per instrument, the sequence of the quote that passed before the first one to come."""


NO_EPOCH: Final = 0
"""Of a feeder without election; nothing refuses what it offers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What goes to a sink in one write; gaps and quarantine ride along in the same order."""

    records: Sequence[Record] = ()
    gaps: Sequence[Gap] = ()
    quarantined: Sequence[Quarantined] = ()
    publishers: Sequence[PublisherSession] = ()
    replayed: bool = False
    """True when much of it may be known already (spill, standby buffer, second line)."""
    contested: bool = False
    """Another line writes the same at the same time."""
    epoch: int = NO_EPOCH
    """Under which its book deltas are offered; once the sink knows a newer one, it refuses them."""
    repaired: Sequence[Repaired] = ()
    """What becomes of gaps whose missing records are among these."""
    takeover: "Takeover | None" = None
    """Set where this line's tape continues another one's: in the first batch of a promotion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a sink did with a batch: counted, never guessed."""

    new: int = 0
    updated: int = 0
    """Bars that replaced an older version of themselves, or were replaced within the batch."""
    duplicate: int = 0
    quarantined: int = 0
    fenced: int = 0
    """Book deltas refused, because another line publishes the book by now."""
    covered: tuple[Gap, ...] = ()
    """Gaps of a contested batch that got no row: another line's records are there."""

    def __add__(self, other: "Written") -> "Written":
        return Written(
            new=self.new + other.new,
            updated=self.updated + other.updated,
            duplicate=self.duplicate + other.duplicate,
            quarantined=self.quarantined + other.quarantined,
            fenced=self.fenced + other.fenced,
            covered=self.covered + other.covered,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The last of a channel that a sink holds."""

    sequence: int | None
    """trade_id, sequence or last_id; None where the channel has none."""
    ts_event: int
    ts_recv: int | None = None
    """When it was received, where the sink can tell."""
