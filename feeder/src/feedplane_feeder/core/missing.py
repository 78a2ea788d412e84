"""What is missing: chunks against what the database holds of them, by count and by number.

A chunk is there when its bars are as many as its time has intervals; or when its trades are one
chain of numbers that its neighbours continue; or when an earlier fetch counted its rows and they
are still that many. Anything else is fetched. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from feedplane_feeder.core.chunks import Chunk, expected_rows
from feedplane_feeder.records import ChannelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the database holds of one chunk."""

    rows: int = 0
    """Final bars, trades or metric values."""
    first_id: int | None = None
    last_id: int | None = None

    @property
    def unbroken(self) -> bool:
        """Whether its numbers are one chain."""
        if self.first_id is None or self.last_id is None:
            return False
        return self.last_id - self.first_id + 1 == self.rows


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers that are missing, both ends included."""

    first_id: int
    last_id: int

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.last_id - self.first_id + 1


def find_missing(
    chunks: Sequence[Chunk], held: Mapping[int, Held], known: Mapping[int, int]
) -> tuple[Chunk, ...]:
    """Return the chunks that are not wholly there.

    `held` is what the database holds and `known` how many rows an earlier fetch of a chunk
    counted, both by the chunk's number.
    """
    return tuple(chunk for chunk in chunks if not _is_there(chunk, held, known))


def find_holes(found: Iterable[tuple[int, int]], end_id: int | None = None) -> tuple[Hole, ...]:
    """Return the numbers between runs of numbers, each run given by its first and last.

    `end_id` is the number that would come after the last run, where it is known.
    """
    holes: list[Hole] = []
    after: int | None = None
    for first, last in sorted(found):
        if after is not None and first > after:
            holes.append(Hole(after, first - 1))
        after = max(after or 0, last + 1)
    if after is not None and end_id is not None and end_id > after:
        holes.append(Hole(after, end_id - 1))
    return tuple(holes)


def find_runs(ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return rising numbers as runs without a hole, each by its first and last."""
    if not ids:
        return ()
    # Nearly always there is none, which this tells without looking at each.
    if ids[-1] - ids[0] + 1 == len(ids):
        return ((ids[0], ids[-1]),)
    runs: list[tuple[int, int]] = []
    start = previous = ids[0]
    for number in ids[1:]:
        if number > previous + 1:
            runs.append((start, previous))
            start = number
        previous = max(previous, number)
    return (*runs, (start, previous))


def _is_there(chunk: Chunk, held: Mapping[int, Held], known: Mapping[int, int]) -> bool:
    mine = held.get(chunk.number, NOTHING)
    expected = expected_rows(chunk.channel, chunk.start_ns, chunk.end_ns)
    if expected is not None and mine.rows >= expected:
        return True
    counted = known.get(chunk.number)
    if counted is not None and mine.rows >= counted:
        return True
    if chunk.channel != ChannelKind.TRADE or not mine.unbroken:
        return False
    before, after = held.get(chunk.number - 1, NOTHING), held.get(chunk.number + 1, NOTHING)
    return (
        before.last_id is not None
        and after.first_id is not None
        and before.last_id + 1 == mine.first_id
        and after.first_id - 1 == mine.last_id
    )
