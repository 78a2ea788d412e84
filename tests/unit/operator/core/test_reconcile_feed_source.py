import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_plans import (
    NOW,
    after,
    parse_subscription,
    run_feeders,
    settle_feed,
    stored,
)
from support_resources import JsonDict, condition, feed_source, subscription

from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Plan, Ref, ref_of
from feedplane_operator.core.reconcile_feed_source import (
    describe_changes,
    reconcile_feed_source,
)
from feedplane_operator.events import EventReason

NATS = [{"name": "bus", "nats": {"servers": ["nats://n:4222"]}}]
WANTED = parse_subscription(subscription("s", "spot"))
OBSERVED = Observed(subscriptions=(WANTED,))

ACCOUNTS = st.integers(1, 3).map(lambda n: [{"name": f"a{i}"} for i in range(n)])
SYMBOLS = st.sets(st.sampled_from(["A", "B", "C", "D", "E"]), min_size=1).map(sorted)
STATES = st.sampled_from(["Running", "Paused"])


@st.composite
def resources(draw: st.DrawFn) -> JsonDict:
    """Draw a FeedSource, good or refused."""
    spec: dict[str, Any] = {
        "accounts": draw(ACCOUNTS),
        "state": draw(STATES),
        "sharding": {"maxInstrumentsPerShard": draw(st.integers(1, 3))},
        "feeder": {"resources": {"limits": {"cpu": draw(st.sampled_from(["1", "500m", "0.5"]))}}},
    }
    if draw(st.booleans()):
        spec["sinks"] = NATS
    return stored(feed_source("spot", **spec))


def _observe(symbols: list[str]) -> Observed:
    manifest = subscription("s", "spot", instruments=symbols)
    return Observed(subscriptions=(parse_subscription(manifest),))


@settings(max_examples=60, deadline=None)
@given(resources(), SYMBOLS, SYMBOLS)
def test_plan_applied_leaves_nothing_to_plan(
    resource: JsonDict, symbols: list[str], later: list[str]
) -> None:
    surroundings = _observe(symbols)
    for wanted in (symbols, later):
        subscriptions = _observe(wanted).subscriptions
        surroundings = replace(surroundings, subscriptions=subscriptions)
        plan = reconcile_feed_source(resource, surroundings, NOW)
        resource, surroundings = after(resource, surroundings, plan)
        second = reconcile_feed_source(resource, surroundings, NOW + timedelta(hours=1))
        assert second == Plan(requeue_after_seconds=plan.requeue_after_seconds)


@settings(max_examples=30, deadline=None)
@given(resources(), SYMBOLS)
def test_equal_inputs_give_an_equal_plan(resource: JsonDict, symbols: list[str]) -> None:
    copy = json.loads(json.dumps(resource))
    first = reconcile_feed_source(resource, _observe(symbols), NOW)
    assert first == reconcile_feed_source(copy, _observe(symbols), NOW)


@settings(max_examples=20, deadline=None)
@given(resources(), SYMBOLS, resources())
def test_changed_spec_leaves_no_child_of_the_old_one(
    resource: JsonDict, symbols: list[str], other: JsonDict
) -> None:
    resource, surroundings = settle_feed(resource, _observe(symbols))
    changed = {**other, "status": resource.get("status", {})}
    changed, surroundings = settle_feed(changed, surroundings)
    if condition(changed, "Accepted")["status"] == "True":
        _, fresh = settle_feed(other, _observe(symbols))
        assert {ref.name for ref in fresh.children if ref.kind == "ServiceAccount"} <= {
            ref.name for ref in surroundings.children
        }
        kept = {ref for ref in surroundings.children if ref not in fresh.children}
        # What is kept besides are shards that instruments stick to.
        assert all("a0" in ref.name or ref.name[-1].isdecimal() for ref in kept)


@settings(max_examples=20, deadline=None)
@given(resources(), SYMBOLS)
def test_streaming_feeders_leave_nothing_to_plan_either(
    resource: JsonDict, symbols: list[str]
) -> None:
    resource, surroundings = settle_feed(resource, _observe(symbols))
    surroundings = (
        run_feeders(resource, surroundings, holder="a0") if _runs(resource) else surroundings
    )
    resource, surroundings = settle_feed(resource, surroundings)
    assert reconcile_feed_source(resource, surroundings, NOW) == Plan(requeue_after_seconds=300.0)


def _runs(resource: JsonDict) -> bool:
    return bool(resource["spec"]["sinks"] != NATS)


