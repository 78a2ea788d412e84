"""Bar track: which bars of one channel came, and which are missing for now.

A bar whose final update never came is missing as much as one that never began. Where nothing
interrupted the channel, that update may only be late: the hole becomes a gap when it stayed open
for the grace period, and bars beyond it wait so long. Pure; must not know batches or sinks.
"""

from collections import deque
from typing import Final

from feedplane_feeder.core.intervals import next_open_ns, previous_open_ns
from feedplane_feeder.core.sequence import GRACE_NS, Hole
from feedplane_feeder.core.taken import Taken, count_in
from feedplane_feeder.core.tracks import SEQUENCE, Track
from feedplane_feeder.records import Bar, ChannelKind, Gap

KIND: Final = ChannelKind.BAR.value
RECENT_FINALS: Final = 64


class BarTrack(Track):
    """One bar channel."""

    __slots__ = ("_finals", "_held", "_holes", "bar")

    def __init__(self) -> None:
        super().__init__()
        self.bar: Bar | None = None
        """The newest one."""
        self._finals: deque[int] = deque(maxlen=RECENT_FINALS)
        """ts_open of final bars that came."""
        self._holes: list[Hole] = []
        """By ts_open of the first and the last bar missing."""
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
                self._take_late(taken, bar)
                return
            if bar.ts_open > last.ts_open:
                if dense or self.cause is not SEQUENCE:
                    self._find_hole(taken, last, bar, now_ns)
            elif last.final or bar.ts_event < last.ts_event:
                count_in(taken.duplicates, KIND)
                return
            elif _repeats(last, bar):
                return
        self.bar = bar
        if self.ends_doubt(now_ns):
            self.cause = SEQUENCE
        self._keep(taken, bar)

    def expire(self, taken: Taken, now_ns: int, *, everything: bool = False) -> None:
        """Name the holes that stayed open for the grace period."""
        if not self._holes:
            return
        left = []
        for hole in self._holes:
            if everything or hole.since_ns + GRACE_NS <= now_ns:
                self._name(taken, hole, now_ns)
            else:
                left.append(hole)
        self._holes = left
        self._release(taken)

    def _take_late(self, taken: Taken, bar: Bar) -> None:
        if bar.ts_open in self._finals:
            count_in(taken.duplicates, KIND)
            return
        count_in(taken.out_of_order, KIND)
        # What a later update of it will say, or did, is more than this one.
        if bar.final:
            self._fill(bar)
            self._keep(taken, bar)
            self._release(taken)

    def _find_hole(self, taken: Taken, last: Bar, bar: Bar, now_ns: int) -> None:
        interval = bar.interval
        first = next_open_ns(last.ts_open, interval) if last.final else last.ts_open
        newest = previous_open_ns(bar.ts_open, interval)
        if first > newest:
            return
        hole = Hole(first, newest, now_ns, self.cause)
        if self.cause is SEQUENCE:
            self._holes.append(hole)
        else:
            self._name(taken, hole, now_ns)

    def _fill(self, bar: Bar) -> None:
        at, left = bar.ts_open, []
        for hole in self._holes:
            if not hole.first <= at <= hole.last:
                left.append(hole)
                continue
            if hole.first < at:
                before = previous_open_ns(at, bar.interval)
                left.append(Hole(hole.first, before, hole.since_ns, hole.cause))
            if hole.last > at:
                after = next_open_ns(at, bar.interval)
                left.append(Hole(after, hole.last, hole.since_ns, hole.cause))
        self._holes = left

    def _keep(self, taken: Taken, bar: Bar) -> None:
        if bar.final:
            self._finals.append(bar.ts_open)
        if self._holes:
            self._held.append(bar)
        else:
            taken.records.append(bar)
            count_in(taken.counts, KIND)

    def _release(self, taken: Taken) -> None:
        if not self._holes and self._held:
            self._held.sort(key=_opening)
            taken.records.extend(self._held)
            count_in(taken.counts, KIND, len(self._held))
            self._held = []

    def _name(self, taken: Taken, hole: Hole, now_ns: int) -> None:
        assert self.bar is not None  # noqa: S101 - a hole lies between two bars
        taken.gaps.append(
            Gap(
                instrument_id=self.bar.instrument_id,
                channel=f"{KIND}-{self.bar.interval}",
                cause=hole.cause,
                detected_at=now_ns,
                from_ts=hole.first,
                to_ts=hole.last,
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
