"""Repair: what to ask the venue's history for, of the gaps that the ledger has open.

Decided anew from the whole list each time, so that nothing depends on who found a gap or when.
Neighbours that fit into one answer are asked for together, gaps of channels without a past are
unfillable, and what would take too much of the budget is left to a Backfill. Pure: time is an
argument. Must not know how history is fetched or written.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from feedplane_feeder.core.evidence import Repaired, Unfillable, count_ids, list_opens
from feedplane_feeder.core.intervals import next_open_ns, previous_open_ns
from feedplane_feeder.records import Gap

SECOND_NS: Final = 1_000_000_000
SETTLE_NS: Final = 15 * SECOND_NS
"""So long another line or a replay may fill what no history can."""
CONTESTED_NS: Final = 5 * SECOND_NS
"""So long another line that writes the same may fill what a history could."""
FIRST_PAUSE_NS: Final = 1 * SECOND_NS
LONGEST_PAUSE_NS: Final = 60 * SECOND_NS
MOST_TRIES: Final = 8
"""After so many tries a gap is left to a Backfill, whose sources are more."""
ANCHORS: Final = 2
"""Rows asked for besides: one before and one behind, so that what is passed over is certain."""
LONGEST_TIME_NS: Final = 3_600 * SECOND_NS
"""A longer gap in time of trades without numbers is left to a Backfill."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer of a channel's history brings and weighs."""

    rows: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Gaps of one channel of one instrument that one question is about, in their order."""

    gaps: tuple[Gap, ...]
    weight: int

    @property
    def instrument_id(self) -> str:
        """Whose they are."""
        return self.gaps[0].instrument_id

    @property
    def channel(self) -> str:
        """What is missing."""
        return self.gaps[0].channel

    @property
    def ids(self) -> tuple[int, int] | None:
        """First and last missing number; None where there are none."""
        first = self.gaps[0].from_id
        if first is None:
            return None
        return first, max(gap.to_id or first for gap in self.gaps)

    @property
    def times(self) -> tuple[int, int]:
        """First moment and first moment after, with a bar more on either side."""
        first, last = self.gaps[0].from_ts or 0, max(gap.to_ts or 0 for gap in self.gaps)
        if not self.channel.startswith("bar-"):
            return first, last + 1
        interval = self.channel.removeprefix("bar-")
        behind = next_open_ns(next_open_ns(last, interval), interval)
        return previous_open_ns(first, interval), behind


@dataclass(slots=True, kw_only=True)
class RepairPlan:
    """What to do about the open gaps now."""

    asks: list[Ask] = field(default_factory=list)
    """The oldest first."""
    unfillable: list[tuple[Gap, str]] = field(default_factory=list)
    large: list[Gap] = field(default_factory=list)
    """Left to a Backfill."""
    left_count: int = 0
    """Gaps of channels whose gaps a person fills."""
    again_ns: int | None = None
    """When to look again at the latest; None when only something new can change the plan."""


@dataclass(slots=True)
class _Tries:
    count: int = 0
    due_ns: int = 0


class Repairs:
    """The gaps of one shard in one ledger, and how often each was asked for."""

    def __init__(self, cost: Callable[[str], Cost | None]) -> None:
        self.contested = False
        """Another line writes the same all the time."""
        self.manual: frozenset[tuple[str, str]] = frozenset()
        """(instrument_id, channel) whose gaps a person fills."""
        self.largest_weight = 0
        """What would weigh more is left to a Backfill."""
        self._cost = cost
        self._tries: dict[Gap, _Tries] = {}

    def plan(self, gaps: Sequence[Gap], now_ns: int) -> RepairPlan:
        """Decide about every open gap of the ledger."""
        known = set(gaps)
        self._tries = {gap: tries for gap, tries in self._tries.items() if gap in known}
        plan = RepairPlan()
        fit: defaultdict[tuple[str, str, bool], list[Gap]] = defaultdict(list)
        for gap in gaps:
            if (gap.instrument_id, gap.channel) in self.manual:
                plan.left_count += 1
            elif self._is_fit(gap, plan, now_ns):
                fit[gap.instrument_id, gap.channel, gap.from_id is None].append(gap)
        for group in fit.values():
            cost = self._cost(group[0].channel)
            assert cost is not None  # noqa: S101 - what has no history is not fit
            plan.asks += _merge(group, cost)
        plan.asks.sort(key=lambda ask: min(gap.detected_at for gap in ask.gaps))
        return plan

    def proves(self, gap: Gap) -> bool:
        """Tell whether what the venue passes over counts as lacking there: at the second look."""
        return gap in self._tries

    def note(self, repaired: Iterable[Repaired], now_ns: int) -> None:
        """Take down what asking came to; what was not settled waits for its next try."""
        for each in repaired:
            if each.settled:
                self._tries.pop(each.gap, None)
                continue
            for piece in each.pieces:
                if piece.open:
                    self._put_off(piece.gap, self._tries.get(each.gap), now_ns)

    def failed(self, ask: Ask, now_ns: int) -> None:
        """Take down that there was no answer: that says nothing about the venue's rows."""
        for gap in ask.gaps:
            self._put_off(gap, self._tries.get(gap), now_ns)

    def _put_off(self, gap: Gap, before: _Tries | None, now_ns: int) -> None:
        count = before.count + 1 if before else 1
        pause_ns = min(LONGEST_PAUSE_NS, FIRST_PAUSE_NS << min(count - 1, 10))
        self._tries[gap] = _Tries(count, now_ns + pause_ns)

    # Whether a gap is to be asked for now; what becomes of it else goes into the plan.
    def _is_fit(self, gap: Gap, plan: RepairPlan, now_ns: int) -> bool:
        cost = self._cost(gap.channel)
        tries = self._tries.get(gap)
        if cost is None:
            return self._wait(plan, gap.detected_at + SETTLE_NS, now_ns) and _give_up(plan, gap)
        if (tries and tries.count >= MOST_TRIES) or self._is_large(gap, cost):
            plan.large.append(gap)
            return False
        due_ns = gap.detected_at + CONTESTED_NS if self.contested else 0
        return self._wait(plan, max(due_ns, tries.due_ns if tries else 0), now_ns)

    def _wait(self, plan: RepairPlan, due_ns: int, now_ns: int) -> bool:
        if due_ns <= now_ns:
            return True
        plan.again_ns = due_ns if plan.again_ns is None else min(plan.again_ns, due_ns)
        return False

    def _is_large(self, gap: Gap, cost: Cost) -> bool:
        rows = count_rows(gap)
        if rows is None:
            return (gap.to_ts or 0) - (gap.from_ts or 0) > LONGEST_TIME_NS
        return -(-rows // cost.rows) * cost.weight > self.largest_weight


def count_rows(gap: Gap) -> int | None:
    """Return how many rows a gap lacks; None where only the venue knows."""
    if ids := count_ids(gap):
        return ids
    return len(list_opens(gap)) if gap.channel.startswith("bar-") else None


def pause_seconds(used: int, ceiling: int, weight: int, left_seconds: float) -> float:
    """Return how long to wait after asking for so much, so that the minute's budget lasts.

    The first half goes as fast as it may, since most minutes need no more.
    """
    if used * 2 < ceiling or weight == 0:
        return 0.0
    return min(left_seconds, weight * left_seconds / max(1, ceiling - used))


def select_manual(
    wanted: Mapping[str, Iterable[str]], instrument_id: Callable[[str], str]
) -> frozenset[tuple[str, str]]:
    """Return the channels that are left to a person, from symbols and channel names."""
    return frozenset(
        (instrument_id(symbol), channel) for symbol, names in wanted.items() for channel in names
    )


def _give_up(plan: RepairPlan, gap: Gap) -> bool:
    plan.unfillable.append((gap, Unfillable.NO_HISTORY.value))
    return False


# Neighbours in one question as long as one answer holds them and all between them.
def _merge(gaps: list[Gap], cost: Cost) -> list[Ask]:
    by_id = gaps[0].from_id is not None
    gaps.sort(key=(lambda gap: gap.from_id or 0) if by_id else (lambda gap: gap.from_ts or 0))
    groups: list[list[Gap]] = []
    for gap in gaps:
        if groups and _rows_between(groups[-1][0], gap) + ANCHORS <= cost.rows:
            groups[-1].append(gap)
        else:
            groups.append([gap])
    return [_build_ask(group, cost) for group in groups]


def _build_ask(group: list[Gap], cost: Cost) -> Ask:
    pages = -(-(_rows_between(group[0], group[-1]) + ANCHORS) // cost.rows)
    return Ask(gaps=tuple(group), weight=max(1, pages) * cost.weight)


# Rows from the first one missing of one gap to the last one missing of another; for trades
# without numbers as many as cannot be merged.
def _rows_between(first: Gap, last: Gap) -> int:
    if first.from_id is not None and last.to_id is not None:
        return last.to_id - first.from_id + 1
    if first.from_ts is None or last.to_ts is None or not first.channel.startswith("bar-"):
        return 1 << 40 if first is not last else 1
    interval = first.channel.removeprefix("bar-")
    return (last.to_ts - first.from_ts) // next_open_ns(0, interval) + 1
