"""A chunk while it is being fetched: what came of it, whether that is all, and what is lacking.

Pure. Must not know where rows come from.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from feedplane_feeder.core.chunks import Chunk, expected_rows
from feedplane_feeder.core.history import ArchiveFile, HistoryRow
from feedplane_feeder.core.missing import Hole, find_holes, find_runs
from feedplane_feeder.core.ports import Written
from feedplane_feeder.records import ChannelKind


@dataclass(slots=True)
class Part:
    """One chunk and what is known of it so far."""

    chunk: Chunk
    rows: int = 0
    """Rows the archive brought."""
    covered_ns: int = 0
    """How much of its time whole files covered."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """Numbers that came, where there are any, as runs without a hole."""
    written: Written = field(default_factory=Written)
    sources: list[str] = field(default_factory=list)
    checksum: str | None = None
    settled: bool = False
    """Whether nothing more can be had of it."""
    lacking: int = 0
    """Rows that are known to exist and did not come."""
    reason: str = ""
    message: str = ""
    retry: bool = False
    """Whether another try may help."""
    archive_broken: bool = False
    """Whether the archive could not give what it may well have."""

    @property
    def covered(self) -> bool:
        """Whether whole files covered all of its time."""
        return self.covered_ns >= self.chunk.end_ns - self.chunk.start_ns

    def begin(self) -> None:
        """Forget what files of an earlier try brought; it is fetched again."""
        self.rows = self.covered_ns = self.lacking = 0
        self.runs = []
        self.archive_broken = False

    def failed(self, reason: str, message: str, *, retry: bool) -> None:
        """Note why it could not be fetched this time."""
        self.reason, self.message, self.retry = reason, message, retry

    def settle(self) -> None:
        """Note that all there is of it came; what was wrong on the way is kept."""
        self.settled, self.retry = True, False

    def came_from(self, source: str) -> None:
        """Note where rows came from."""
        if source not in self.sources:
            self.sources.append(source)


@dataclass(slots=True)
class Found:
    """What one file or page brought for one part, until it is written."""

    rows: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)


def split_rows(
    rows: list[HistoryRow], parts: Sequence[Part], *, inclusive_end: bool = False
) -> list[tuple[Part, list[HistoryRow]]]:
    """Return rows by the part their time falls into; what falls into none is left out.

    With `inclusive_end` a part takes a row of the very moment it ends, too.
    """
    if not rows:
        return []
    times = [row[0] for row in rows]
    if any(map(int.__gt__, times, times[1:])):
        rows = sorted(rows, key=lambda row: row[0])
        times = [row[0] for row in rows]
    split = []
    for part in parts:
        start = bisect_left(times, part.chunk.start_ns // 1000)
        end = bisect_left(times, part.chunk.end_ns // 1000 + inclusive_end)
        if end > start:
            split.append((part, rows[start:end]))
    return split


def note_rows(found: Found, channel: str, rows: Sequence[HistoryRow]) -> None:
    """Count rows of a part, and the numbers they have."""
    found.rows += len(rows)
    if channel != ChannelKind.TRADE:
        return
    for first, last in find_runs([int(row[1]) for row in rows]):
        if found.runs and found.runs[-1][1] + 1 == first:
            found.runs[-1] = (found.runs[-1][0], last)
        else:
            found.runs.append((first, last))


def overlap_ns(file: ArchiveFile, chunk: Chunk) -> int:
    """Return how much of a chunk's time a file covers."""
    return max(0, min(file.end_ns, chunk.end_ns) - max(file.start_ns, chunk.start_ns))


def is_whole(part: Part) -> bool:
    """Tell whether files brought every row that the time alone leads one to expect."""
    chunk = part.chunk
    expected = expected_rows(chunk.channel, chunk.start_ns, chunk.end_ns)
    return part.covered and (expected is None or part.rows >= expected)


def neighbours(parts: Sequence[Part]) -> list[list[Part]]:
    """Return parts in groups without time between their members."""
    groups: list[list[Part]] = []
    for part in parts:
        if groups and groups[-1][-1].chunk.end_ns == part.chunk.start_ns:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def holes_of(
    group: Sequence[Part], first_id: int | None, end_id: int | None
) -> list[tuple[Part, Hole]]:
    """Return the numbers missing in neighbouring parts, each with the part it is counted to.

    `first_id` is the first number of their time and `end_id` the first one after it, where the
    venue told them.
    """
    runs = [run for part in group for run in part.runs]
    if first_id is not None and (end_id is not None or runs):
        begun = [(first_id - 1, first_id - 1)]
    else:
        begun = []
    placed = []
    for hole in find_holes([*begun, *runs], end_id):
        owner = next(
            (part for part in reversed(group) if part.runs and part.runs[0][0] <= hole.first_id),
            group[0],
        )
        placed.append((owner, hole))
    return placed
