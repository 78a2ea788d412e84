"""A Subscription's status from its pairs and the ledger's counts.

Must not know how they were observed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from feedplane_api.conditions import ConditionStatus, ConditionType, Reason
from feedplane_api.subscription import (
    Gaps,
    MissingChannel,
    Subscription,
    SubscriptionCoverage,
    SubscriptionStatus,
)
from feedplane_api.worker import ChannelState, FeederStatus
from feedplane_operator.core.coverage import Pairs
from feedplane_operator.core.plan import Note
from feedplane_operator.core.status import (
    Turn,
    Verdict,
    no,
    note_turns,
    write_conditions,
    yes,
)
from feedplane_operator.core.wanted import Expansion
from feedplane_operator.events import EventReason

LAST_EVENT_STEP: Final = timedelta(minutes=5)
"""The time of the newest event is written this often; silence shows in the conditions at once."""
MISSING_SHOWN: Final = 20
_NAMED_IN_MESSAGE = 3

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
TURNS: tuple[Turn, ...] = (
    (ConditionType.ACCEPTED, TRUE, EventReason.SPEC_ACCEPTED),
    (ConditionType.ACCEPTED, FALSE, EventReason.SPEC_REFUSED),
    (ConditionType.COVERED, TRUE, EventReason.COVERAGE_REGAINED),
    (ConditionType.COVERED, FALSE, EventReason.COVERAGE_LOST),
    (ConditionType.COMPLETE, TRUE, EventReason.GAPS_CLOSED),
    (ConditionType.COMPLETE, FALSE, EventReason.GAPS_OPENED),
)
_SILENT_FIRST = frozenset(
    {
        EventReason.SPEC_ACCEPTED,
        EventReason.COVERAGE_LOST,
        EventReason.COVERAGE_REGAINED,
        EventReason.GAPS_CLOSED,
    }
)
_ALL = (
    ConditionType.ACCEPTED,
    ConditionType.COVERED,
    ConditionType.COMPLETE,
    ConditionType.READY,
)


def note_subscription_turns(
    before: SubscriptionStatus, after: SubscriptionStatus
) -> tuple[Note, ...]:
    """Return the events that a change of status is worth."""
    return note_turns(before.conditions, after.conditions, TURNS, silent_first=_SILENT_FIRST)


def refuse_status(
    before: SubscriptionStatus, refusal: tuple[Reason, str], generation: int, now: datetime
) -> SubscriptionStatus:
    """Return the status of a Subscription that cannot be used.

    All else stays as it was said, unless there is nothing left to deliver anything.
    """
    verdicts: dict[ConditionType, Verdict | None] = dict.fromkeys(_ALL)
    verdicts[ConditionType.ACCEPTED] = no(*refusal)
    if refusal[0] is Reason.FEED_SOURCE_NOT_FOUND:
        verdicts[ConditionType.COVERED] = verdicts[ConditionType.READY] = no(*refusal)
    elif not before.conditions:
        verdicts[ConditionType.READY] = no(Reason.NOT_ACCEPTED)
    conditions = write_conditions(before.conditions, verdicts, generation, now)
    return before.model_copy(update={"conditions": conditions, "observed_generation": generation})


def observe_status(
    subscription: Subscription,
    expansion: Expansion,
    pairs: Pairs,
    gaps: Gaps | None,
    refusal: tuple[Reason, str] | None,
    now: datetime,
) -> SubscriptionStatus:
    """Return the status; undecided pairs leave what was said before.

    `gaps` is None while no feeder told; `refusal` is what is wrong with the FeedSource.
    """
    before = subscription.status
    generation = subscription.metadata.generation
    covered = None if pairs.undecided else _judge_covered(subscription, expansion, pairs)
    verdicts: dict[ConditionType, Verdict | None] = {
        ConditionType.ACCEPTED: no(*refusal) if refusal else yes(Reason.VALID),
        ConditionType.COVERED: covered,
        ConditionType.COMPLETE: _judge_complete(gaps),
        ConditionType.READY: covered,
    }
    counted = _coverage(pairs)
    if pairs.undecided and before.coverage is not None:
        counted = before.coverage.model_copy(update={"wanted": pairs.wanted})
    return SubscriptionStatus(
        observed_generation=generation,
        conditions=write_conditions(before.conditions, verdicts, generation, now),
        coverage=counted,
        missing=before.missing if pairs.undecided else _name_missing(pairs),
        gaps=gaps or before.gaps,
        last_event_time=_last_event(before, pairs.last_event_milliseconds),
    )


def count_gaps(
    subscription: Subscription, expansion: Expansion, reports: Sequence[FeederStatus]
) -> Gaps | None:
    """Return the ledger's rows of the Subscription's pairs, as the publishing feeders count.

    None while a feeder that publishes has not read it, or none told anything.
    """
    if not reports or any(report.repair.pending for report in reports):
        return None
    symbols, channels = set(expansion.symbols), set(subscription.spec.channels)
    rows = [
        gap
        for report in reports
        for gap in report.gaps
        if gap.symbol in symbols and gap.channel in channels
    ]
    missing = [row.missing for row in rows]
    return Gaps(
        open=sum(row.open for row in rows),
        filled=sum(row.filled for row in rows),
        unfillable=sum(row.unfillable for row in rows),
        missing=None if None in missing else sum(filter(None, missing)),
    )


def _judge_covered(subscription: Subscription, expansion: Expansion, pairs: Pairs) -> Verdict:
    if expansion.awaiting_listing and not expansion.symbols:
        return no(Reason.STARTING, "the venue's instrument list is not known yet")
    if pairs.wanted == 0:
        return no(Reason.SELECTOR_MATCHES_NOTHING)
    if not pairs.missing:
        return _judge_width(subscription, expansion, pairs)
    if pairs.trouble is not None:
        return no(*pairs.trouble)
    gone = pairs.count(ChannelState.REFUSED, ChannelState.RETIRED)
    reason = Reason.INSTRUMENTS_MISSING
    if gone == len(pairs.missing):
        retired = pairs.count(ChannelState.RETIRED)
        reason = Reason.INSTRUMENTS_RETIRED if retired == gone else Reason.INSTRUMENTS_REFUSED
    return no(reason, f"{pairs.live} of {pairs.wanted} channels are live; {_say_missing(pairs)}")


def _judge_width(subscription: Subscription, expansion: Expansion, pairs: Pairs) -> Verdict:
    if expansion.too_wide and subscription.spec.selector is not None:
        most = subscription.spec.selector.max_instruments
        return no(Reason.SELECTOR_TOO_WIDE, f"{expansion.matching} match, {most} are taken")
    waiting = "; globs wait for the venue's list" if expansion.awaiting_listing else ""
    return yes(Reason.ALL_LIVE, f"{pairs.live} of {pairs.wanted} channels are live{waiting}")


def _say_missing(pairs: Pairs) -> str:
    named = [
        f"{entry.pair[0]} {entry.pair[1]} ({entry.reason})"
        for entry in pairs.missing[:_NAMED_IN_MESSAGE]
    ]
    more = len(pairs.missing) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _judge_complete(gaps: Gaps | None) -> Verdict | None:
    if gaps is None:
        return None
    if gaps.open:
        return no(Reason.GAPS_OPEN, f"{gaps.open} gaps wait to be filled")
    if gaps.unfillable:
        return yes(Reason.GAPS_UNFILLABLE, f"{gaps.unfillable} gaps can be filled from nowhere")
    return yes(Reason.NO_OPEN_GAPS)


def _coverage(pairs: Pairs) -> SubscriptionCoverage:
    return SubscriptionCoverage(
        wanted=pairs.wanted,
        live=pairs.live,
        stale=pairs.count(ChannelState.STALE),
        refused=pairs.count(ChannelState.REFUSED, ChannelState.RETIRED),
        percent=pairs.live * 100 // pairs.wanted if pairs.wanted else 0,
    )


def _name_missing(pairs: Pairs) -> tuple[MissingChannel, ...]:
    return tuple(
        MissingChannel(
            instrument=entry.pair[0],
            channel=entry.pair[1],
            reason=entry.reason,
            message=entry.state.value,
        )
        for entry in pairs.missing[:MISSING_SHOWN]
    )


def _last_event(before: SubscriptionStatus, milliseconds: int) -> datetime | None:
    said = before.last_event_time
    if not milliseconds:
        return said
    newest = datetime.fromtimestamp(milliseconds // 60_000 * 60, UTC)
    return newest if said is None or newest - said >= LAST_EVENT_STEP else said
