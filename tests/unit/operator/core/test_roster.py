from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support_plans import (
    NOW,
    held_lease,
    parse_feed,
    parse_subscription,
    run_feeders,
    running_pod,
    settle_feed,
    stored,
)
from support_resources import JsonDict, feed_source, feeder_status, subscription

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import FailoverStatus, FeedSource
from feedplane_api.worker import HealthReport
from feedplane_operator.core.observed import FeederView, LeaseView, Observed
from feedplane_operator.core.picture import picture_accounts
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.core.roster import place, plan_roster, read_roster, read_running

THREE = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
COLD = {"mode": "Cold"}
WANTED = parse_subscription(subscription("s", "spot"))
LONG_AGO = NOW - timedelta(hours=1)


def _deployments(*up: str) -> dict[Ref, Manifest]:
    children: dict[Ref, Manifest] = {}
    for name in ("a", "b", "c"):
        labels = {"feedplane.dev/account": name}
        metadata = {"name": f"spot-{name}-0", "namespace": "default", "labels": labels}
        child = {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": int(name in up)}}
        children[ref_of(child)] = child
    return children


def _observe(
    *up: str, sick: str = "", lease: LeaseView | None = None, starts: str = ""
) -> Observed:
    bad = HealthReport(healthy=False, reason="SessionLost")
    return Observed(
        children=_deployments(*up),
        pods={
            f"spot-{name}-0": (running_pod(name, ready=name not in starts, created=NOW),)
            for name in up
        },
        feeders={
            f"spot-{name}-0": FeederView(error="Refused")
            if name in starts
            else FeederView(report=feeder_status(**({"health": bad} if name in sick else {})))
            for name in up
        },
        leases={"spot-publisher-0": lease or held_lease("a", acquire_time=LONG_AGO)},
    )


def _runs(feed: FeedSource, observed: Observed, now: Any = NOW) -> dict[str, Reason | None]:
    """The accounts that run, each with why."""
    pictures = picture_accounts(feed, observed, (0,), now)
    roster = plan_roster(feed, observed, pictures, now)
    assert {entry.name: entry.running for entry in place(pictures, roster)} == {
        name: standing.running for name, standing in roster.items()
    }
    return {name: standing.why for name, standing in roster.items() if standing.running}


def _recorded(feed: FeedSource, active: str) -> FeedSource:
    record = FailoverStatus(epoch=1, active=active)
    status = feed.status.model_copy(update={"failover": record})
    return feed.model_copy(update={"status": status})


@pytest.mark.parametrize("mode", ["Hot", "Merged", "Warm"])
def test_all_accounts_run_in_every_mode_but_cold(mode: str) -> None:
    feed = parse_feed(accounts=THREE, failover={"mode": mode})
    assert _runs(feed, Observed()) == {"a": None, "b": None, "c": None}


def test_paused_feed_runs_nobody() -> None:
    assert _runs(parse_feed(accounts=THREE, state="Paused"), _observe("a", "b")) == {}


@pytest.mark.parametrize("up", [(), ("a",)], ids=["before the start", "once it runs"])
def test_cold_mode_runs_the_preferred_account_alone(up: tuple[str, ...]) -> None:
    assert _runs(parse_feed(accounts=THREE, failover=COLD), _observe(*up)) == {"a": None}


def test_sick_account_has_the_next_one_started() -> None:
    feed = parse_feed(accounts=THREE, failover=COLD)
    assert _runs(feed, _observe("a", sick="a")) == {"a": None, "b": Reason.COLD_START}


def test_started_account_is_given_time_before_the_next() -> None:
    feed = parse_feed(accounts=THREE, failover=COLD)
    observed = _observe("a", "b", sick="a", starts="b")
    assert set(_runs(feed, observed)) == {"a", "b"}
    later = NOW + timedelta(seconds=91)
    assert set(_runs(feed, observed, later)) == {"a", "b", "c"}
    assert set(_runs(feed, _observe("a", "b", sick="ab"))) == {"a", "b", "c"}
    assert set(_runs(feed, _observe("a", "b", "c", sick="abc"))) == {"a", "b", "c"}


def test_silent_account_has_the_next_one_started() -> None:
    feed = _recorded(parse_feed(accounts=THREE, failover=COLD), "a")
    gone = held_lease("a", renew_time=NOW - timedelta(seconds=17))
    observed = replace(_observe("a", lease=gone), feeders={}, pods={})
    assert _runs(feed, observed) == {"a": None, "b": Reason.COLD_START}
    # Until it is known that it published, the Lease may be one that nobody has taken yet.
    assert _runs(parse_feed(accounts=THREE, failover=COLD), observed) == {"a": None}


def test_unheard_account_is_not_taken_for_a_dead_one() -> None:
    feed = _recorded(parse_feed(accounts=THREE, failover=COLD), "a")
    observed = replace(_observe("a"), feeders={})
    assert _runs(feed, observed) == {"a": None}


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        pytest.param({"lease": held_lease("b", acquire_time=LONG_AGO)}, True, id="still active"),
        pytest.param({"lease": held_lease("a", acquire_time=NOW)}, True, id="just replaced"),
        pytest.param({"sick": "a"}, True, id="the preferred one is sick"),
        pytest.param({}, False, id="the preferred one has been active for long"),
    ],
)
def test_started_account_is_stopped_when_it_is_not_needed(
    changes: dict[str, Any], stays: bool
) -> None:
    feed = parse_feed(accounts=THREE, failover=COLD)
    runs = _runs(feed, _observe("a", "b", **changes))
    assert runs == ({"a": None, "b": Reason.COLD_START} if stays else {"a": None})


