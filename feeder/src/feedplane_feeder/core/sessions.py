"""Sessions: when a market trades, so that nothing is missed while it cannot be there.

A moment before or after the known hours counts as open: a feeder that knows nothing waits for
data rather than sleeps through a session. Pure: time is an argument. Must not know calendars.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from string import ascii_letters
from typing import Final

from msgspec import structs

from feedplane_api.market_hours import MarketHours
from feedplane_feeder.core.intervals import next_open_ns
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.records import ChannelKind, Gap

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
EDGE_NS: Final = 60 * SECOND_NS
"""A silence that reaches over a close begins there when the last record came this shortly before
it, and one that reaches over an open ends there likewise: markets fade out and warm up."""
MONTH: Final = "1M"
_BAR: Final = f"{ChannelKind.BAR.value}-"
LEAD_NS: Final = 300 * SECOND_NS
"""A venue that is polled is asked again this long before an open, so that it is known to answer."""
LAG_NS: Final = 900 * SECOND_NS
"""It is asked this long after a close: auctions end and totals settle later than trading does."""
OPEN: Final = 0
"""What `opened_ns` says of a market whose opening nobody knows."""


@dataclass(frozen=True, slots=True)
class Line:
    """The openings of one group of instruments: opens and closes by number, both rising."""

    opens: tuple[int, ...]
    closes: tuple[int, ...]


class LineDays:
    """The openings of one group, by UTC day; see `Calendar` in `core/integrity.py`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def sessions(self, day_ns: int) -> Sequence[tuple[int, int]]:
        """Return what a day holds of each opening, as nanoseconds after its midnight."""
        first, last = _overlapping(self._line, day_ns, day_ns + DAY_NS)
        pairs = zip(self._line.opens, self._line.closes, strict=True)
        return tuple(
            (max(opened - day_ns, 0), min(closed - day_ns, DAY_NS))
            for opened, closed in tuple(pairs)[first : last + 1]
        )


class Sessions:
    """The hours of one feeder's instruments; without any its market never closes."""

    def __init__(self, hours: MarketHours | None = None) -> None:
        self._hours: MarketHours | None = None
        self._since_ns = self._until_ns = 0
        self._lines: tuple[Line, ...] = ()
        self._products: dict[str, int] = {}
        self._by_symbol: dict[str, int] = {}
        self._others: int | None = None
        self.adopt(hours)

    def adopt(self, hours: MarketHours | None) -> None:
        """Take over other hours."""
        if hours == self._hours:
            return
        self._hours, self._lines, self._others = hours, (), None
        self._products.clear()
        self._by_symbol.clear()
        if hours is None:
            return
        self._since_ns, self._until_ns = _moment(hours.since), _moment(hours.until)
        self._lines = tuple(_parse_line(line.openings) for line in hours.lines)
        for number, line in enumerate(hours.lines):
            self._products.update((product.upper(), number) for product in line.products)
            if not line.products:
                self._others = number

    @property
    def always_open(self) -> bool:
        """Whether there are no hours at all."""
        return self._hours is None

    def opened_ns(self, now_ns: int, symbol: str) -> int | None:
        """Return when an instrument's present session began, None while it is closed.

        `OPEN` where that is not known.
        """
        if self._hours is None or not self._since_ns <= now_ns < self._until_ns:
            return OPEN
        number = self._line(symbol)
        if number is None:
            return OPEN
        line = self._lines[number]
        last = bisect_right(line.opens, now_ns) - 1
        return line.opens[last] if last >= 0 and now_ns < line.closes[last] else None

    def rest_until_ns(self, now_ns: int, group: int | None) -> int:
        """Return until when nothing can come of asking for a group; 0 where something may."""
        if group is None or not self._since_ns <= now_ns < self._until_ns:
            return OPEN
        line = self._lines[group]
        number = bisect_right(line.closes, now_ns)
        closed_ns = line.closes[number - 1] if number else self._since_ns
        opens_ns = line.opens[number] if number < len(line.opens) else self._until_ns
        until_ns = min(opens_ns, self._until_ns) - LEAD_NS
        return until_ns if closed_ns + LAG_NS <= now_ns < until_ns else OPEN

    def is_any_open(self, now_ns: int, symbols: Iterable[str]) -> bool:
        """Tell whether any of some instruments trades."""
        if self._hours is None:
            return True
        return any(self.opened_ns(now_ns, symbol) is not None for symbol in symbols)

    def knows(self, start_ns: int, end_ns: int) -> bool:
        """Tell whether a time lies within the known hours, as all does where there are none."""
        return self._hours is None or self._since_ns <= start_ns <= end_ns <= self._until_ns

    def group(self, symbol: str) -> int | None:
        """Return the number of the group an instrument's hours are those of; None: never closed."""
        return None if self._hours is None else self._line(symbol)

    def days(self, group: int) -> LineDays:
        """Return the days of a group."""
        return LineDays(self._lines[group])

    def clip_gap(self, gap: Gap) -> Gap | None:
        """Return the part of a gap in time in which its market was open; None when there is none.

        A gap by numbers is what it is: the venue did send those.
        """
        if self._hours is None or gap.from_ts is None or gap.to_ts is None:
            return gap
        number = self._line(gap.instrument_id.rpartition(".")[0])
        if number is None or gap.from_ts < self._since_ns or gap.to_ts >= self._until_ns:
            return gap
        clip = _clip_bars if gap.channel.startswith(_BAR) else _clip_time
        kept = clip(self._lines[number], gap)
        return structs.replace(gap, from_ts=kept[0], to_ts=kept[1]) if kept else None

    def _line(self, symbol: str) -> int | None:
        if symbol not in self._by_symbol:
            number = self._products.get(_product(symbol), self._others)
            self._by_symbol[symbol] = -1 if number is None else number
        number = self._by_symbol[symbol]
        return None if number < 0 else number


