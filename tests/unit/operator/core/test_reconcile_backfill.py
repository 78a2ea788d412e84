from typing import Any

import pytest
from support_plans import NOW, after, stored
from support_resources import BACKFILL, JsonDict, condition, feed_source

from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Plan
from feedplane_operator.core.reconcile_backfill import reconcile_backfill
from feedplane_operator.events import EventReason

FEED = Observed(feed_source=stored(feed_source("spot")))


def _backfill(**spec: Any) -> JsonDict:
    return stored({**BACKFILL, "spec": {**BACKFILL["spec"], **spec}})  # type: ignore[dict-item]


def test_valid_backfill_is_stored_and_says_what_it_awaits() -> None:
    plan = reconcile_backfill(_backfill(), FEED, NOW)
    written = {"status": plan.status}
    assert condition(written, "Accepted")["status"] == "True"
    running = condition(written, "Running")
    assert (running["status"], running["reason"]) == ("False", "AwaitingSupport")
    assert "later release" in running["message"]
    assert plan.events == ()


def test_plan_applied_leaves_nothing_to_plan() -> None:
    written, observed = after(_backfill(), FEED, reconcile_backfill(_backfill(), FEED, NOW))
    assert reconcile_backfill(written, observed, NOW) == Plan()


@pytest.mark.parametrize(
    ("backfill", "observed", "reason"),
    [
        pytest.param(_backfill(), Observed(), "FeedSourceNotFound", id="no feed source"),
        pytest.param(_backfill(channels=["gossip"]), FEED, "InvalidSpec", id="no such channel"),
    ],
)
def test_refused_backfill_says_why(backfill: JsonDict, observed: Observed, reason: str) -> None:
    plan = reconcile_backfill(backfill, observed, NOW)
    accepted = condition({"status": plan.status}, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert condition({"status": plan.status}, "Running")["reason"] == "NotAccepted"
    assert [note.reason for note in plan.events] == [EventReason.SPEC_REFUSED]


def test_subscription_referred_to_must_exist() -> None:
    spec = {
        "feedSourceRef": {"name": "spot"},
        "subscriptionRef": {"name": "majors"},
        "range": {"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z"},
    }
    backfill = stored({**BACKFILL, "spec": spec})
    plan = reconcile_backfill(backfill, FEED, NOW)
    assert condition({"status": plan.status}, "Accepted")["reason"] == "SubscriptionNotFound"
    known = Observed(feed_source=FEED.feed_source, subscription_names=frozenset({"majors"}))
    plan = reconcile_backfill(backfill, known, NOW)
    assert condition({"status": plan.status}, "Accepted")["reason"] == "Valid"
