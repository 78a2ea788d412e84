import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_plans import (
    NOW,
    after,
    held_lease,
    parse_subscription,
    report_of,
    running_pod,
    settle_feed,
    stored,
    workers_of,
)
from support_resources import JsonDict, condition, feed_source, subscription

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import ANNOTATION_TEMPLATE_HASH
from feedplane_api.worker import HealthReport, SessionState, parse_worker_config
from feedplane_operator.core.observed import Defaults, FeederView, Observed
from feedplane_operator.core.plan import Plan, Ref, ref_of
from feedplane_operator.core.reconcile_feed_source import WATCHFUL_SECONDS, reconcile_feed_source

TWO = [{"name": "a"}, {"name": "b"}]
WANTED = parse_subscription(subscription("s", "spot"))
SICK = {"health": HealthReport(healthy=False, reason="CoverageLow")}
LATE = NOW + timedelta(seconds=181)
NEXT = {"image": "feeder:next"}


class World:
    """A cluster in memory, with a kubelet and feeders that a test can make sick."""

    def __init__(self, active: str = "a", **spec: Any) -> None:
        self.resource = stored(feed_source("spot", **{"accounts": TWO, **spec}))
        self.observed = Observed(subscriptions=(WANTED,))
        self.now = NOW
        self.sick: set[str] = set()
        self.dead: set[str] = set()
        self.active = active
        self.rolled: list[str] = []
        self.events: list[str] = []
        self.plan = Plan()
        self.settle()

    def settle(self, rounds: int = 8) -> list[str]:
        """Carry out Plans until nothing more happens; return the Deployments that rolled."""
        start, quiet = len(self.rolled), 0
        for _ in range(rounds):
            plan = self.step()
            self.run()
            quiet = quiet + 1 if not plan.apply and plan.status is None else 0
            if quiet > 1:
                break
        return self.rolled[start:]

    def step(self) -> Plan:
        """Carry out one Plan, and check that planning again changes nothing."""
        before = self.templates()
        self.plan = reconcile_feed_source(self.resource, self.observed, self.now)
        self.resource, self.observed = after(self.resource, self.observed, self.plan)
        self.events += [note.reason.value for note in self.plan.events]
        again = reconcile_feed_source(self.resource, self.observed, self.now)
        assert (again.apply, again.delete, again.status, again.events) == ((), (), None, ())
        now = self.templates()
        self.rolled += [name for name in sorted(now) if before.get(name, "") not in ("", now[name])]
        return self.plan

    def run(self) -> None:
        """Let the cluster do what the Deployments ask, and the feeders answer."""
        pods, feeders, leases = {}, {}, {}
        feed = FeedSource.parse(self.resource)
        workers = {worker.name: worker for worker in workers_of(feed, self.observed)}
        for name, digest in self.templates().items():
            deployment = self.observed.children[Ref("Deployment", "default", name)]
            if not deployment["spec"]["replicas"] or name in self.dead or name not in workers:
                continue
            bad: JsonDict = SICK if name in self.sick else {}
            pods[name] = (running_pod(name, template_hash=digest, created=self.now),)
            feeders[name] = FeederView(report=report_of(workers[name], **bad))
            shard = workers[name].shard
            leases[f"spot-publisher-{shard}"] = held_lease(self.active, renew_time=self.now)
        self.observed = replace(self.observed, pods=pods, feeders=feeders, leases=leases)

    def templates(self) -> dict[str, str]:
        """The template hash of each Deployment."""
        return {
            ref.name: child["spec"]["template"]["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH]
            for ref, child in self.observed.children.items()
            if ref.kind == "Deployment"
        }

    def change(self, **spec: Any) -> None:
        """Let a person change the spec."""
        self.resource = {**self.resource, "spec": {**self.resource["spec"], **spec}}

    def wait(self, moment: datetime = LATE) -> list[str]:
        """Let time pass."""
        self.now = moment
        self.run()
        return self.settle()

    def degraded(self) -> str:
        """Why the feed is degraded, or that it is not."""
        return str(condition(self.resource, "Degraded")["reason"])


def test_first_start_waits_for_nobody() -> None:
    world = World()
    assert world.rolled == []
    assert "rollout" not in world.resource["status"]
    assert set(world.templates()) == {"spot-a-0", "spot-b-0"}


def test_standby_is_replaced_first_and_the_active_one_after_it() -> None:
    world = World()
    world.change(feeder=NEXT)
    world.step()
    assert world.rolled == ["spot-b-0"]
    assert world.plan.replacing == 1
    assert (
        world.resource["status"]["rollout"] | {"feeders": 2, "started": 1, "updated": 0}
        == (world.resource["status"]["rollout"])
    )
    assert condition(world.resource, "Redundant")["reason"] == "StandbyReady"
    world.step()
    assert world.rolled == ["spot-b-0"]
    world.run()
    world.step()
    assert world.rolled == ["spot-b-0", "spot-a-0"]
    world.settle()
    assert world.rolled == ["spot-b-0", "spot-a-0"]
    assert "rollout" not in world.resource["status"]
    assert world.events[-2:] == ["RolloutStarted", "RolloutCompleted"]


def test_order_follows_who_is_active_and_not_who_is_preferred() -> None:
    world = World(active="b")
    world.change(feeder=NEXT)
    assert world.settle() == ["spot-a-0", "spot-b-0"]


def test_broken_image_never_touches_the_active_account() -> None:
    world = World()
    world.change(feeder={"image": "feeder:broken"})
    world.dead.add("spot-b-0")
    assert world.settle() == ["spot-b-0"]
    assert condition(world.resource, "Redundant")["reason"] == "RollingOut"
    assert world.degraded() != "RolloutStuck"
    assert world.wait() == []
    assert world.plan.replacing == 0
    assert condition(world.resource, "Redundant")["reason"] == "StandbyNotReady"
    assert "spot-b-0" in _stuck(world)
    # A person takes the change back, or mends it: it goes on by itself.
    world.change(feeder=NEXT)
    world.dead.clear()
    world.run()
    assert world.settle() == ["spot-b-0", "spot-a-0"]
    assert "rollout" not in world.resource["status"]


def _stuck(world: World) -> str:
    # A Pod that does not start is told as starting, so that the word stands in Degraded only
    # once it runs and is sick.
    world.dead.clear()
    world.sick.add("spot-b-0")
    world.run()
    world.step()
    found = condition(world.resource, "Degraded")
    assert found["reason"] == "RolloutStuck"
    world.sick.clear()
    world.dead.add("spot-b-0")
    return str(found["message"])


def test_standby_that_stays_sick_holds_the_active_one_back() -> None:
    world = World()
    world.sick.add("spot-b-0")
    world.run()
    world.change(feeder=NEXT)
    assert world.settle() == ["spot-b-0"]
    assert world.wait() == []
    assert world.degraded() == "RolloutStuck"
    assert "RolloutStuck" in world.events
    # Once it is well it goes on without anybody's help.
    world.sick.clear()
    world.run()
    assert world.settle() == ["spot-a-0"]
    assert "rollout" not in world.resource["status"]


def test_healthy_standby_tries_the_change_before_a_sick_one() -> None:
    world = World(accounts=[*TWO, {"name": "c"}])
    world.sick.add("spot-c-0")
    world.run()
    world.change(feeder=NEXT)
    assert world.settle() == ["spot-b-0", "spot-c-0"]
    # The sick one is waited for, and then the proven change goes on to the active account.
    assert world.wait() == ["spot-a-0"]
    assert world.wait(LATE + timedelta(seconds=200)) == []
    assert "rollout" not in world.resource["status"]


def test_hopeless_feeder_is_replaced_at_once() -> None:
    world = World()
    broken = running_pod("spot-a-0", ready=False, exit_code=1, waiting_reason="CrashLoopBackOff")
    sick = FeederView(report=world.observed.feeders["spot-b-0"].report)
    world.observed = replace(
        world.observed,
        pods={**world.observed.pods, "spot-a-0": (broken,)},
        feeders={"spot-b-0": sick},
    )
    world.change(feeder=NEXT)
    world.step()
    assert world.rolled == ["spot-a-0"]


def test_only_feeder_is_replaced_for_want_of_another() -> None:
    world = World(accounts=[{"name": "a"}])
    world.change(feeder=NEXT)
    world.sick.add("spot-a-0")
    world.step()
    assert world.rolled == ["spot-a-0"]
    world.run()
    world.settle()
    # When it stays sick, nothing is left to be held back.
    assert "rollout" in world.resource["status"]
    world.wait()
    assert "rollout" not in world.resource["status"]


def test_change_of_one_account_alone_rolls_no_other() -> None:
    world = World()
    login = {"credentialsSecretRef": {"name": "login"}}
    world.change(accounts=[{"name": "a", **login}, {"name": "b"}])
    assert world.settle() == ["spot-a-0"]
    sick = World()
    sick.sick.add("spot-b-0")
    sick.run()
    sick.change(accounts=[{"name": "a", **login}, {"name": "b"}])
    assert sick.settle() == []


def test_live_fields_roll_nothing() -> None:
    world = World()
    world.change(failover={"cooldownSeconds": 60}, limits={"streamsPerConnection": 7})
    assert world.settle() == []
    assert "cooldownSeconds: 60" in _config(world, "spot-a-0")


def _config(world: World, name: str) -> str:
    return str(world.observed.children[Ref("ConfigMap", "default", name)]["data"]["worker.yaml"])


def test_held_feeder_takes_over_live_settings_only() -> None:
    world = World()
    world.sick.add("spot-b-0")
    world.run()
    world.change(endpoints={"rest": "https://other.example"}, limits={"streamsPerConnection": 7})
    world.settle()
    held = parse_worker_config(_config(world, "spot-a-0"))
    moved = parse_worker_config(_config(world, "spot-b-0"))
    assert (held.endpoints.rest, held.limits.streams_per_connection) == (None, 7)
    assert moved.endpoints.rest == "https://other.example"


def test_held_deployment_is_healed_but_for_its_pod() -> None:
    world = World()
    world.sick.add("spot-b-0")
    world.run()
    world.change(feeder=NEXT)
    world.settle()
    ref = Ref("Deployment", "default", "spot-a-0")
    drifted = json.loads(json.dumps(world.observed.children[ref]))
    drifted["spec"]["replicas"] = 3
    world.observed = replace(world.observed, children={**world.observed.children, ref: drifted})
    plan = world.step()
    assert [ref_of(child) for child in plan.apply] == [ref]
    assert world.observed.children[ref]["spec"]["replicas"] == 1
    assert "spot-a-0" not in world.rolled


def test_config_that_cannot_be_read_back_is_written_anew() -> None:
    world = World()
    world.sick.add("spot-b-0")
    world.run()
    world.change(feeder=NEXT)
    world.settle()
    ref = Ref("ConfigMap", "default", "spot-a-0")
    broken = {**world.observed.children[ref], "data": {"worker.yaml": "{"}}
    gone = {key: child for key, child in world.observed.children.items() if key != ref}
    for children in ({**world.observed.children, ref: broken}, gone):
        world.observed = replace(world.observed, children=children)
        world.step()
        assert "venue: binance-spot" in _config(world, "spot-a-0")


def test_stopped_feeders_take_a_change_at_once() -> None:
    world = World(state="Paused")
    world.change(feeder=NEXT)
    world.step()
    assert world.rolled == ["spot-a-0", "spot-b-0"]
    assert "rollout" not in world.resource["status"]


def test_no_more_feeders_are_replaced_than_there_are_slots() -> None:
    wanted = parse_subscription(subscription("s", "spot", instruments=["A", "B", "C"]))
    world = World(sharding={"maxInstrumentsPerShard": 1})
    world.observed = replace(world.observed, subscriptions=(wanted,), rollout_slots=2)
    world.settle()
    world.change(feeder=NEXT)
    world.step()
    assert len(world.rolled) == 2
    assert world.plan.replacing == 2
    world.observed = replace(world.observed, rollout_slots=0)
    world.run()
    world.step()
    assert len(world.rolled) == 2
    world.observed = replace(world.observed, rollout_slots=2)
    assert len(world.settle(20)) == 4
    assert "rollout" not in world.resource["status"]


def test_failed_shard_stops_the_change_in_the_others() -> None:
    wanted = parse_subscription(subscription("s", "spot", instruments=["A", "B"]))
    world = World(sharding={"maxInstrumentsPerShard": 1})
    world.observed = replace(world.observed, subscriptions=(wanted,), rollout_slots=1)
    world.settle()
    world.sick.add("spot-b-0")
    world.run()
    world.change(feeder=NEXT)
    assert world.settle() == ["spot-b-0"]
    assert world.wait() == []


def test_report_of_the_pod_before_settles_nothing() -> None:
    world = World()
    world.change(feeder=NEXT)
    world.step()
    (worker, _) = workers_of(FeedSource.parse(world.resource), world.observed)[:2]
    former = report_of(worker, account="b", pod="spot-b-0-gone")
    world.run()
    world.observed = replace(
        world.observed,
        feeders={**world.observed.feeders, "spot-b-0": FeederView(report=former)},
    )
    world.step()
    assert world.rolled == ["spot-b-0"]


def test_warm_standby_that_rests_is_good_enough() -> None:
    world = World(failover={"mode": "Warm"})
    world.change(feeder=NEXT)
    world.step()
    world.run()
    report = world.observed.feeders["spot-b-0"].report
    assert report is not None
    resting = report.model_copy(update={"session": SessionState.DISCONNECTED})
    feeders = {**world.observed.feeders, "spot-b-0": FeederView(report=resting)}
    world.observed = replace(world.observed, feeders=feeders)
    world.step()
    assert world.rolled == ["spot-b-0", "spot-a-0"]


def test_planned_restart_renews_each_pod_once_standby_first() -> None:
    world = World()
    world.now = NOW + timedelta(hours=1)
    world.run()
    due = NOW + timedelta(hours=2)
    world.observed = replace(world.observed, restart_due=due)
    world.now = due + timedelta(seconds=1)
    pods = {name: (replace(pod, created=NOW),) for name, (pod,) in world.observed.pods.items()}
    leases = {"spot-publisher-0": held_lease("a", renew_time=world.now)}
    world.observed = replace(world.observed, pods=pods, leases=leases)
    world.events.clear()
    world.step()
    assert world.rolled == ["spot-b-0"]
    assert world.resource["status"]["rollout"]["reason"] == "PlannedRestart"
    renewed = {**world.observed.pods, "spot-b-0": (_renewed(world, "spot-b-0"),)}
    world.observed = replace(world.observed, pods=renewed)
    world.step()
    assert world.rolled == ["spot-b-0", "spot-a-0"]
    world.settle()
    assert world.rolled == ["spot-b-0", "spot-a-0"]
    assert world.events == ["RolloutStarted", "RolloutCompleted"]
    # Another change on top of it is a change.
    world.change(feeder=NEXT)
    world.step()
    assert world.resource["status"]["rollout"]["reason"] == "SpecChanged"


def _renewed(world: World, name: str) -> Any:
    digest = world.templates()[name]
    return running_pod(name, template_hash=digest, created=world.now)


def test_pod_made_after_the_restart_was_due_is_left_alone() -> None:
    world = World()
    world.observed = replace(world.observed, restart_due=NOW - timedelta(hours=1))
    assert world.settle() == []


def test_pod_older_than_its_service_account_is_renewed_once() -> None:
    world = World()
    ref = Ref("ServiceAccount", "default", "spot-b-0")
    account = world.observed.children[ref]
    gone = {key: child for key, child in world.observed.children.items() if key != ref}
    world.observed = replace(world.observed, children=gone)
    assert [ref_of(child) for child in world.step().apply] == [ref]
    # Nothing but time tells when the new one is there.
    assert world.plan.requeue_after_seconds == WATCHFUL_SECONDS
    made = NOW + timedelta(minutes=1)
    metadata = {**account["metadata"], "creationTimestamp": made.isoformat()}
    children = {**world.observed.children, ref: {**account, "metadata": metadata}}
    world.observed = replace(world.observed, children=children)
    world.now = made + timedelta(seconds=5)
    assert world.settle() == ["spot-b-0"]
    assert {"RolloutStarted", "RolloutCompleted"} <= set(world.events)
    assert world.settle() == []


IMAGES = st.sampled_from(["feeder:1", "feeder:2", "feeder:3"])
NAMES = ["spot-a-0", "spot-b-0", "spot-c-0"]
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["image", "sick", "well", "switch", "wait", "step"]), st.integers(0, 2)
    ),
    max_size=8,
)


