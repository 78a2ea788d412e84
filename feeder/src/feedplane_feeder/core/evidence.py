"""Evidence: what a venue's own history says about a gap, and the ledger rows that come of it.

Rows that came fill their part. A part that lies between two rows of one answer is not in the
venue's own history: nobody can fill it. What lies before the first row or behind the last one is
not decided, because a history may begin late or end early. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.records import Gap

BY_REST: Final = "rest"
BY_BACKFILL: Final = "backfill"


class Unfillable(StrEnum):
    """Why a gap can never be filled."""

    VENUE = "venue"
    """The venue's own history lacks it too."""
    NO_HISTORY = "venue-has-no-history"
    """The venue hands out no past of this channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a gap, as its ledger row will say; open when neither filled nor unfillable."""

    gap: Gap
    rows: int = 0
    filled_by: str | None = None
    reason: str | None = None

    @property
    def open(self) -> bool:
        """Whether nothing is decided."""
        return self.filled_by is None and self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What became of an open gap; rides in the batch that holds its rows."""

    gap: Gap
    pieces: tuple[Piece, ...]

    @property
    def filled(self) -> tuple[Piece, ...]:
        """What was filled of it."""
        return tuple(piece for piece in self.pieces if piece.filled_by is not None)

    @property
    def given_up(self) -> tuple[Piece, ...]:
        """What of it can never be filled."""
        return tuple(piece for piece in self.pieces if piece.reason is not None)

    @property
    def left(self) -> tuple[Piece, ...]:
        """What of it is still open."""
        return tuple(piece for piece in self.pieces if piece.open)

    @property
    def settled(self) -> bool:
        """Whether nothing of it is open any more."""
        return not self.left

    @property
    def unchanged(self) -> bool:
        """Whether nothing was learned."""
        return len(self.pieces) == 1 and self.pieces[0].open


def count_ids(gap: Gap) -> int:
    """Return how many numbers a gap names; none where it is told by times."""
    if gap.from_id is None or gap.to_id is None:
        return 0
    return gap.to_id - gap.from_id + 1


def judge_ids(gap: Gap, ids: Sequence[int], *, proves: bool) -> Repaired:
    """Judge a gap with numbers by all numbers of the answers, which rise.

    `proves` says whether a number that the answers pass over counts as lacking at the venue.
    """
    assert gap.from_id is not None  # noqa: S101 - the caller looks
    assert gap.to_id is not None  # noqa: S101
    runs = _runs(gap.from_id, gap.to_id, ids)
    pieces = tuple(
        _piece(replace(gap, from_id=first, to_id=last), last - first + 1, fate, proves=proves)
        for first, last, fate in runs
    )
    return Repaired(gap=gap, pieces=pieces)


def judge_bars(gap: Gap, opens: Sequence[int], *, proves: bool) -> Repaired:
    """Judge a gap of bars by the open times of the answers, which rise."""
    expected = list_opens(gap)
    places = {ts_open: place for place, ts_open in enumerate(expected)}
    seen = [places[ts_open] for ts_open in opens if ts_open in places]
    # What stands before and behind the gap only has to be known to be there.
    if opens and opens[0] < expected[0]:
        seen.insert(0, -1)
    if opens and opens[-1] > expected[-1]:
        seen.append(len(expected))
    pieces = tuple(
        _piece(
            replace(gap, from_ts=expected[first], to_ts=expected[last]),
            last - first + 1,
            fate,
            proves=proves,
        )
        for first, last, fate in _runs(0, len(expected) - 1, seen)
    )
    return Repaired(gap=gap, pieces=pieces)


def judge_time(gap: Gap, rows: int) -> Repaired:
    """Judge a gap in time of a channel without numbers: all that the venue has of it came."""
    return Repaired(gap=gap, pieces=(Piece(gap=gap, rows=rows, filled_by=BY_REST),))


def list_opens(gap: Gap) -> list[int]:
    """Return the open times of a gap of bars."""
    assert gap.from_ts is not None  # noqa: S101 - gaps of bars have times
    assert gap.to_ts is not None  # noqa: S101
    interval = gap.channel.removeprefix("bar-")
    opens = [gap.from_ts]
    while (following := next_open_ns(opens[-1], interval)) <= gap.to_ts:
        opens.append(following)
    return opens


class _Fate(StrEnum):
    CAME = "came"
    ABSENT = "absent"
    UNKNOWN = "unknown"


# The runs of `first..last` that came, that the venue passes over, and that nothing is known of.
# What is missing lies between two numbers seen, so that each run of it is one or the other.
def _runs(first: int, last: int, seen: Sequence[int]) -> list[tuple[int, int, _Fate]]:
    inside = seen[bisect_left(seen, first) : bisect_right(seen, last)]
    runs: list[tuple[int, int, _Fate]] = []
    start = first
    for number in (*inside, last + 1):
        if number > start:
            between = bool(seen) and seen[0] < start and seen[-1] >= number
            runs.append((start, number - 1, _Fate.ABSENT if between else _Fate.UNKNOWN))
        if number <= last:
            _add_one(runs, number)
        start = number + 1
    return runs


def _add_one(runs: list[tuple[int, int, _Fate]], number: int) -> None:
    first, before, fate = runs[-1] if runs else (number, number, _Fate.UNKNOWN)
    if fate is _Fate.CAME and before == number - 1:
        runs[-1] = (first, number, _Fate.CAME)
    else:
        runs.append((number, number, _Fate.CAME))


def _piece(gap: Gap, rows: int, fate: _Fate, *, proves: bool) -> Piece:
    if fate is _Fate.CAME:
        return Piece(gap=gap, rows=rows, filled_by=BY_REST)
    if fate is _Fate.ABSENT and proves:
        return Piece(gap=gap, reason=Unfillable.VENUE.value)
    return Piece(gap=gap)