def test_child_drifted_is_applied_again_alone() -> None:
    resource, observed = settle_feed(stored(feed_source("spot")), OBSERVED)
    ref = Ref("Deployment", "default", "spot-a-0")
    drifted = json.loads(json.dumps(observed.children[ref]))
    drifted["spec"]["replicas"] = 3
    observed = replace(observed, children={**observed.children, ref: drifted})
    plan = reconcile_feed_source(resource, observed, NOW)
    assert [ref_of(child) for child in plan.apply] == [ref]
    assert describe_changes(plan, observed.children) == ((ref, "spec.replicas"),)


def test_child_absent_is_described_so() -> None:
    plan = reconcile_feed_source(stored(feed_source("spot")), OBSERVED, NOW)
    assert {why for _, why in describe_changes(plan, {})} == {"absent"}


def test_child_with_foreign_fields_is_left_alone() -> None:
    resource, observed = settle_feed(stored(feed_source("spot")), OBSERVED)
    labelled = {
        ref: {**child, "metadata": {**child["metadata"], "labels": _more(child)}, "extra": 1}
        for ref, child in observed.children.items()
    }
    plan = reconcile_feed_source(resource, replace(observed, children=labelled), NOW)
    assert plan == Plan(requeue_after_seconds=300.0)


def _more(child: Any) -> dict[str, str]:
    return {**child["metadata"]["labels"], "team": "rates"}


def test_child_of_somebody_else_is_never_deleted() -> None:
    resource, observed = settle_feed(stored(feed_source("spot")), OBSERVED)
    stranger = {"kind": "Service", "metadata": {"name": "mine", "namespace": "default"}}
    going = {
        "kind": "Service",
        "metadata": {
            "name": "spot-z-0",
            "namespace": "default",
            "deletionTimestamp": "now",
            "ownerReferences": [{"controller": True, "uid": "uid-1"}],
        },
    }
    children = {**observed.children, ref_of(stranger): stranger, ref_of(going): going}
    assert reconcile_feed_source(resource, replace(observed, children=children), NOW).delete == ()


def test_account_removed_deletes_its_children() -> None:
    two = feed_source("spot", accounts=[{"name": "a"}, {"name": "b"}])
    _, observed = settle_feed(stored(two), OBSERVED)
    plan = reconcile_feed_source(stored(feed_source("spot")), observed, NOW)
    assert {ref.name for ref in plan.delete} == {"spot-b-0"}
    assert {ref.kind for ref in plan.delete} == {
        "ConfigMap",
        "Deployment",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }


def test_spec_that_cannot_be_read_touches_no_child() -> None:
    resource, observed = settle_feed(stored(feed_source("spot")), OBSERVED)
    broken = {**resource, "spec": {**resource["spec"], "venue": "NO SUCH"}}
    plan = reconcile_feed_source(broken, observed, NOW)
    assert (plan.apply, plan.delete) == ((), ())
    assert plan.status is not None
    accepted = condition({"status": plan.status}, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "spec.venue" in accepted["message"]
    assert [note.reason for note in plan.events] == [EventReason.SPEC_REFUSED]


@pytest.mark.parametrize("paused", [False, True])
def test_spec_that_is_refused_leaves_the_status_truthful(paused: bool) -> None:
    state = "Paused" if paused else "Running"
    resource, observed = settle_feed(stored(feed_source("spot", state=state)), OBSERVED)
    observed = run_feeders(resource, observed)
    refused = {**resource, "spec": {**resource["spec"], "sinks": NATS}}
    plan = reconcile_feed_source(refused, observed, NOW)
    assert (plan.apply, plan.delete) == ((), ())
    assert plan.status is not None
    written = {"status": plan.status}
    assert condition(written, "Accepted")["reason"] == "UnsupportedSink"
    assert condition(written, "Paused")["status"] == str(paused)
    assert condition(written, "Ready")["status"] == str(not paused)


def test_name_taken_makes_no_child_at_all() -> None:
    taken = frozenset({Ref("Service", "default", "spot-a-0")})
    plan = reconcile_feed_source(
        stored(feed_source("spot")), replace(OBSERVED, taken_names=taken), NOW
    )
    assert plan.apply == ()
    assert plan.status is not None
    assert condition({"status": plan.status}, "Accepted")["reason"] == "NameConflict"
    assert condition({"status": plan.status}, "Ready")["reason"] == "NotAccepted"


def test_refusal_that_another_object_can_end_is_looked_at_again_soon() -> None:
    login = [{"name": "a", "credentialsSecretRef": {"name": "login"}}]
    resource = stored(feed_source("spot", accounts=login))
    plan = reconcile_feed_source(resource, replace(OBSERVED, account_rivals={"a": "elder"}), NOW)
    assert plan.requeue_after_seconds == 5.0