class Attendance:
    """The hours of what one connection carries, looked at now and then."""

    def __init__(self, sessions: Sessions) -> None:
        self.opened_ns: int | None = OPEN
        """When the first of its instruments opened; None while all of them are closed."""
        self._sessions = sessions
        self._looked_ns = 0

    def look(self, channels: Iterable[Channel], now_ns: int) -> list[Channel]:
        """Return the channels whose market opened since the last look."""
        looked_ns, self._looked_ns = self._looked_ns, now_ns
        sessions = self._sessions
        self.opened_ns = OPEN
        if sessions.always_open:
            return []
        opened = [(sessions.opened_ns(now_ns, each.symbol), each) for each in channels]
        self.opened_ns = min((at for at, _ in opened if at is not None), default=None)
        return [each for at, each in opened if at is not None and at > looked_ns > 0]

    def rest_until_ns(self, channels: Iterable[Channel], now_ns: int) -> int:
        """Return until when nothing can come of asking; 0 where something may."""
        if self.opened_ns is not None:
            return OPEN
        groups = {self._sessions.group(each.symbol) for each in channels}
        return min((self._sessions.rest_until_ns(now_ns, group) for group in groups), default=OPEN)

    def trading(self, channels: Sequence[Channel], now_ns: int) -> Sequence[Channel]:
        """Return the channels whose market is open."""
        sessions = self._sessions
        if sessions.always_open:
            return channels
        return [each for each in channels if sessions.opened_ns(now_ns, each.symbol) is not None]


def _clip_time(line: Line, gap: Gap) -> tuple[int, int] | None:
    start, end = gap.from_ts or 0, gap.to_ts or 0
    first, last = _overlapping(line, start, end)
    if first > last:
        return None
    if line.opens[first] <= start and start + EDGE_NS >= line.closes[first] <= end:
        first += 1
    if end <= line.closes[last] and end - EDGE_NS <= line.opens[last] >= start:
        last -= 1
    if first > last:
        return None
    return max(start, line.opens[first]), min(end, line.closes[last])


# The ends of such a gap are bars that are missing, so they stay on the grid of their interval.
def _clip_bars(line: Line, gap: Gap) -> tuple[int, int] | None:
    start, newest = gap.from_ts or 0, gap.to_ts or 0
    interval = gap.channel.removeprefix(_BAR)
    end = next_open_ns(newest, interval)
    first, last = _overlapping(line, start, end)
    if first > last:
        return None
    if interval == MONTH:
        return start, newest
    length = next_open_ns(start, interval) - start
    before = (max(start, line.opens[first]) - start) // length
    bars = (min(end, line.closes[last]) - 1 - start) // length
    return start + before * length, start + bars * length


# The first and the last opening that have something of a range; the first is higher for none.
def _overlapping(line: Line, start: int, end: int) -> tuple[int, int]:
    return bisect_right(line.closes, start), bisect_left(line.opens, end) - 1


def _product(symbol: str) -> str:
    return symbol[: len(symbol) - len(symbol.lstrip(ascii_letters))].upper()


def _parse_line(openings: Iterable[str]) -> Line:
    pairs = [opening.split("/") for opening in openings]
    return Line(
        tuple(_moment(datetime.fromisoformat(start)) for start, _ in pairs),
        tuple(_moment(datetime.fromisoformat(end)) for _, end in pairs),
    )


def _moment(at: datetime) -> int:
    return int(at.timestamp()) * SECOND_NS
