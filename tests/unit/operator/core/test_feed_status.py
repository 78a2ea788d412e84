from dataclasses import replace
from typing import Any

import pytest
from support_plans import (
    NOW,
    accounts_of,
    held_lease,
    parse_subscription,
    report_of,
    run_feeders,
    running_pod,
    stored,
    workers_of,
)
from support_resources import JsonDict, feed_source, subscription

from feedplane_api.conditions import ConditionType, Reason, find_condition
from feedplane_api.feed_source import FeedSource, FeedSourceStatus
from feedplane_api.worker import Coverage, HealthReport, SessionState, SinkReport
from feedplane_operator.core.feed_events import note_feed_turns
from feedplane_operator.core.feed_status import observe_status, refuse_status
from feedplane_operator.core.observed import FeederView, Observed
from feedplane_operator.core.workers import plan_should
from feedplane_operator.events import EventReason

TWO = [{"name": "a"}, {"name": "b"}]
WANTED = parse_subscription(subscription("s", "spot"))


def _resource(**spec: Any) -> JsonDict:
    return stored(feed_source("spot", **spec))


def _status(
    resource: JsonDict, observed: Observed, before: FeedSourceStatus | None = None
) -> FeedSourceStatus:
    feed = FeedSource.parse(resource)
    if before is not None:
        feed = feed.model_copy(update={"status": before})
    accounts = accounts_of(feed, observed)
    return observe_status(feed, observed, plan_should(feed, observed), accounts, NOW)


def _said(status: FeedSourceStatus) -> dict[str, tuple[str, str]]:
    return {entry.type: (entry.status.value, entry.reason) for entry in status.conditions}


def _running(resource: JsonDict, **changes: Any) -> Observed:
    return run_feeders(resource, Observed(subscriptions=(WANTED,)), **changes)


def test_single_account_that_streams_is_ready_but_alone() -> None:
    resource = _resource()
    status = _status(resource, _running(resource))
    assert _said(status) == {
        "Accepted": ("True", "Valid"),
        "Ready": ("True", "AllLive"),
        "Streaming": ("True", "ActiveHealthy"),
        "Redundant": ("False", "SingleAccount"),
        "Degraded": ("False", "NotDegraded"),
        "Paused": ("False", "NotPaused"),
    }
    assert status.active_account == "a"
    assert (status.events_per_second, status.lag_milliseconds) == (1000, 12)
    assert status.accounts[0].healthy.value == "True"


def test_standby_that_streams_makes_the_feed_redundant() -> None:
    resource = _resource(accounts=TWO)
    assert _said(_status(resource, _running(resource)))["Redundant"] == ("True", "StandbyReady")


def test_standby_in_trouble_leaves_the_feed_ready() -> None:
    resource = _resource(accounts=TWO)
    observed = _running(resource)
    feeders = {**observed.feeders, "spot-b-0": FeederView(error="Timeout")}
    said = _said(_status(resource, replace(observed, feeders=feeders)))
    assert said["Ready"] == ("True", "AllLive")
    assert said["Redundant"] == ("False", "StandbyNotReady")
    assert said["Degraded"] == ("False", "NotDegraded")


def test_cold_standby_could_not_take_over_now() -> None:
    resource = _resource(accounts=TWO, failover={"mode": "Cold"})
    status = _status(resource, _running(resource))
    said = next(entry for entry in status.conditions if entry.type == "Redundant")
    assert (said.reason, said.message) == (
        "StandbyNotReady",
        "account b: The account's feeders are stopped.",
    )
    assert status.accounts[1].reason == "Stopped"


def test_feed_whose_feeders_were_not_asked_is_undecided() -> None:
    resource = _resource(accounts=TWO)
    observed = replace(_running(resource), feeders={})
    first = _said(_status(resource, observed))
    assert first["Ready"] == first["Degraded"] == ("Unknown", "AwaitingObservation")
    assert first["Redundant"] == ("Unknown", "AwaitingObservation")


