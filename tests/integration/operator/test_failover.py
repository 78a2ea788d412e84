"""Changes of hands on a real API server: recorded and told once, kept by the next operator."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support_accounts import Accounts
from support_operator import (
    OPERATOR_NAMESPACE,
    FakeFeeders,
    OperatorProcess,
    Server,
    define_kinds,
    grant,
    make_operator_account,
    wait_for,
)
from support_resources import condition, feed_source

from feedplane_api.worker import ElectionReport, HealthReport
from feedplane_cluster.control_plane import ControlPlane
from feedplane_operator.rights import NOTIFICATION_RIGHT

SICK = {"health": HealthReport(healthy=False, reason="CoverageLow", message="few are live")}


@pytest.fixture
def accounts(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> Accounts:
    return Accounts(server, feeders, namespace)


def test_failover_is_recorded_and_told_once(accounts: Accounts) -> None:
    accounts.create()
    accounts.stream()
    # The standby may be ready a reading later than the feed.
    wait_for(lambda: accounts.said("Redundant") == ("True", "StandbyReady"))
    assert accounts.account("a")["role"] == "Active"
    accounts.sick["a"] = SICK
    accounts.answer("a")
    wait_for(lambda: "AccountUnhealthy" in accounts.reasons())
    wait_for(lambda: accounts.account("a").get("failingSinceTime"))
    accounts.hold("b", "CoverageLow")
    wait_for(lambda: accounts.status()["activeAccount"] == "b")
    record = accounts.status()["failover"]
    assert (record["active"], record["reason"], record["count"]) == ("b", "CoverageLow", 1)
    assert "lastDurationMilliseconds" not in record
    measured = ElectionReport(active=True, holder="b", epoch=2, last_failover_milliseconds=840)
    accounts.answer("b", election=measured)
    wait_for(lambda: accounts.status()["failover"].get("lastDurationMilliseconds") == 840)
    assert accounts.said("Streaming") == ("True", "ActiveHealthy")
    assert accounts.said("Redundant") == ("False", "StandbyNotReady")
    wait_for(lambda: {"FailoverStarted", "FailoverCompleted"} <= accounts.reasons())
    assert _row(accounts)["Active"] == "b"
    assert _row(accounts)["Failovers"] == 1


def _row(accounts: Accounts) -> dict[str, Any]:
    """What `kubectl get` shows."""
    request = f"/apis/feedplane.dev/v1alpha1/namespaces/{accounts.namespace}/feedsources/spot"
    # The server makes the table from the definition's columns; so does this, from the same.
    definition = accounts.server.call(
        "GET",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/feedsources.feedplane.dev",
    )
    feed = accounts.server.call("GET", request)
    found: dict[str, Any] = {}
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
        value: Any = feed
        if "[?" in column["jsonPath"]:
            continue
        for part in column["jsonPath"].strip(".").split("."):
            value = (value or {}).get(part)
        found[column["name"]] = value
    return found


def test_failback_and_switchover_are_told_apart_from_failover(accounts: Accounts) -> None:
    accounts.create()
    accounts.stream("b")
    accounts.hold("a", "Failback")
    wait_for(lambda: "FailbackCompleted" in accounts.reasons())
    accounts.change(activeAccount="b")
    accounts.hold("b", "SwitchoverRequested")
    wait_for(lambda: "SwitchoverCompleted" in accounts.reasons())
    assert not {"FailoverStarted", "FailoverCompleted"} & accounts.reasons()
    assert accounts.status()["failover"]["count"] == 2
    config = str(accounts.server.get("ConfigMap", accounts.namespace, "spot-a-0"))
    assert "activeAccount: b" in config


def test_failure_of_all_accounts_is_degraded_and_no_loop(accounts: Accounts) -> None:
    accounts.create()
    accounts.stream()
    accounts.sick |= {"a": SICK, "b": SICK}
    accounts.run()
    wait_for(lambda: accounts.said("Degraded") == ("True", "NoAccountHealthy"))
    count = accounts.status()["failover"]["count"]
    accounts.sick.clear()
    accounts.run()
    wait_for(lambda: accounts.said("Degraded") == ("False", "NotDegraded"))
    assert accounts.status()["failover"]["count"] == count == 0


def test_two_publishers_that_stay_are_told(accounts: Accounts) -> None:
    accounts.create()
    accounts.stream()
    accounts.answer("a", election=ElectionReport(active=True, holder="a", epoch=1))
    accounts.answer("b", election=ElectionReport(active=True, holder="b", epoch=2))
    wait_for(lambda: accounts.said("Degraded") == ("True", "LeaseConflict"), 20)
    wait_for(lambda: "LeaseConflict" in accounts.reasons())


def test_account_of_another_feed_source_is_refused(
    operator: OperatorProcess, server: Server, namespace: str
) -> None:
    login = [{"name": "main", "credentialsSecretRef": {"name": "login"}}]
    server.create(feed_source("elder", namespace, accounts=login))
    wait_for(lambda: server.get("Deployment", namespace, "elder-main-0"))
    time.sleep(1.1)  # two of one second are told apart by their names alone
    server.create(feed_source("younger", namespace, accounts=login))
    elsewhere = {"venue": "binance-usdm"}
    server.create(feed_source("other", namespace, accounts=login, **elsewhere))

    def accepted(name: str) -> tuple[str, str]:
        found = condition(server.get("FeedSource", namespace, name), "Accepted")
        return found.get("status", ""), found.get("reason", "")

    wait_for(lambda: accepted("younger") == ("False", "AccountInUse"))
    message = condition(server.get("FeedSource", namespace, "younger"), "Accepted")["message"]
    assert message.startswith("spec.accounts[0].credentialsSecretRef: FeedSource elder")
    assert server.get("Deployment", namespace, "younger-main-0") is None
    wait_for(lambda: accepted("other")[0] == "True")
    server.delete("FeedSource", namespace, "elder")
    wait_for(lambda: accepted("younger")[0] == "True", 20)


def test_single_session_gets_a_lease_its_feeder_alone_may_hold(
    operator_plane: ControlPlane, accounts: Accounts
) -> None:
    accounts.create(limits={"sessionsPerAccount": 1})
    wait_for(lambda: accounts.server.get("Lease", accounts.namespace, "spot-account-a"))
    role = accounts.server.get("Role", accounts.namespace, "spot-a-0") or {}
    named = [name for rule in role["rules"] for name in rule["resourceNames"]]
    assert named == ["spot-a-0", "spot-publisher-0", "spot-account-a"]
    assert "accountLeaseName: spot-account-a" in str(
        accounts.server.get("ConfigMap", accounts.namespace, "spot-a-0")
    )


def test_feed_of_single_sessions_takes_no_second_shard(accounts: Accounts) -> None:
    accounts.create(limits={"sessionsPerAccount": 1}, sharding={"maxInstrumentsPerShard": 1})
    wanted = {"spec": {"instruments": ["BTCUSDT", "ETHUSDT"]}}
    accounts.server.merge("Subscription", accounts.namespace, "majors", wanted)
    wait_for(lambda: accounts.said("Accepted") == ("False", "InvalidSpec"))
    message = condition(accounts.feed(), "Accepted")["message"]
    assert message.startswith("spec.limits.sessionsPerAccount")


def test_cold_standby_is_started_when_it_is_needed_and_stopped_after(accounts: Accounts) -> None:
    cold = {"mode": "Cold", "failbackAfterSeconds": 0, "cooldownSeconds": 0}
    accounts.create(failover=cold)
    assert (accounts.replicas("a"), accounts.replicas("b")) == (1, 0)
    wait_for(lambda: accounts.server.list("Pod", accounts.namespace))
    accounts.run("a")
    accounts.hold("a")
    wait_for(lambda: accounts.said("Ready")[0] == "True")
    assert accounts.account("b") | {"role": "Stopped", "reason": "Stopped"} == accounts.account("b")
    assert accounts.said("Redundant") == ("False", "StandbyNotReady")
    accounts.sick["a"] = SICK
    accounts.answer("a")
    wait_for(lambda: accounts.replicas("b") == 1, 20)
    wait_for(lambda: accounts.account("b").get("reason") == "ColdStart")
    wait_for(lambda: len(accounts.server.list("Pod", accounts.namespace)) == 2)
    accounts.run()
    accounts.hold("b", "CoverageLow")
    wait_for(lambda: accounts.status().get("activeAccount") == "b")
    accounts.sick.clear()
    accounts.run()
    accounts.hold("a", "Failback")
    wait_for(lambda: accounts.replicas("b") == 0, 20)
    wait_for(lambda: accounts.account("b").get("role") == "Stopped")


def test_account_in_maintenance_stops_once_it_has_handed_over(accounts: Accounts) -> None:
    accounts.create()
    accounts.stream()
    accounts.change(accounts=[{"name": "a", "state": "Maintenance"}, {"name": "b"}])
    wait_for(
        lambda: (
            "maintenance:" in str(accounts.server.get("ConfigMap", accounts.namespace, "spot-a-0"))
        )
    )
    assert accounts.replicas("a") == 1
    accounts.hold("b", "Maintenance")
    wait_for(lambda: accounts.replicas("a") == 0)
    wait_for(lambda: accounts.account("a").get("role") == "Maintenance")
    wait_for(lambda: "SwitchoverCompleted" in accounts.reasons())
    accounts.change(accounts=[{"name": "a"}, {"name": "b"}])
    wait_for(lambda: accounts.replicas("a") == 1)


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.asked += 1
        if server.asked == 1:
            self.send_response(503)
        else:
            server.taken.append(json.loads(body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _serve_hook() -> Iterator[Any]:
    hook: Any = HTTPServer(("127.0.0.1", 0), _Hook)
    hook.asked, hook.taken = 0, []
    thread = threading.Thread(target=hook.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        hook.shutdown()
        hook.server_close()
        thread.join()


def _grant_secret(server: Server, namespace: str, account: str, secret: str) -> None:
    group = "rbac.authorization.k8s.io"
    metadata = {"name": "hook-reader", "namespace": namespace}
    rule = {**NOTIFICATION_RIGHT.rule(), "resourceNames": [secret]}
    server.create({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata,
                   "rules": [rule]})  # fmt: skip
    subject = {"kind": "ServiceAccount", "name": account, "namespace": OPERATOR_NAMESPACE}
    server.create({"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata,
                   "roleRef": {"apiGroup": group, "kind": "Role", "name": "hook-reader"},
                   "subjects": [subject]})  # fmt: skip


def test_webhook_is_told_of_a_failover_and_its_address_nowhere(
    operator: OperatorProcess, accounts: Accounts
) -> None:
    with _serve_hook() as hook:
        url = f"http://127.0.0.1:{hook.server_port}/canary-4712"
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "hook", "namespace": accounts.namespace},
            "data": {"url": base64.b64encode(url.encode()).decode()},
        }
        path = f"/api/v1/namespaces/{accounts.namespace}/secrets"
        accounts.server.call("POST", path, secret)
        _grant_secret(accounts.server, accounts.namespace, "operator", "hook")
        entry = {"name": "desk", "webhook": {"urlSecretRef": {"name": "hook"}}}
        accounts.create(notifications=[{**entry, "notices": ["FailedOver"]}])
        accounts.stream()
        accounts.hold("b", "SessionLost")
        wait_for(lambda: hook.taken, 20)
    assert [body["notice"] for body in hook.taken] == ["FailedOver"]
    assert hook.asked == 2
    everything = [accounts.feed(), *accounts.server.list("Event", accounts.namespace)]
    assert "canary-4712" not in str(everything) + operator.log.read_text()


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """An API server where only this module's operators run."""
    with ControlPlane(controllers=True) as plane:
        yield plane


