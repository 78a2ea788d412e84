"""Operators that come and go: leader election, least rights, and deletion without any of them."""

import json
import time
import urllib.error
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support_operator import (
    OPERATOR_NAMESPACE,
    OperatorProcess,
    Server,
    define_kinds,
    grant,
    make_operator_account,
    wait_for,
)
from support_resources import feed_source, subscription

from feedplane_cluster.control_plane import ControlPlane

TAKEOVER_SECONDS = 20.0


@pytest.fixture(scope="module")
def quiet_plane() -> Iterator[ControlPlane]:
    """An API server where only this module's operators run."""
    with ControlPlane(controllers=True) as plane:
        yield plane


@pytest.fixture(scope="module")
def quiet(quiet_plane: ControlPlane) -> Iterator[Server]:
    with closing(Server(quiet_plane.kubeconfig)) as server:
        define_kinds(server)
        yield server


def test_leader_killed_is_replaced_within_twenty_seconds(
    quiet_plane: ControlPlane, quiet: Server, logs: Path
) -> None:
    kubeconfig = make_operator_account(quiet_plane, quiet, "pair")
    grant(quiet, OPERATOR_NAMESPACE, "pair")
    quiet.make_namespace("pair")
    first = OperatorProcess(kubeconfig, logs / "first.log", "first")
    first.wait_ready()
    second = OperatorProcess(kubeconfig, logs / "second.log", "second")
    try:
        second.wait_ready()
        assert first.total("feedplane_operator_leader") == 1
        assert second.total("feedplane_operator_leader") == 0
        assert second.total("feedplane_operator_writes_total") == 0
        first.kill()
        killed = time.monotonic()
        quiet.create(feed_source("spot", "pair"))
        wait_for(lambda: quiet.get("Deployment", "pair", "spot-a-0"), TAKEOVER_SECONDS)
        assert time.monotonic() - killed < TAKEOVER_SECONDS
        assert second.total("feedplane_operator_leader") == 1
        successor = OperatorProcess(kubeconfig, logs / "third.log", "third")
        successor.wait_ready()
        assert second.stop() == 0
        # A leader that ends in order lets go of the Lease, so nobody waits it out.
        wait_for(lambda: successor.total("feedplane_operator_leader") == 1, 5)
        assert successor.stop() == 0
    finally:
        second.process.kill()
    events = [json.loads(line)["msg"] for line in (logs / "third.log").read_text().splitlines()]
    assert "leadership.acquired" in events


def test_lease_taken_away_ends_the_process(
    quiet_plane: ControlPlane, quiet: Server, logs: Path
) -> None:
    kubeconfig = make_operator_account(quiet_plane, quiet, "robbed")
    grant(quiet, OPERATOR_NAMESPACE, "robbed")
    operator = OperatorProcess(kubeconfig, logs / "robbed.log", "robbed")
    try:
        operator.wait_ready()
        wait_for(lambda: operator.total("feedplane_operator_leader") == 1)
        robbery = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 600}}
        quiet.merge("Lease", OPERATOR_NAMESPACE, "feedplane-operator", robbery)
        assert operator.process.wait(15) == 1
    finally:
        operator.process.kill()
        quiet.delete("Lease", OPERATOR_NAMESPACE, "feedplane-operator")
    assert "LeadershipLostError" in (logs / "robbed.log").read_text()


def test_named_namespaces_need_roles_alone(
    quiet_plane: ControlPlane, quiet: Server, logs: Path
) -> None:
    for name in ("watched", "unwatched"):
        quiet.make_namespace(name)
    kubeconfig = make_operator_account(quiet_plane, quiet, "narrow")
    grant(quiet, OPERATOR_NAMESPACE, "narrow", watched=("watched",))
    operator = OperatorProcess(
        kubeconfig, logs / "narrow.log", "narrow", FEEDPLANE_NAMESPACES="watched"
    )
    try:
        operator.wait_ready()
        for name in ("unwatched", "watched"):
            quiet.create(feed_source("spot", name))
            quiet.create(subscription("majors", "spot", name))
        wait_for(lambda: quiet.get("Deployment", "watched", "spot-a-0"))
        assert quiet.get("Deployment", "unwatched", "spot-a-0") is None
        assert operator.stop() == 0
    finally:
        operator.process.kill()
    refusals = [line for line in (logs / "narrow.log").read_text().splitlines() if "403" in line]
    assert refusals == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/api/v1/namespaces/watched/secrets", id="secrets of a watched namespace"),
        pytest.param("/api/v1/secrets", id="secrets of the cluster"),
        pytest.param("/api/v1/nodes", id="nodes"),
        pytest.param(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", id="definitions of kinds"
        ),
    ],
)
def test_operators_account_may_not_read(
    quiet_plane: ControlPlane, quiet: Server, path: str
) -> None:
    kubeconfig = make_operator_account(quiet_plane, quiet, "pair")
    with closing(Server(kubeconfig)) as account, pytest.raises(urllib.error.HTTPError, match="403"):
        account.call("GET", path)


def test_deletion_without_operator_leaves_nothing_behind(
    quiet_plane: ControlPlane, quiet: Server, logs: Path
) -> None:
    kubeconfig = make_operator_account(quiet_plane, quiet, "gone")
    grant(quiet, OPERATOR_NAMESPACE, "gone")
    quiet.make_namespace("gone")
    operator = OperatorProcess(kubeconfig, logs / "gone.log", "gone")
    try:
        operator.wait_ready()
        quiet.create(feed_source("spot", "gone"))
        quiet.create(subscription("majors", "spot", "gone"))
        wait_for(lambda: ("Deployment", "spot-a-0") in quiet.children("gone"), 30)
    finally:
        operator.kill()
    quiet.delete("Subscription", "gone", "majors")
    quiet.delete("FeedSource", "gone", "spot")
    assert quiet.get("FeedSource", "gone", "spot") is None
    wait_for(lambda: not quiet.children("gone"), 60)


def test_restarted_operator_writes_nothing_and_takes_nothing_away(
    quiet_plane: ControlPlane, quiet: Server, logs: Path
) -> None:
    kubeconfig = make_operator_account(quiet_plane, quiet, "again")
    grant(quiet, OPERATOR_NAMESPACE, "again")
    quiet.make_namespace("again")
    names = [f"feed-{number}" for number in range(10)]
    first = OperatorProcess(kubeconfig, logs / "first.log", "first")
    try:
        first.wait_ready()
        for name in names:
            quiet.create(feed_source(name, "again"))
            quiet.create(subscription(name, name, "again"))
        wait_for(lambda: _configured(quiet) == len(names), 60)
        wait_for(lambda: _at_rest(first), 30)
    finally:
        first.stop()
    before = quiet.versions("again")
    second = OperatorProcess(kubeconfig, logs / "second.log", "second")
    try:
        second.wait_ready()
        everything = 2 * len(names)
        wait_for(lambda: second.total("feedplane_operator_reconciles_total") >= everything, 30)
        assert second.total("feedplane_operator_writes_total") == 0
    finally:
        second.stop()
    assert quiet.versions("again") == before


def _configured(server: Server) -> int:
    configs = server.list("ConfigMap", "again")
    return sum("BTCUSDT" in str(config.get("data")) for config in configs)


def _at_rest(operator: OperatorProcess) -> bool:
    before = operator.total("feedplane_operator_writes_total")
    time.sleep(1)
    return operator.total("feedplane_operator_writes_total") == before