def test_restarted_operator_changes_no_word_before_it_asked() -> None:
    resource = _resource(accounts=TWO)
    observed = _running(resource)
    before = _status(resource, observed)
    again = _status(resource, replace(observed, feeders={}), before)
    assert again.conditions == before.conditions
    assert again.coverage == before.coverage
    assert again.accounts == before.accounts


def test_all_accounts_in_trouble_degrade_the_feed() -> None:
    resource = _resource(accounts=TWO)
    said = _said(_status(resource, _running(resource, session=SessionState.DISCONNECTED)))
    assert said["Degraded"] == ("True", "NoAccountHealthy")
    assert said["Ready"] == said["Streaming"] == ("False", "SessionLost")


def test_feed_that_starts_is_not_degraded_yet() -> None:
    resource = _resource()
    status = _status(resource, Observed(subscriptions=(WANTED,)))
    said = _said(status)
    assert said["Ready"] == said["Streaming"] == ("False", "Starting")
    assert said["Degraded"] == ("Unknown", "AwaitingObservation")
    assert status.accounts[0].healthy.value == "Unknown"


def test_sink_that_is_away_is_told_though_data_flows() -> None:
    resource = _resource()
    away = SinkReport(name="db", kind="postgres", connected=False, last_error="refused")
    said = _said(_status(resource, _running(resource, sinks=(away,))))
    assert said["Streaming"] == ("True", "ActiveHealthy")
    assert said["Ready"] == ("False", "SinkUnavailable")
    assert said["Degraded"] == ("True", "SinkUnavailable")


def test_coverage_below_the_minimum_is_not_ready() -> None:
    resource = _resource()
    status = _status(resource, _running(resource, coverage=Coverage(wanted=1, live=0)))
    said = _said(status)
    assert said["Ready"] == ("False", "CoverageLow")
    assert said["Degraded"] == ("True", "CoverageLow")
    assert status.coverage is not None
    assert status.coverage.percent == 0


def test_feed_nobody_subscribes_to_waits_in_peace() -> None:
    resource = _resource()
    said = _said(_status(resource, run_feeders(resource, Observed())))
    assert said["Ready"] == ("True", "NothingWanted")
    assert said["Streaming"] == ("False", "NothingWanted")


def test_feed_without_lease_holder_has_no_active_account() -> None:
    resource = _resource()
    status = _status(resource, replace(_running(resource), leases={}))
    assert _said(status)["Ready"] == ("False", "NoActiveAccount")
    assert status.active_account is None


def test_paused_feed_says_so_in_every_word() -> None:
    resource = _resource(state="Paused")
    said = _said(_status(resource, Observed(subscriptions=(WANTED,))))
    assert said["Paused"] == ("True", "PausedBySpec")
    assert said["Ready"] == said["Streaming"] == said["Degraded"] == ("False", "PausedBySpec")


def test_change_of_hands_is_counted_once() -> None:
    resource = _resource(accounts=TWO)
    before = _status(resource, _running(resource))
    moved = replace(_running(resource), leases={"spot-publisher-0": held_lease("b", epoch=2)})
    after = _status(resource, moved, before)
    assert after.failover is not None
    assert (after.failover.count, after.failover.epoch, after.active_account) == (1, 2, "b")
    again = _status(resource, moved, after)
    assert again.failover == after.failover
    reasons = [note.reason for note in note_feed_turns(before, after)]
    assert reasons == [EventReason.FAILOVER_STARTED, EventReason.FAILOVER_COMPLETED]


def test_gap_between_holders_is_no_failover() -> None:
    resource = _resource(accounts=TWO)
    before = _status(resource, _running(resource))
    nobody = _status(resource, replace(_running(resource), leases={}), before)
    same = _status(resource, _running(resource), nobody)
    assert same.failover is not None
    assert same.failover.count == 0


def test_holder_that_is_no_account_of_ours_leads_nothing() -> None:
    resource = _resource()
    leases = {"spot-publisher-0": held_lease("stranger")}
    status = _status(resource, replace(_running(resource), leases=leases))
    assert _said(status)["Ready"] == ("True", "AllLive")
    assert status.active_account == "stranger"


