from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support_plans import NOW, parse_subscription
from support_resources import feeder_status, subscription

from feedplane_api.conditions import Reason
from feedplane_api.subscription import Gaps, SubscriptionStatus
from feedplane_api.worker import ChannelState, GapCount, RepairReport
from feedplane_operator.core.coverage import Missing, Pairs
from feedplane_operator.core.subscription_status import (
    count_gaps,
    note_subscription_turns,
    observe_status,
    refuse_status,
)
from feedplane_operator.core.wanted import Expansion
from feedplane_operator.events import EventReason

WANTED = parse_subscription(subscription("s", "f", instruments=["A", "B"]))
EXPANSION = Expansion(symbols=("A", "B"))
LIVE = Pairs(wanted=2)
GLOBS = parse_subscription(subscription("s", "f", selector={"include": ["*"], "maxInstruments": 2}))


def _missing(*states: ChannelState) -> Pairs:
    missing = tuple(
        Missing(pair=(f"S{number}", "trade"), state=state, reason="Why")
        for number, state in enumerate(states)
    )
    return Pairs(wanted=30, missing=missing)


def _said(status: SubscriptionStatus) -> dict[str, tuple[str, str]]:
    return {entry.type: (entry.status.value, entry.reason) for entry in status.conditions}


def _observe(pairs: Pairs, gaps: Gaps | None = None, **fields: Any) -> SubscriptionStatus:
    wanted = fields.get("wanted", WANTED)
    before = fields.get("before", SubscriptionStatus())
    wanted = wanted.model_copy(update={"status": before})
    return observe_status(
        wanted, fields.get("expansion", EXPANSION), pairs, gaps, fields.get("refusal"), NOW
    )


def test_everything_live_is_covered_and_ready() -> None:
    status = _observe(LIVE, Gaps())
    assert _said(status) == {
        "Accepted": ("True", "Valid"),
        "Covered": ("True", "AllLive"),
        "Complete": ("True", "NoOpenGaps"),
        "Ready": ("True", "AllLive"),
    }
    assert status.coverage is not None
    assert (status.coverage.live, status.coverage.percent) == (2, 100)


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        pytest.param([ChannelState.STALE, ChannelState.REFUSED], "InstrumentsMissing", id="mixed"),
        pytest.param([ChannelState.REFUSED] * 2, "InstrumentsRefused", id="refused"),
        pytest.param([ChannelState.RETIRED] * 2, "InstrumentsRetired", id="retired"),
        pytest.param(
            [ChannelState.RETIRED, ChannelState.REFUSED], "InstrumentsRefused", id="gone both ways"
        ),
    ],
)
def test_missing_pairs_are_told_by_what_became_of_them(
    states: list[ChannelState], reason: str
) -> None:
    assert _said(_observe(_missing(*states)))["Covered"] == ("False", reason)


def test_message_names_three_and_counts_the_rest() -> None:
    status = _observe(_missing(*[ChannelState.STALE] * 25))
    message = next(entry.message for entry in status.conditions if entry.type == "Covered")
    assert message == (
        "5 of 30 channels are live; S0 trade (Why), S1 trade (Why), S2 trade (Why) and 22 more"
    )
    assert len(status.missing) == 20
    assert status.coverage is not None
    assert status.coverage.stale == 25


def test_message_with_few_missing_counts_no_rest() -> None:
    status = _observe(_missing(ChannelState.STALE))
    message = next(entry.message for entry in status.conditions if entry.type == "Covered")
    assert message.endswith("S0 trade (Why)")


def test_trouble_of_the_feeder_comes_before_its_pairs() -> None:
    trouble = (Reason.FEEDER_UNREACHABLE, "Pod x does not answer")
    pairs = Pairs(wanted=2, missing=_missing(ChannelState.PENDING).missing, trouble=trouble)
    assert _said(_observe(pairs))["Ready"] == ("False", "FeederUnreachable")


def test_undecided_pairs_change_no_word() -> None:
    before = _observe(_missing(ChannelState.STALE), Gaps(open=1))
    after = _observe(Pairs(wanted=30, undecided=True), None, before=before)
    assert after.conditions == before.conditions
    assert after.missing == before.missing
    assert after.coverage == before.coverage
    assert after.gaps == before.gaps


def test_undecided_from_the_first_is_unknown() -> None:
    status = _observe(Pairs(wanted=2, undecided=True))
    assert _said(status)["Covered"] == ("Unknown", "AwaitingObservation")
    assert _said(status)["Complete"] == ("Unknown", "AwaitingObservation")


