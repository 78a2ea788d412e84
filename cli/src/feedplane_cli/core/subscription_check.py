"""The should-list against what streams, pair by pair and account by account.

A feeder lists its exceptions, so what it was told to carry and does not name streams. Pure: what
feeders were told and what they answered are arguments.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from feedplane_api.worker import ChannelProblem, FailoverMode, FeederStatus
from feedplane_cli.core.should_list import Pair, ShouldList

HELD_BACK: Final = frozenset({"AwaitingConnection", "AwaitingAcknowledgement"})
"""Reasons of channels whose turn, within the venue's rate, has not come or was not confirmed."""

_RESTING: Final = frozenset({FailoverMode.WARM, FailoverMode.COLD})


class Result(StrEnum):
    """What became of a wanted pair on one account."""

    STREAMS = "Streams"
    MISSING = "Missing"
    RESTING = "Resting"


class Fault(StrEnum):
    """Why a pair is missing where no feeder gives a reason of its own."""

    NOT_ASSIGNED = "NotAssigned"
    """No feeder was told to carry it."""
    NO_FEEDER = "NoFeeder"
    """The feeder that should carry it does not run."""
    FEEDER_UNREACHABLE = "FeederUnreachable"
    """It does not answer on /status."""
    STATUS_UNREADABLE = "StatusUnreadable"
    """It answers in the words of another release."""
    STANDBY = "Standby"
    """It stands by and subscribes when it takes over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """One feeder: what it was told and what it answered."""

    account: str
    shard: int
    pod: str
    pairs: frozenset[Pair]
    status: FeederStatus | None = None
    error: str = ""
    """Why there is no status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One wanted pair on one account."""

    subscription: str
    account: str
    shard: int | None
    instrument: str
    channel: str
    publishes: bool
    """Whether what it receives goes to the sinks."""
    result: Result
    error_code: str
    since_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederView:
    """A feeder in a line."""

    account: str
    shard: int
    pod: str
    answers: bool
    publishes: bool
    session: str
    wanted: int
    live: int
    held_back: int
    """Channels that wait for their turn within the venue's rate."""
    request_weight_used: int
    banned_until_time: datetime | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A Subscription that was checked."""

    subscription: str
    feed_source: str
    wanted: int
    streaming: int
    """Pairs that at least one account that publishes receives."""
    attempts: tuple[Attempt, ...]
    feeders: tuple[FeederView, ...]

    @property
    def good(self) -> bool:
        """Whether everything wanted streams."""
        return self.streaming == self.wanted

    @property
    def missing(self) -> tuple[Attempt, ...]:
        """What does not stream, on any account."""
        return tuple(one for one in self.attempts if one.result is Result.MISSING)


def check_subscription(
    should: ShouldList, feeders: Sequence[Feeder], mode: FailoverMode
) -> Checked:
    """Hold a should-list against the feeders of its FeedSource."""
    carriers: dict[Pair, list[Feeder]] = {}
    for feeder in feeders:
        for pair in feeder.pairs:
            carriers.setdefault(pair, []).append(feeder)
    problems = {
        id(feeder): {(one.symbol, one.channel): one for one in feeder.status.problems}
        for feeder in feeders
        if feeder.status is not None
    }
    attempts: list[Attempt] = []
    streaming = 0
    for pair in should.pairs:
        mine = [
            _attempt(should, pair, feeder, problems.get(id(feeder), {}), mode)
            for feeder in carriers.get(pair, ())
        ]
        attempts += mine or [_unassigned(should, pair)]
        streaming += any(one.publishes and one.result is Result.STREAMS for one in mine)
    return Checked(
        subscription=should.subscription,
        feed_source=should.feed_source,
        wanted=len(should.pairs),
        streaming=streaming,
        attempts=tuple(attempts),
        feeders=tuple(_view(feeder, mode) for feeder in feeders),
    )


def count_reasons(attempts: Iterable[Attempt]) -> tuple[tuple[str, int], ...]:
    """Return the reasons of what is missing, the most frequent first."""
    counted = Counter(one.error_code for one in attempts)
    return tuple(sorted(counted.items(), key=lambda one: (-one[1], one[0])))


def _attempt(
    should: ShouldList,
    pair: Pair,
    feeder: Feeder,
    problems: dict[Pair, ChannelProblem],
    mode: FailoverMode,
) -> Attempt:
    publishes = _publishes(feeder, mode)
    problem = problems.get(pair)
    result, code = Result.STREAMS, ""
    if feeder.status is None:
        result, code = Result.MISSING, feeder.error or Fault.NO_FEEDER.value
    elif problem is not None:
        result, code = Result.MISSING, problem.reason
    if not publishes and result is Result.MISSING and mode in _RESTING:
        result, code = Result.RESTING, Fault.STANDBY.value
    return Attempt(
        subscription=should.subscription,
        account=feeder.account,
        shard=feeder.shard,
        instrument=pair[0],
        channel=pair[1],
        publishes=publishes,
        result=result,
        error_code=code,
        since_time=problem.since_time if problem is not None else None,
    )


def _unassigned(should: ShouldList, pair: Pair) -> Attempt:
    return Attempt(
        subscription=should.subscription,
        account="",
        shard=None,
        instrument=pair[0],
        channel=pair[1],
        publishes=False,
        result=Result.MISSING,
        error_code=Fault.NOT_ASSIGNED.value,
        since_time=None,
    )


def _publishes(feeder: Feeder, mode: FailoverMode) -> bool:
    if feeder.status is None:
        return False
    return mode is FailoverMode.MERGED or feeder.status.election.active


def _view(feeder: Feeder, mode: FailoverMode) -> FeederView:
    status = feeder.status
    waiting = [one for one in status.problems if one.reason in HELD_BACK] if status else []
    return FeederView(
        account=feeder.account,
        shard=feeder.shard,
        pod=feeder.pod,
        answers=status is not None,
        publishes=_publishes(feeder, mode),
        session=status.session.value if status else "",
        wanted=status.coverage.wanted if status else len(feeder.pairs),
        live=status.coverage.live if status else 0,
        held_back=len(waiting),
        request_weight_used=status.request_weight_used if status else 0,
        banned_until_time=status.banned_until_time if status else None,
        error=feeder.error,
    )