def test_restarted_operator_keeps_the_record_and_tells_nothing_again(
    own_plane: ControlPlane, feeders: FakeFeeders, logs: Path
) -> None:
    with closing(Server(own_plane.kubeconfig)) as server:
        define_kinds(server)
        kubeconfig = make_operator_account(own_plane, server, "again")
        grant(server, OPERATOR_NAMESPACE, "again")
        server.make_namespace("again")
        accounts = Accounts(server, feeders, "again")
        template = {"FEEDPLANE_FEEDER_URL_TEMPLATE": feeders.url_template}
        first = OperatorProcess(kubeconfig, logs / "first.log", "first", **template)
        try:
            first.wait_ready()
            accounts.create()
            accounts.stream()
            accounts.hold("b", "SessionLost")
            wait_for(lambda: "FailoverCompleted" in accounts.reasons())
        finally:
            first.kill()
        before, told = accounts.status()["failover"], accounts.events()
        assert (before["active"], before["count"]) == ("b", 1)
        # While no operator looked, the account came back and took over again.
        second = OperatorProcess(kubeconfig, logs / "second.log", "second", **template)
        try:
            second.wait_ready()
            wait_for(lambda: second.total("feedplane_operator_reconciles_total") >= 4, 30)
            assert accounts.status()["failover"] == before
            assert accounts.events() == told
        finally:
            second.kill()
        accounts.hold("a", "Failback")
        third = OperatorProcess(kubeconfig, logs / "third.log", "third", **template)
        try:
            third.wait_ready()
            wait_for(lambda: accounts.status().get("activeAccount") == "a", 30)
            assert accounts.status()["failover"]["count"] == 2
            wait_for(lambda: "FailbackCompleted" in accounts.reasons())
        finally:
            third.kill()