@pytest.mark.timeout(120)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 3), TURNS)
def test_healthy_publisher_is_never_the_first_to_be_replaced(
    count: int, turns: list[tuple[str, int]]
) -> None:
    world = World(accounts=[{"name": name} for name in "abc"[:count]])
    for turn, number in turns:
        if turn == "image":
            world.change(feeder={"image": f"feeder:{number}"})
        elif turn == "sick":
            world.sick.add(NAMES[number])
        elif turn == "well":
            world.sick.discard(NAMES[number])
        elif turn == "switch":
            world.active = "abc"[number % count]
        elif turn == "wait":
            world.now += timedelta(seconds=200)
        world.run()
        replaced = len(world.rolled)
        world.step()
        active = f"spot-{world.active}-0"
        if count > 1 and active in world.rolled[replaced:] and active not in world.sick:
            digests = world.templates()
            others = [
                name
                for name in digests
                if name != active
                and name not in world.sick
                and world.observed.pods[name][0].template_hash == digests[name]
            ]
            assert others, "the active account was replaced with nobody to take over"
    world.sick.clear()
    world.run()
    world.settle(4 * count)
    assert "rollout" not in world.resource["status"]
    assert world.settle() == []


def test_defaults_bound_the_wait() -> None:
    assert Defaults().rollout_deadline_seconds == 180


@pytest.mark.parametrize("running", [True, False])
def test_settled_feed_gives_equal_plans(running: bool) -> None:
    resource, observed = settle_feed(
        stored(feed_source("spot", accounts=TWO, state="Running" if running else "Paused")),
        Observed(subscriptions=(WANTED,)),
    )
    copy = json.loads(json.dumps(resource))
    assert reconcile_feed_source(resource, observed, NOW) == reconcile_feed_source(
        copy, observed, NOW
    )
