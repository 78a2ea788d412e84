"""One Subscription's pairs of instrument and channel: which are live, which are not, and why.

Must not know conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.subscription import Subscription
from feedplane_api.worker import ChannelProblem, ChannelState, FeederStatus
from feedplane_operator.core.wanted import Expansion

AWAITING_FEEDER: Final = "AwaitingFeeder"
"""The pair is not in any feeder's configuration yet, or the feeder has not taken it over."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardView:
    """What is known of one shard's feeder: one account's, or several where all publish."""

    reports: tuple[FeederStatus, ...] = ()
    current: bool = True
    """The feeders have taken over the configuration as it is now."""
    trouble: tuple[Reason, str] | None = None
    unasked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A pair that is not live."""

    pair: Pair
    state: ChannelState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All pairs of a Subscription by what became of them."""

    wanted: int = 0
    missing: tuple[Missing, ...] = ()
    undecided: bool = False
    """Some feeder was not asked, is about to take over a change, or waits for its market to open:
    nothing may be concluded."""
    trouble: tuple[Reason, str] | None = None
    last_event_milliseconds: int = 0

    @property
    def live(self) -> int:
        """Pairs that deliver."""
        return self.wanted - len(self.missing)

    def count(self, *states: ChannelState) -> int:
        """Return how many pairs are in one of the states."""
        return sum(entry.state in states for entry in self.missing)


def judge_pairs(
    subscription: Subscription,
    expansion: Expansion,
    assigned: Mapping[str, int],
    shards: Mapping[int, ShardView],
) -> Pairs:
    """Return what became of each pair; `assigned` says which shard carries an instrument."""
    channels = subscription.spec.channels
    missing: list[Missing] = []
    asked = {shard: _problems(view.reports) for shard, view in shards.items()}
    touched: set[int] = set()
    newest = 0
    for symbol in expansion.symbols:
        shard = assigned.get(symbol)
        view = shards.get(shard) if shard is not None else None
        if shard is None or view is None:
            missing += [_pending((symbol, channel), AWAITING_FEEDER) for channel in channels]
            continue
        touched.add(shard)
        newest = max(newest, *(_last(report, symbol) for report in view.reports), 0)
        if not view.reports:
            why = view.trouble[0].value if view.trouble else AWAITING_FEEDER
            missing += [_pending((symbol, channel), why) for channel in channels]
            continue
        found = (asked[shard].get((symbol, channel)) for channel in channels)
        missing += [_missing(problem) for problem in found if problem is not None]
    used = [shards[shard] for shard in sorted(touched)]
    return Pairs(
        wanted=len(expansion.symbols) * len(channels),
        missing=tuple(sorted(missing, key=lambda entry: entry.pair)),
        undecided=any(view.unasked or not view.current or _rests(view) for view in used),
        trouble=next((view.trouble for view in used if view.trouble), None),
        last_event_milliseconds=newest,
    )


# A venue may shut its doors while its market is closed; what is missing then says nothing.
def _rests(view: ShardView) -> bool:
    return any(
        report.health.reason == Reason.MARKET_CLOSED.value
        and any(problem.state is ChannelState.PENDING for problem in report.problems)
        for report in view.reports
    )


def _problems(reports: Sequence[FeederStatus]) -> dict[Pair, ChannelProblem]:
    # Where several accounts publish, a pair is missing only when all of them miss it.
    tables = [
        {(problem.symbol, problem.channel): problem for problem in report.problems}
        for report in reports
    ]
    if not tables:
        return {}
    first, others = tables[0], tables[1:]
    return {
        pair: problem for pair, problem in first.items() if all(pair in other for other in others)
    }


def _missing(problem: ChannelProblem) -> Missing:
    pair = (problem.symbol, problem.channel)
    return Missing(pair=pair, state=problem.state, reason=problem.reason)


def _pending(pair: Pair, reason: str) -> Missing:
    return Missing(pair=pair, state=ChannelState.PENDING, reason=reason)


def _last(report: FeederStatus, symbol: str) -> int:
    return report.last_event_milliseconds.get(symbol, 0)
