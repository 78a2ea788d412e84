"""Two accounts that both take themselves for active, seen often enough to be worth a word.

For a moment that is how a takeover looks; sinks refuse the second copies, so it harms nothing.
Must not know how often feeders are asked.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from feedplane_api.worker import FeederStatus

LOOKS: Final = 3
"""So many looks in a row make it a conflict."""


def count_conflicts(before: Mapping[int, int], reports: Iterable[FeederStatus]) -> dict[int, int]:
    """Return for each shard with two publishers in how many looks in a row there were two."""
    epochs: dict[int, set[int]] = {}
    for report in reports:
        if report.election.active:
            epochs.setdefault(report.shard, set()).add(report.election.epoch)
    return {
        shard: min(before.get(shard, 0) + 1, LOOKS)
        for shard, found in sorted(epochs.items())
        if len(found) > 1
    }


def find_conflicts(counts: Mapping[int, int]) -> frozenset[int]:
    """Return the shards whose two publishers have stayed."""
    return frozenset(shard for shard, looks in counts.items() if looks >= LOOKS)
