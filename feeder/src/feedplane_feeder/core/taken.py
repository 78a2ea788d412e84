"""Taken: what a batch of records came to, once each was judged against its channel."""

from dataclasses import dataclass, field

from feedplane_feeder.records import Gap, Quarantined, Record


@dataclass(slots=True)
class Taken:
    """What a batch of records came to."""

    records: list[Record] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    resyncs: list[str] = field(default_factory=list)
    """instrument_ids whose book needs a snapshot."""
    counts: dict[str, int] = field(default_factory=dict)
    """Records taken, per channel kind."""
    duplicates: dict[str, int] = field(default_factory=dict)
    out_of_order: dict[str, int] = field(default_factory=dict)


def count_in(counts: dict[str, int], kind: str, number: int = 1) -> None:
    """Add to a count; nothing leaves no trace."""
    if number:
        counts[kind] = counts.get(kind, 0) + number
