"""The referee of a merged tape: what simulated fronts emitted against the rows that came of it.

A front's snapshots bear no numbers, but its volume rises with each, so that instrument and volume
name one. Kept small enough for hours: two numbers for each snapshot.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from feedplane_simulator.events import VenueEvent
from feedplane_simulator.truth import Truth

Row = tuple[int, int, str]
"""ts_event in nanoseconds, volume and trading day of one row."""
Window = tuple[int, int | None]
"""A line's subscription: after which snapshot of the instrument, and until which."""


class _Facts(msgspec.Struct):
    ts_event: int
    volume: int
    trading_day: str


_read = msgspec.json.Decoder(_Facts).decode


@dataclass(slots=True)
class Emissions:
    """What one instrument printed; the first snapshot is number 1."""

    times: "array[int]" = field(default_factory=lambda: array("q"))
    volumes: "array[int]" = field(default_factory=lambda: array("q"))
    days: set[str] = field(default_factory=set)

    def time_of(self, volume: int) -> int | None:
        """Return ts_event of the snapshot with a volume, None when there was none."""
        at = bisect_left(self.volumes, volume)
        found = at < len(self.volumes) and self.volumes[at] == volume
        return self.times[at] if found else None


class Ledger(Truth):
    """A truth that keeps what a snapshot is known by, and no payloads."""

    def __init__(self) -> None:
        super().__init__(payload_bytes=0)
        self.tapes: defaultdict[str, Emissions] = defaultdict(Emissions)

    def record(self, market: str, event: VenueEvent, now_ms: int) -> None:
        """See `Truth`."""
        super().record(market, event, now_ms)
        facts, tape = _read(event.payload), self.tapes[event.symbol]
        tape.times.append(facts.ts_event)
        tape.volumes.append(facts.volume)
        tape.days.add(facts.trading_day)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What became of one instrument's snapshots, or of all of them."""

    emitted: int = 0
    """Since the tape was to be whole."""
    rows: int = 0
    lost: int = 0
    """Sent to at least one account, and in no row."""
    unsent: int = 0
    """In no row, and no account was subscribed: nobody's fault."""
    doubled: int = 0
    regressed: int = 0
    """Rows whose volume is below that of an earlier one."""
    untrue: int = 0
    """Rows with a time, a trading day or a volume that the venue never printed."""

    @property
    def broken(self) -> int:
        """Snapshots of which the tape does not say what it should."""
        return self.lost + self.doubled + self.regressed + self.untrue

    def add(self, other: "Verdict") -> None:
        """Sum up."""
        self.emitted += other.emitted
        self.rows += other.rows
        self.lost += other.lost
        self.unsent += other.unsent
        self.doubled += other.doubled
        self.regressed += other.regressed
        self.untrue += other.untrue


def judge(tape: Emissions, after: int, windows: Sequence[Window], rows: Iterable[Row]) -> Verdict:
    """Hold an instrument's rows, in the order of their times, against what was emitted.

    `after` is the number of the last snapshot before the tape was to be whole.
    """
    verdict, seen, highest = Verdict(emitted=len(tape.volumes) - after), set[int](), -1
    for ts_event, volume, trading_day in rows:
        verdict.rows += 1
        verdict.doubled += volume in seen
        verdict.regressed += volume < highest
        verdict.untrue += tape.time_of(volume) != ts_event or trading_day not in tape.days
        seen.add(volume)
        highest = max(highest, volume)
    for number in range(after + 1, len(tape.volumes) + 1):
        if tape.volumes[number - 1] not in seen:
            sent = any(begin < number and (end is None or number <= end) for begin, end in windows)
            verdict.lost += sent
            verdict.unsent += not sent
    return verdict