@pytest.mark.parametrize(
    ("lag", "shown"),
    [pytest.param(None, 0, id="no lag known"), pytest.param(777, 770, id="two digits")],
)
def test_lag_is_shown_coarsely(lag: int | None, shown: int) -> None:
    resource = _resource()
    assert _status(resource, _running(resource, lag_milliseconds=lag)).lag_milliseconds == shown


def test_refused_spec_leaves_all_else_as_it_was() -> None:
    resource = _resource()
    before = _status(resource, _running(resource))
    after = refuse_status(before, (Reason.INVALID_SPEC, "spec.venue: no"), 2, NOW)
    accepted = find_condition(after.conditions, ConditionType.ACCEPTED)
    assert accepted is not None
    assert (accepted.status.value, accepted.message) == ("False", "spec.venue: no")
    ready = ConditionType.READY
    assert find_condition(after.conditions, ready) == find_condition(before.conditions, ready)
    assert after.coverage == before.coverage


def test_spec_refused_from_the_first_is_not_ready() -> None:
    after = refuse_status(FeedSourceStatus(), (Reason.INVALID_SPEC, "no"), 1, NOW)
    assert _said(after)["Ready"] == ("False", "NotAccepted")
    assert _said(after)["Streaming"] == ("Unknown", "AwaitingObservation")


def test_shards_add_up_on_the_leading_account() -> None:
    resource = _resource(sharding={"maxInstrumentsPerShard": 1})
    wanted = parse_subscription(subscription("s", "spot", instruments=["A", "B"]))
    observed = run_feeders(resource, Observed(subscriptions=(wanted,)))
    status = _status(resource, observed)
    assert status.coverage is not None
    assert (status.coverage.wanted, status.coverage.live) == (2, 2)
    assert status.events_per_second == 2000


def test_refusal_by_a_pod_stands_beside_the_rest() -> None:
    resource = _resource()
    feed = FeedSource.parse(resource)
    observed = _running(resource)
    refusal = (Reason.UNKNOWN_VENUE, "no atlantis")
    should, accounts = plan_should(feed, observed), accounts_of(feed, observed)
    status = observe_status(feed, observed, should, accounts, NOW, refusal=refusal)
    assert _said(status)["Accepted"] == ("False", "UnknownVenue")


def test_reports_count_the_instruments_of_an_account() -> None:
    resource = _resource()
    (worker,) = workers_of(FeedSource.parse(resource), Observed(subscriptions=(WANTED,)))
    report = report_of(worker, last_event_milliseconds={"A": 1, "B": 2})
    observed = replace(
        _running(resource),
        feeders={worker.name: FeederView(report=report)},
        pods={worker.name: (running_pod(worker.name),)},
    )
    assert _status(resource, observed).accounts[0].instruments == 2


def test_two_publishers_degrade_the_feed() -> None:
    resource = _resource(accounts=TWO)
    said = _said(_status(resource, replace(_running(resource), conflicts=frozenset({1}))))
    assert said["Degraded"] == ("True", "LeaseConflict")
    assert said["Ready"] == ("True", "AllLive")


def test_standby_in_maintenance_makes_no_feed_redundant() -> None:
    resource = _resource(accounts=[{"name": "a"}, {"name": "b", "state": "Maintenance"}])
    status = _status(resource, _running(resource))
    said = next(entry for entry in status.conditions if entry.type == "Redundant")
    assert said.status.value == "False"
    assert said.message == "account b: A person took the account out of service."


def test_feed_whose_market_is_closed_is_ready_without_a_session() -> None:
    resource = _resource(accounts=TWO)
    closed = {
        "session": SessionState.DISCONNECTED,
        "health": HealthReport(healthy=True, reason="MarketClosed"),
        "coverage": Coverage(wanted=2, live=0),
    }
    said = _said(_status(resource, _running(resource, **closed)))
    assert said["Ready"] == said["Streaming"] == ("True", "MarketClosed")
    assert said["Redundant"] == ("True", "StandbyReady")
    assert said["Degraded"] == ("False", "NotDegraded")
    # The same is a fault once the market is open.
    away = closed | {"health": HealthReport(healthy=False, reason="SessionLost")}
    assert _said(_status(resource, _running(resource, **away)))["Streaming"][0] == "False"
