"""Bar track: which bars of one channel came, and which are missing for now.

A bar whose final update never came is missing as much as one that never began. Where nothing
interrupted the channel, that update may only be late: the hole becomes a gap when it stayed open
for the grace period, and bars beyond it wait so long. Pure; must not know batches or sinks.
"""

from collections import deque
from typing import Final

from feedplane_feeder.core.intervals import next_open_ns, previous_open_ns
from feedplane_feeder.core.sequence import Hole, Sequence
from feedplane_feeder.core.taken import Taken, count_in
from feedplane_feeder.core.tracks import SEQUENCE, Track
from feedplane_feeder.records import Bar, ChannelKind, Gap

KIND: Final = ChannelKind.BAR.value
RECENT_FINALS: Final = 64


class BarTrack(Track):
    """One bar channel."""

    __slots__ = ("_finals", "_held", "_sequence", "bar")

    def __init__(self) -> None:
        super().__init__()
        self.bar: Bar | None = None
        """The newest one."""
        self._finals: deque[int] = deque(maxlen=RECENT_FINALS)
        """ts_open of final bars that came."""
        self._sequence = Sequence()
        """A bar is the nanoseconds from its opening to the next one; final ones have been seen."""
        self._held: list[Bar] = []

    def take_into(self, taken: Taken, bar: Bar, now_ns: int, *, dense: bool) -> None:
        """Book a bar: every update is checked, and only one that says something new goes on.

        Where bars are not `dense`, as the venue makes none without a trade, a missing one tells
        of nothing unless the channel was interrupted.
        """
        self.ts_recv = now_ns
        last = self.bar
        if last is not None:
            if bar.ts_open < last.ts_open:
                self._take_late(taken, bar, now_ns)
                return
            if bar.ts_open == last.ts_open:
                if last.final or bar.ts_event < last.ts_event:
                    count_in(taken.duplicates, KIND)
                    return
                if _repeats(last, bar):
                    return
        self._advance(taken, bar, now_ns, dense=dense)
        self.bar = bar
        if self.ends_doubt(now_ns):
            self.cause = SEQUENCE
        self._keep(taken, bar)

    def expire(self, taken: Taken, now_ns: int, *, everything: bool = False) -> None:
        """Name the holes that stayed open for the grace period."""
        if holes := self._sequence.expire(now_ns, everything=everything):
            for hole in holes:
                self._name(taken, hole, now_ns)
            self._release(taken)

    def _take_late(self, taken: Taken, bar: Bar, now_ns: int) -> None:
        if bar.ts_open in self._finals:
            count_in(taken.duplicates, KIND)
            return
        count_in(taken.out_of_order, KIND)
        # What a later update of it will say, or did, is more than this one.
        if bar.final:
            after = next_open_ns(bar.ts_open, bar.interval)
            self._sequence.place(bar.ts_open - 1, after - 1, now_ns, self.cause)
            self._keep(taken, bar)
            self._release(taken)

    # Takes in what lies before a bar, and of the bar itself what no later update will change.
    def _advance(self, taken: Taken, bar: Bar, now_ns: int, *, dense: bool) -> None:
        sequence, at, cause = self._sequence, bar.ts_open, self.cause
        expected = sequence.next
        if expected is not None and expected <= previous_open_ns(at, bar.interval):
            if cause is not SEQUENCE:
                self._name(taken, Hole(expected, at - 1, now_ns, cause), now_ns)
            elif dense:
                sequence.place(at - 1, at - 1, now_ns, cause)
        sequence.next = next_open_ns(at, bar.interval) if bar.final else at

    def _keep(self, taken: Taken, bar: Bar) -> None:
        if bar.final:
            self._finals.append(bar.ts_open)
        if self._sequence.first_missing is not None:
            self._held.append(bar)
        else:
            taken.records.append(bar)
            count_in(taken.counts, KIND)

    def _release(self, taken: Taken) -> None:
        if self._held and self._sequence.first_missing is None:
            self._held.sort(key=_opening)
            taken.records.extend(self._held)
            count_in(taken.counts, KIND, len(self._held))
            self._held = []

    def _name(self, taken: Taken, hole: Hole, now_ns: int) -> None:
        assert self.bar is not None  # noqa: S101 - a hole lies between two bars
        interval = self.bar.interval
        taken.gaps.append(
            Gap(
                instrument_id=self.bar.instrument_id,
                channel=f"{KIND}-{interval}",
                cause=hole.cause,
                detected_at=now_ns,
                from_ts=hole.first,
                to_ts=previous_open_ns(hole.last + 1, interval),
            )
        )


def _repeats(last: Bar, bar: Bar) -> bool:
    return (
        last.trade_count == bar.trade_count
        and last.final == bar.final
        and last.volume == bar.volume
        and (last.open, last.high, last.low, last.close) == (bar.open, bar.high, bar.low, bar.close)
    )


def _opening(bar: Bar) -> int:
    return bar.ts_open