@pytest.mark.parametrize(
    ("expansion", "pairs", "said"),
    [
        pytest.param(
            Expansion(symbols=(), awaiting_listing=True),
            Pairs(),
            ("False", "Starting"),
            id="the list is not known",
        ),
        pytest.param(
            Expansion(symbols=()), Pairs(), ("False", "SelectorMatchesNothing"), id="no match"
        ),
        pytest.param(
            Expansion(symbols=("A", "B"), matching=9, too_wide=True),
            LIVE,
            ("False", "SelectorTooWide"),
            id="too many match",
        ),
        pytest.param(
            Expansion(symbols=("A", "B"), awaiting_listing=True),
            LIVE,
            ("True", "AllLive"),
            id="what is known is live",
        ),
    ],
)
def test_globs_are_judged_by_what_they_match(
    expansion: Expansion, pairs: Pairs, said: tuple[str, str]
) -> None:
    status = _observe(pairs, wanted=GLOBS, expansion=expansion)
    assert _said(status)["Covered"] == said


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        pytest.param(Gaps(open=2, unfillable=1), ("False", "GapsOpen"), id="open"),
        pytest.param(Gaps(filled=4, unfillable=1), ("True", "GapsUnfillable"), id="unfillable"),
        pytest.param(Gaps(filled=4), ("True", "NoOpenGaps"), id="filled"),
    ],
)
def test_tape_is_complete_without_an_open_gap(gaps: Gaps, said: tuple[str, str]) -> None:
    assert _said(_observe(LIVE, gaps))["Complete"] == said


def test_gaps_count_the_pairs_that_are_wanted() -> None:
    gaps = (
        GapCount(symbol="A", channel="trade", open=1, filled=2, missing=40),
        GapCount(symbol="A", channel="quote", open=7),
        GapCount(symbol="Z", channel="trade", open=7),
    )
    reports = [
        feeder_status(gaps=gaps),
        feeder_status(gaps=(GapCount(symbol="B", channel="trade", unfillable=3, missing=2),)),
    ]
    counted = count_gaps(WANTED, EXPANSION, reports)
    assert counted == Gaps(open=1, filled=2, unfillable=3, missing=42)


def test_missing_trades_are_not_told_where_a_feeder_reads_no_ledger() -> None:
    gaps = (
        GapCount(symbol="A", channel="trade", missing=1),
        GapCount(symbol="B", channel="trade", open=1),
    )
    told = count_gaps(WANTED, EXPANSION, [feeder_status(gaps=gaps)])
    assert told == Gaps(open=1)
    assert count_gaps(WANTED, EXPANSION, [feeder_status()]) == Gaps(missing=0)


def test_gaps_are_not_told_before_the_ledger_was_read() -> None:
    promoted = feeder_status(repair=RepairReport(pending=True))
    assert count_gaps(WANTED, EXPANSION, [feeder_status(), promoted]) is None
    assert count_gaps(WANTED, EXPANSION, []) is None


def test_last_event_moves_in_large_steps() -> None:
    start = datetime(2026, 11, 21, 7, 0, 30, tzinfo=UTC)

    def shown(before: datetime | None, now: datetime) -> datetime | None:
        pairs = Pairs(wanted=2, last_event_milliseconds=int(now.timestamp() * 1000))
        return _observe(pairs, before=SubscriptionStatus(last_event_time=before)).last_event_time

    first = shown(None, start)
    assert first == start.replace(second=0)
    assert shown(first, start + timedelta(minutes=4)) == first
    assert shown(first, start + timedelta(minutes=6)) == first + timedelta(minutes=6)
    assert _observe(LIVE, before=SubscriptionStatus(last_event_time=first)).last_event_time == first


def test_coverage_that_is_lost_is_an_event() -> None:
    good, bad = _observe(LIVE), _observe(_missing(ChannelState.STALE), before=_observe(LIVE))
    assert [n.reason for n in note_subscription_turns(good, bad)] == [EventReason.COVERAGE_LOST]
    assert note_subscription_turns(SubscriptionStatus(), good) == ()
    back = [note.reason for note in note_subscription_turns(bad, good)]
    assert back == [EventReason.COVERAGE_REGAINED]


def test_gaps_are_told_when_they_open_and_close() -> None:
    whole = _observe(LIVE, Gaps())
    torn = _observe(LIVE, Gaps(open=1), before=whole)
    assert [n.reason for n in note_subscription_turns(whole, torn)] == [EventReason.GAPS_OPENED]
    healed = _observe(LIVE, Gaps(filled=1), before=torn)
    assert [n.reason for n in note_subscription_turns(torn, healed)] == [EventReason.GAPS_CLOSED]


def test_refused_subscription_keeps_what_was_said() -> None:
    refusal = (Reason.INVALID_SPEC, "spec.channels: no")
    fresh = refuse_status(SubscriptionStatus(), refusal, 1, NOW)
    assert _said(fresh)["Ready"] == ("False", "NotAccepted")
    assert _said(fresh)["Covered"] == ("Unknown", "AwaitingObservation")
    kept = refuse_status(_observe(LIVE), refusal, 1, NOW)
    assert _said(kept)["Ready"] == ("True", "AllLive")
    assert _said(kept)["Accepted"] == ("False", "InvalidSpec")


def test_subscription_without_feed_source_delivers_nothing() -> None:
    refusal = (Reason.FEED_SOURCE_NOT_FOUND, "no FeedSource f")
    lost = refuse_status(_observe(LIVE), refusal, 1, NOW)
    assert _said(lost)["Ready"] == _said(lost)["Covered"] == ("False", "FeedSourceNotFound")


def test_feed_source_refused_leaves_coverage_truthful() -> None:
    refusal = (Reason.FEED_SOURCE_NOT_ACCEPTED, "see FeedSource f")
    said = _said(_observe(_missing(ChannelState.STALE), refusal=refusal))
    assert said["Accepted"] == ("False", "FeedSourceNotAccepted")
    assert said["Ready"] == ("False", "InstrumentsMissing")
