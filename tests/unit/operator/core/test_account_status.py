from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support_plans import (
    NOW,
    accounts_of,
    parse_feed,
    parse_subscription,
    run_feeders,
    stored,
)
from support_resources import feed_source, subscription

from feedplane_api.conditions import ConditionStatus
from feedplane_api.feed_source import AccountRole, AccountStatus, FeedSourceStatus
from feedplane_api.worker import HealthReport
from feedplane_operator.core.account_status import state_accounts
from feedplane_operator.core.observed import FeederView, Observed
from feedplane_operator.core.plan import Ref

TWO = [{"name": "a"}, {"name": "b"}]
WANTED = parse_subscription(subscription("s", "spot"))
SICK = HealthReport(healthy=False, reason="CoverageLow", message="few")


def _state(observed: Observed, *before: AccountStatus, **spec: Any) -> tuple[AccountStatus, ...]:
    feed = parse_feed(**{"accounts": TWO, **spec})
    feed = feed.model_copy(update={"status": FeedSourceStatus(accounts=before)})
    return state_accounts(feed, accounts_of(feed, observed), "a", NOW)


def _running(**changes: Any) -> Observed:
    observed = Observed(subscriptions=(WANTED,))
    return run_feeders(stored(feed_source("spot", accounts=TWO)), observed, **changes)


def test_roles_tell_who_publishes_and_who_could() -> None:
    roles = [entry.role for entry in _state(_running())]
    assert roles == [AccountRole.ACTIVE, AccountRole.STANDBY]


@pytest.mark.parametrize(
    ("spec", "role", "reason"),
    [
        pytest.param({"failover": {"mode": "Cold"}}, AccountRole.STOPPED, "Stopped", id="cold"),
        pytest.param(
            {"accounts": [{"name": "a"}, {"name": "b", "state": "Maintenance"}]},
            AccountRole.MAINTENANCE,
            "Maintenance",
            id="maintenance",
        ),
    ],
)
def test_account_without_feeders_says_why(
    spec: dict[str, Any], role: AccountRole, reason: str
) -> None:
    second = _state(_running(), **spec)[1]
    assert (second.role, second.reason) == (role, reason)
    assert second.healthy is ConditionStatus.UNKNOWN


def test_failing_account_keeps_the_time_it_began() -> None:
    first = _state(_running(health=SICK))[0]
    assert (first.healthy, first.reason) == (ConditionStatus.FALSE, "CoverageLow")
    assert first.failing_since_time == NOW
    earlier = first.model_copy(update={"failing_since_time": NOW - timedelta(hours=1)})
    assert _state(_running(health=SICK), earlier)[0].failing_since_time == NOW - timedelta(hours=1)
    assert _state(_running(), earlier)[0].failing_since_time is None


def test_account_nobody_asked_is_told_as_before_but_for_its_role() -> None:
    first, _ = _state(_running(health=SICK))
    observed = replace(_running(), feeders={})
    standby = first.model_copy(update={"role": AccountRole.STANDBY})
    assert _state(observed, standby)[0] == first
    assert _state(observed)[0].reason == "AwaitingObservation"


def test_account_that_starts_is_neither_healthy_nor_failing() -> None:
    pods = {name: (replace(pod, address=""),) for name, (pod,) in _running().pods.items()}
    first = _state(replace(_running(), pods=pods, feeders={}))[0]
    assert (first.healthy, first.reason) == (ConditionStatus.UNKNOWN, "Starting")


def test_cold_start_is_told_until_the_account_is_sick() -> None:
    observed = _running(health=SICK)
    (b,) = [view for name, view in _running().feeders.items() if name == "spot-b-0"]
    cold = {"failover": {"mode": "Cold"}}
    running = replace(observed, children=_children(), feeders={**observed.feeders, "spot-b-0": b})
    second = _state(running, **cold)[1]
    assert (second.healthy, second.reason) == (ConditionStatus.TRUE, "ColdStart")
    unheard = replace(running, feeders={**running.feeders, "spot-b-0": FeederView()})
    second = _state(unheard, **cold)[1]
    assert (second.healthy, second.reason) == (ConditionStatus.UNKNOWN, "ColdStart")
    second = _state(replace(observed, children=_children()), **cold)[1]
    assert (second.healthy, second.reason) == (ConditionStatus.FALSE, "CoverageLow")


def _children() -> dict[Any, Any]:
    return {
        Ref("Deployment", "default", f"spot-{name}-0"): {
            "metadata": {"labels": {"feedplane.dev/account": name}},
            "spec": {"replicas": 1},
        }
        for name in ("a", "b")
    }
