from dataclasses import replace
from typing import Any

from support_plans import (
    NOW,
    after,
    parse_subscription,
    report_of,
    run_feeders,
    running_pod,
    settle_feed,
    stored,
    workers_of,
)
from support_resources import JsonDict, condition, feed_source, mute, subscription

from feedplane_api.feed_source import FeedSource
from feedplane_operator.core.observed import FeederView, Observed
from feedplane_operator.core.plan import Plan, Ref
from feedplane_operator.core.reconcile_subscription import reconcile_subscription

TWO = [{"name": "a"}, {"name": "b"}]


def _around(wanted: JsonDict, **spec: Any) -> tuple[JsonDict, Observed]:
    """Return a FeedSource that streams everything, and what stands around it."""
    observed = Observed(subscriptions=(parse_subscription(wanted),))
    resource, observed = settle_feed(stored(feed_source("spot", **spec)), observed)
    observed = run_feeders(resource, observed)
    resource, observed = settle_feed(resource, observed)
    return resource, replace(observed, feed_source=resource)


def _reconcile(wanted: JsonDict, observed: Observed) -> JsonDict:
    plan = reconcile_subscription(stored(wanted), observed, NOW)
    assert plan.status is not None
    return {"status": dict(plan.status)}


def _said(written: JsonDict, kind: str) -> tuple[str, str]:
    found = condition(written, kind)
    return found["status"], found["reason"]


def test_streaming_feed_covers_its_subscription() -> None:
    wanted = subscription("s", "spot")
    _, observed = _around(wanted)
    written = _reconcile(wanted, observed)
    assert _said(written, "Ready") == ("True", "AllLive")
    assert _said(written, "Complete") == ("True", "NoOpenGaps")


def test_plan_applied_leaves_nothing_to_plan() -> None:
    wanted = subscription("s", "spot")
    _, observed = _around(wanted)
    plan = reconcile_subscription(stored(wanted), observed, NOW)
    written, observed = after(stored(wanted), observed, plan)
    assert reconcile_subscription(written, observed, NOW) == Plan(requeue_after_seconds=300.0)


def test_unknown_feed_source_is_named() -> None:
    written = _reconcile(subscription("s", "spot"), Observed())
    assert _said(written, "Accepted") == ("False", "FeedSourceNotFound")


def test_spec_that_cannot_be_read_is_told_by_path() -> None:
    written = _reconcile(subscription("s", "spot", channels=["gossip"]), Observed())
    assert _said(written, "Accepted") == ("False", "InvalidSpec")
    assert "spec.channels" in condition(written, "Accepted")["message"]


def test_feed_source_that_cannot_be_read_is_pointed_to() -> None:
    broken = stored(feed_source("spot", venue="NO SUCH"))
    written = _reconcile(subscription("s", "spot"), Observed(feed_source=broken))
    assert _said(written, "Accepted") == ("False", "FeedSourceNotAccepted")


def test_feed_source_refused_leaves_coverage_told() -> None:
    wanted = subscription("s", "spot")
    resource, observed = _around(wanted)
    conditions = [
        {**entry, "status": "False"} if entry["type"] == "Accepted" else entry
        for entry in resource["status"]["conditions"]
    ]
    refused = {**resource, "status": {**resource["status"], "conditions": conditions}}
    written = _reconcile(wanted, replace(observed, feed_source=refused))
    assert _said(written, "Accepted") == ("False", "FeedSourceNotAccepted")
    assert _said(written, "Ready") == ("True", "AllLive")


def test_feeder_that_has_not_taken_over_decides_nothing() -> None:
    wanted = subscription("s", "spot")
    resource, observed = _around(wanted)
    (worker,) = workers_of(FeedSource.parse(resource), observed)
    behind = FeederView(report=report_of(worker, config_hash="old"))
    written = _reconcile(wanted, replace(observed, feeders={worker.name: behind}))
    assert _said(written, "Covered") == ("Unknown", "AwaitingObservation")


def test_feeder_not_asked_decides_nothing() -> None:
    wanted = subscription("s", "spot")
    _, observed = _around(wanted)
    written = _reconcile(wanted, replace(observed, feeders={}))
    assert _said(written, "Covered") == ("Unknown", "AwaitingObservation")
    assert _said(written, "Complete") == ("Unknown", "AwaitingObservation")


def test_standby_of_a_hot_feed_covers_nothing() -> None:
    wanted = subscription("s", "spot")
    resource, observed = _around(wanted, accounts=TWO)
    feeders = dict(observed.feeders)
    first, _ = workers_of(FeedSource.parse(resource), observed)
    feeders[first.name] = FeederView(report=report_of(first, problems=(mute("BTCUSDT"),)))
    written = _reconcile(wanted, replace(observed, feeders=feeders))
    assert _said(written, "Covered") == ("False", "InstrumentsMissing")
    assert written["status"]["missing"][0]["instrument"] == "BTCUSDT"


def test_either_publisher_of_a_merged_feed_covers() -> None:
    wanted = subscription("s", "spot")
    resource, observed = _around(wanted, accounts=TWO, failover={"mode": "Merged"})
    feeders = dict(observed.feeders)
    first, _ = workers_of(FeedSource.parse(resource), observed)
    feeders[first.name] = FeederView(report=report_of(first, problems=(mute("BTCUSDT"),)))
    written = _reconcile(wanted, replace(observed, feeders=feeders))
    assert _said(written, "Covered") == ("True", "AllLive")


def test_holder_that_left_the_spec_is_not_listened_to() -> None:
    wanted = subscription("s", "spot")
    resource, observed = _around(wanted)
    observed = replace(observed, leases=run_feeders(resource, observed, holder="gone").leases)
    assert _said(_reconcile(wanted, observed), "Covered") == ("True", "AllLive")


def test_feeder_whose_pod_is_gone_covers_nothing() -> None:
    wanted = subscription("s", "spot")
    _, observed = _around(wanted)
    pods = {"spot-a-0": (running_pod("spot-a-0", ready=False, waiting_reason="ErrImagePull"),)}
    written = _reconcile(wanted, replace(observed, pods=pods, feeders={}))
    assert _said(written, "Ready") == ("False", "FeederNotRunning")


def test_config_map_of_no_shard_is_passed_over() -> None:
    wanted = subscription("s", "spot")
    _, observed = _around(wanted)
    extra = {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
    ref = Ref("ConfigMap", "default", "x")
    observed = replace(observed, children={**observed.children, ref: extra})
    assert _said(_reconcile(wanted, observed), "Covered") == ("True", "AllLive")