def test_wish_of_a_person_starts_the_account_and_stops_the_other() -> None:
    feed = parse_feed(accounts=THREE, failover=COLD, activeAccount="c")
    assert _runs(feed, _observe("a")) == {"a": Reason.COLD_START, "c": None}
    done = _observe("a", "c", lease=held_lease("c", acquire_time=LONG_AGO))
    assert _runs(feed, done) == {"c": None}


def test_manual_failback_keeps_whoever_took_over() -> None:
    feed = parse_feed(accounts=THREE, failover={**COLD, "failback": "Manual"})
    done = _observe("a", "b", lease=held_lease("b", acquire_time=LONG_AGO))
    assert _runs(feed, done) == {"b": None}
    between = _observe("a", "b", lease=LeaseView(epoch=2))
    assert "b" in _runs(_recorded(feed, "b"), between)
    assert _runs(feed, _observe()) == {"a": None}


@pytest.mark.parametrize(
    ("lease", "up", "running"),
    [
        pytest.param(held_lease("a"), ("a", "b"), True, id="until it has handed over"),
        pytest.param(held_lease("b"), ("a", "b"), False, id="once another one publishes"),
        pytest.param(held_lease("a"), ("b",), False, id="never started again"),
    ],
)
@pytest.mark.parametrize("mode", ["Hot", "Cold"])
def test_account_in_maintenance_runs_while_it_publishes(
    mode: str, lease: LeaseView, up: tuple[str, ...], running: bool
) -> None:
    accounts = [{"name": "a", "state": "Maintenance"}, {"name": "b"}]
    feed = parse_feed(accounts=accounts, failover={"mode": mode})
    runs = _runs(feed, _observe(*up, lease=lease))
    assert runs.get("a") is (Reason.MAINTENANCE if running else None)
    assert ("a" in runs) is running
    assert "b" in runs


def test_roster_can_be_read_back_from_the_cluster() -> None:
    children = _deployments("b")
    roster = read_roster(parse_feed(accounts=THREE), children)
    assert [name for name, standing in roster.items() if standing.running] == ["b"]
    assert read_running(children) == {"b"}


def test_cold_start_is_carried_out_and_told() -> None:
    spec: JsonDict = {"accounts": THREE, "failover": COLD}
    resource, observed = settle_feed(
        stored(feed_source("spot", **spec)), Observed(subscriptions=(WANTED,))
    )
    sick = run_feeders(resource, observed, health=HealthReport(healthy=False, reason="CoverageLow"))
    own = {name: view for name, view in sick.feeders.items() if name == "spot-a-0"}
    pods = {name: found for name, found in sick.pods.items() if name == "spot-a-0"}
    resource, observed = settle_feed(resource, replace(sick, feeders=own, pods=pods))
    accounts = {entry["name"]: entry for entry in resource["status"]["accounts"]}
    assert accounts["b"]["reason"] == "ColdStart"
    assert accounts["c"] | {"role": "Stopped", "reason": "Stopped"} == accounts["c"]
    assert read_running(observed.children) == {"a", "b"}
    # Another operator, with nothing but the cluster to go by, goes on the same way.
    _, observed = settle_feed(resource, observed)
    assert read_running(observed.children) >= {"a", "b"}
