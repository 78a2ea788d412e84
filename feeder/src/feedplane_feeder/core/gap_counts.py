"""How many gaps a feed has, as its status tells: a ledger's word where one is read.

A ledger is everybody's: another account, a Backfill and this process in an earlier life filled gaps
of it, too. What became of them is read now and then, and what this process settles is added
meanwhile. Pure.
"""

from collections.abc import Iterable, Mapping
from operator import add, sub
from typing import Final, NamedTuple

from feedplane_api.worker import GapCount
from feedplane_feeder.core.evidence import Piece, Repaired, count_ids
from feedplane_feeder.core.restart import ChannelKey
from feedplane_feeder.instruments import parse_instrument_id
from feedplane_feeder.records import ChannelKind, Gap


class OpenGaps(NamedTuple):
    """Gaps of one series that wait to be filled."""

    gaps: int = 0
    ids: int = 0
    """Of those that are named by numbers."""


class SettledGaps(NamedTuple):
    """Gaps of one series that wait for nothing any more."""

    filled: int = 0
    given_up: int = 0
    ids: int = 0
    """Of those given up that are named by numbers."""

    def plus(self, other: "SettledGaps") -> "SettledGaps":
        """Return both together."""
        return SettledGaps(*map(add, self, other))

    def minus(self, other: "SettledGaps") -> "SettledGaps":
        """Return what these are more."""
        return SettledGaps(*map(sub, self, other))


NONE_OPEN: Final = OpenGaps()
NONE_SETTLED: Final = SettledGaps()


class GapCounts:
    """The gaps of one feeder's series."""

    def __init__(self) -> None:
        self._named: dict[ChannelKey, int] = {}
        self._settled: dict[ChannelKey, SettledGaps] = {}
        self._elsewhere: dict[ChannelKey, SettledGaps] = {}
        """What others settled, or this process in an earlier life."""
        self._open: dict[ChannelKey, OpenGaps] | None = None

    def name(self, gap: Gap) -> None:
        """Count a gap that was found."""
        key = _key(gap)
        self._named[key] = self._named.get(key, 0) + 1

    def fill(self, gap: Gap) -> None:
        """Count a gap that another line or a replay filled."""
        key = _key(gap)
        heard = self._settled.get(key, NONE_SETTLED)
        filled = min(self._named.get(key, 0), heard.filled + 1)
        self._settled[key] = heard._replace(filled=filled)

    def repair(self, repaired: Repaired) -> None:
        """Count what became of an open gap of the ledger."""
        key, given_up, left = _key(repaired.gap), repaired.given_up, repaired.left
        learned = SettledGaps(len(repaired.filled), len(given_up), _sum_ids(given_up))
        self._settled[key] = self._settled.get(key, NONE_SETTLED).plus(learned)
        if self._open is not None and key in self._open:
            gaps, ids = self._open[key]
            ids += _sum_ids(left) - count_ids(repaired.gap)
            self._open[key] = OpenGaps(gaps - 1 + len(left), ids)

    def recount_open(self, gaps: Iterable[Gap] | None) -> None:
        """Take over what a ledger has open; None when nobody reads it any more."""
        found: dict[ChannelKey, OpenGaps] = {}
        for gap in gaps or ():
            count, ids = found.get(_key(gap), NONE_OPEN)
            found[_key(gap)] = OpenGaps(count + 1, ids + count_ids(gap))
        self._open = None if gaps is None else found

    def recount_settled(self, settled: Mapping[ChannelKey, SettledGaps]) -> None:
        """Take over what a ledger has settled, whoever did it."""
        self._elsewhere = {
            key: settled.get(key, NONE_SETTLED).minus(self._settled.get(key, NONE_SETTLED))
            for key in {*settled, *self._settled}
        }

    def list_all(self) -> tuple[GapCount, ...]:
        """Return them by instrument and channel, without those that never had a gap."""
        keys = {*self._named, *self._settled, *self._elsewhere, *(self._open or ())}
        counts = (self._count(key) for key in sorted(keys))
        return tuple(count for count in counts if count.open or count.filled or count.unfillable)

    def _count(self, key: ChannelKey) -> GapCount:
        heard = self._settled.get(key, NONE_SETTLED)
        filled, given_up, lost = heard.plus(self._elsewhere.get(key, NONE_SETTLED))
        missing: int | None = None
        if self._open is None:
            opened = self._named.get(key, 0) - heard.filled - heard.given_up
        else:
            opened, ids = self._open.get(key, NONE_OPEN)
            # The numbers of a book count changes of its levels, not rows.
            missing = ids + lost if key[1] == ChannelKind.TRADE else 0
        return GapCount(
            symbol=parse_instrument_id(key[0]).symbol,
            channel=key[1],
            open=max(0, opened),
            filled=filled,
            unfillable=given_up,
            missing=missing,
        )


def _key(gap: Gap) -> ChannelKey:
    return gap.instrument_id, gap.channel


def _sum_ids(pieces: Iterable[Piece]) -> int:
    return sum(count_ids(piece.gap) for piece in pieces)
