"""Settlement: gaps that are not gaps, because another line or a replay has what is missing.

A gap is written as open first and looked at again once the other line's rows can be there: rather
a name too many for two seconds than a hidden hole. Ids and bars are compared with the tape; for
quotes, snapshots and trades whose numbers have holes or are none, this line vouches only where its
own channel was unbroken over the whole time and all of that is written. Must not know queues or
retries.
"""

from collections.abc import Callable, Sequence
from typing import Final

from feedplane_feeder.core.ports import Sink
from feedplane_feeder.core.sessions import Sessions
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.records import ChannelKind, Gap, GapCause

SECOND_NS: Final = 1_000_000_000
MICROSECOND_NS: Final = 1_000
EVERY_SECONDS: Final = 2.0
SOON_SECONDS: Final = 0.25
"""Until what vouches is looked for again among what is written; who knew may be gone later."""
LOOK_BACK_NS: Final = 120 * SECOND_NS
BY_LINE: Final = "line"
BY_REPLAY: Final = "replay"
_BAR: Final = f"{ChannelKind.BAR.value}-"

Span = tuple[int, int]
"""ts_event of the first and the last record between which a line missed none."""


class Settlement:
    """What one sink's ledger says of recent gaps, against what this line knows."""

    def __init__(self, sink: Sink) -> None:
        self.spans: Callable[[str, str], Sequence[Span]] | None = None
        """By instrument_id and channel, the newest ones."""
        self.on_filled: Callable[[Gap], None] | None = None
        """Told of each gap of this line that was filled."""
        self.sessions = Sessions()
        """When the instruments trade; the sink's tape lacks nothing outside of that."""
        self.contested = False
        """Another line writes the same all the time."""
        self._sink = sink
        self._again = 0.0
        self._replay: tuple[int, dict[str, int]] | None = None
        self._vouched: list[Gap] = []
        self._mark: int | None = None
        self._mine: list[Gap] = []

    def remember(self, gaps: Sequence[Gap]) -> None:
        """Note gaps of this line that have a row now."""
        self._mine = [*self._mine, *gaps][-1_000:]

    def replayed(self, at_ns: int, quotes_from: dict[str, int]) -> None:
        """Tell that a standby's memory is written; from which quote on, by instrument."""
        self._replay = (at_ns, quotes_from)
        self._again = 0.0

    def wait_seconds(self, now: float) -> float | None:
        """Return after how long to look again; None when there is nothing to look at."""
        if not (self.contested or self._replay or self._mark is not None):
            return None
        return max(0.0, self._again - now)

    async def look(self, now: float, now_ns: int, offered: int, written: int) -> None:
        """Fill what is certain by now; a sink that is away is asked another time.

        `offered` and `written` count this line's batches, so that what it vouches for is written.
        """
        if self.wait_seconds(now) != 0.0:
            return
        if self._mark is not None and written < self._mark:
            self._again = now + SOON_SECONDS
            return
        self._again = now + EVERY_SECONDS
        try:
            await self._fill_vouched(written)
            gaps = await self._sink.open_gaps(now_ns - LOOK_BACK_NS)
            self._tell_filled(gaps, now_ns)
            self._vouched = [gap for gap in gaps if self._may_fill(gap)]
            self._mark = offered if self._vouched else None
            await self._fill_vouched(written)
        except SinkUnavailableError:
            return
        if self._mark is None:
            self._replay = None
        else:
            self._again = now + SOON_SECONDS

    async def _fill_vouched(self, written: int) -> None:
        if self._mark is None or written < self._mark:
            return
        by = BY_REPLAY if self._replay is not None else BY_LINE
        await self._sink.fill(self._vouched, by)
        self._vouched, self._mark = [], None

    def _may_fill(self, gap: Gap) -> bool:
        if gap.channel == ChannelKind.BOOK.value:
            return False
        if gap.from_id is not None or gap.channel.startswith(_BAR):
            return True  # the tape itself tells
        # What a spill lost had passed the tape of the line that lost it.
        if self.spans is None or gap.cause == GapCause.SPILL.value:
            return False
        if gap.from_ts is None or gap.to_ts is None:
            return False
        if not self.contested:
            quotes = gap.channel == ChannelKind.QUOTE.value
            quotes_from = self._replay[1] if self._replay and quotes else {}
            if quotes_from.get(gap.instrument_id, gap.from_ts + 1) > gap.from_ts:
                return False
        spans = self.spans(gap.instrument_id, gap.channel)
        return any(_lies_within(gap.from_ts, gap.to_ts, span) for span in spans)

    def _tell_filled(self, gaps: Sequence[Gap], now_ns: int) -> None:
        left: list[Gap] = []
        for mine in self._mine:
            if any(_same_part(mine, gap) for gap in gaps):
                left.append(mine)
            elif mine.detected_at > now_ns - LOOK_BACK_NS and self.on_filled is not None:
                self.on_filled(mine)
        self._mine = left


# The ledger keeps microseconds. A hole between two records of one time lies beside a span that
# ends or begins there, as the spans of the line do that left it.
def _lies_within(from_ts: int, to_ts: int, span: Span) -> bool:
    first, last = -(-span[0] // MICROSECOND_NS), span[1] // MICROSECOND_NS
    begin, end = from_ts // MICROSECOND_NS, to_ts // MICROSECOND_NS
    return first < begin < last if begin == end else first <= begin and end <= last


def _same_part(mine: Gap, gap: Gap) -> bool:
    if (mine.instrument_id, mine.channel) != (gap.instrument_id, gap.channel):
        return False
    if mine.from_id is None or mine.to_id is None or gap.from_id is None or gap.to_id is None:
        return (mine.from_ts or 0) // MICROSECOND_NS == (gap.from_ts or 0) // MICROSECOND_NS
    return gap.from_id <= mine.to_id and mine.from_id <= gap.to_id
