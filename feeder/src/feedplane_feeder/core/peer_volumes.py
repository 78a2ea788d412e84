"""Peer volumes: which snapshots another account's line has on the tape and this line never had.

A snapshot bears no number, so one that was missed shows only as a jump in volume, and so does any
trade. But where several lines write one tape, a volume that stands on it between two of ours and
that we never had is a snapshot that somebody else was sent. Counted in slices of time, and only
where this line's channel was unbroken over all of a slice: what an interruption cost has a gap of
its own. What no line was sent cannot be told. Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from feedplane_feeder.records import ChannelKind, Record, Snapshot

SLICE_SECONDS: Final = 10
SLICE_NS: Final = SLICE_SECONDS * 1_000_000_000
LOOK_BACK: Final = 6
"""Slices before the newest one that are looked at; what comes late enough to be older is not."""

Span = tuple[int, int]
"""ts_event of the first and the last snapshot between which this line missed none that it knows."""


@dataclass(slots=True)
class Slice:
    """What this line had of one instrument in ten seconds."""

    instrument_id: str
    number: int
    """Since the Unix epoch."""
    volumes: int = 0
    """Different ones; at least as many as there were, so that what is missing is not overstated."""
    last: int = -1


class VolumeTally:
    """This line's volumes of late, slice by slice."""

    def __init__(self) -> None:
        self.missed = 0
        """Found so far: at least so many snapshots were missed."""
        self._slices: dict[str, dict[int, Slice]] = {}
        self._next: dict[str, int] = {}

    def note(self, records: Iterable[Record]) -> None:
        """Take in what passed the checks."""
        for record in records:
            if type(record) is Snapshot:
                number = record.ts_event // SLICE_NS
                counted = self._slice(record.instrument_id, number)
                if counted.last != record.volume:
                    counted.volumes += 1
                    counted.last = record.volume

    def collect(self, spans: Callable[[str, str], Sequence[Span]]) -> list[Slice]:
        """Return the slices that are over by now and were unbroken, each once.

        They go on counting what comes late.
        """
        found: list[Slice] = []
        for instrument_id, slices in self._slices.items():
            newest = max(slices)
            first = max(self._next.get(instrument_id, min(slices)), newest - LOOK_BACK)
            unbroken = spans(instrument_id, ChannelKind.SNAPSHOT.value)
            found += [
                self._slice(instrument_id, number)
                for number in range(first, newest)
                if any(_lies_within(number, span) for span in unbroken)
            ]
            self._next[instrument_id] = newest
            for number in [number for number in slices if number < newest - LOOK_BACK]:
                del slices[number]
        return found

    def compare(
        self, slices: Iterable[Slice], held: Mapping[tuple[str, int], int]
    ) -> dict[str, int]:
        """Return how many volumes of the tape this line lacks, by instrument, and count them.

        `held` has the different volumes on the tape by instrument_id and slice.
        """
        lacking: dict[str, int] = {}
        for each in slices:
            more = held.get((each.instrument_id, each.number), 0) - each.volumes
            if more > 0:
                lacking[each.instrument_id] = lacking.get(each.instrument_id, 0) + more
        self.missed += sum(lacking.values())
        return lacking

    def _slice(self, instrument_id: str, number: int) -> Slice:
        slices = self._slices.setdefault(instrument_id, {})
        found = slices.get(number)
        if found is None:
            found = slices[number] = Slice(instrument_id, number)
        return found


def _lies_within(number: int, span: Span) -> bool:
    return span[0] <= number * SLICE_NS and (number + 1) * SLICE_NS <= span[1]
