"""Whose turn it is: Backfills that wait for workers, the one that waits longest first.

Workers of Jobs are counted as the cache has them; those of a Job that is being written are
counted here meanwhile. Nobody overtakes, so a large one is not starved by small ones.
"""

import bisect
from collections.abc import Mapping
from typing import Final

from feedplane_operator.cache import Owner
from feedplane_operator.core.plan import Manifest
from feedplane_operator.metrics import BACKFILL_WORKERS, BACKFILLS_WAITING

Turn = tuple[str, str, str]
_NEVER: Final = "9999"


class Admissions:
    """Who runs, who is about to, and who waits."""

    def __init__(self, most_workers: int) -> None:
        self.most_workers = most_workers
        self._starting: dict[Owner, int] = {}
        self._waiting: list[Turn] = []
        self._turns: dict[Owner, Turn] = {}

    def free_workers(self, owner: Owner, running: Mapping[Owner, int]) -> int:
        """Return the workers that others leave to a Backfill."""
        taken = sum(count for other, count in running.items() if other != owner)
        coming = sum(
            count
            for other, count in self._starting.items()
            if other != owner and other not in running
        )
        return self.most_workers - taken - coming

    def is_first(self, backfill: Manifest) -> bool:
        """Return whether no other one has waited longer than this one."""
        return not self._waiting or turn_of(backfill) <= self._waiting[0]

    def start(self, owner: Owner, workers: int) -> None:
        """Take down that a Backfill's turn has come."""
        self.leave(owner)
        self._starting[owner] = workers

    def started(self, owner: Owner) -> None:
        """Take down that its Job was written, or could not be."""
        self._starting.pop(owner, None)

    def wait(self, backfill: Manifest) -> None:
        """Take down that a Backfill waits."""
        turn = turn_of(backfill)
        owner = (turn[1], turn[2])
        if self._turns.get(owner) == turn:
            return
        self.leave(owner)
        self._turns[owner] = turn
        bisect.insort(self._waiting, turn)
        BACKFILLS_WAITING.set(len(self._waiting))

    def leave(self, owner: Owner) -> None:
        """Take down that a Backfill waits no longer."""
        turn = self._turns.pop(owner, None)
        if turn is not None:
            del self._waiting[bisect.bisect_left(self._waiting, turn)]
            BACKFILLS_WAITING.set(len(self._waiting))

    def next(self, running: Mapping[Owner, int]) -> Owner | None:
        """Return who is to be looked at: the first in the queue, while any worker is free."""
        taken = sum(running.values()) + sum(self._starting.values())
        BACKFILL_WORKERS.set(sum(running.values()))
        if not self._waiting or taken >= self.most_workers:
            return None
        _, namespace, name = self._waiting[0]
        return namespace, name


def turn_of(backfill: Manifest) -> Turn:
    """Return a Backfill's place in the queue: by its age, then by its name."""
    metadata = backfill["metadata"]
    created = metadata.get("creationTimestamp") or _NEVER
    return created, metadata.get("namespace", ""), metadata["name"]
