"""Changes that need new Pods, on a real API server with its Deployment controller."""

from datetime import datetime, timedelta

import pytest
from support_accounts import Accounts
from support_operator import FakeFeeders, OperatorProcess, Server, wait_for
from support_resources import JsonDict, condition, utc

from feedplane_api.worker import HealthReport

SICK = {"health": HealthReport(healthy=False, reason="CoverageLow", message="few are live")}


@pytest.fixture
def accounts(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> Accounts:
    made = Accounts(server, feeders, namespace)
    made.create()
    made.stream()
    return made


def _image(accounts: Accounts, name: str) -> str:
    return str(accounts.template(name)["spec"]["containers"][0]["image"])


def _pod(accounts: Accounts, name: str) -> JsonDict | None:
    """The Pod of an account as its Deployment wants it now."""
    wanted = accounts.template(name)["metadata"]["annotations"]["feedplane.dev/template-hash"]
    for pod in accounts.server.list("Pod", accounts.namespace):
        metadata = pod["metadata"]
        same = metadata["annotations"]["feedplane.dev/template-hash"] == wanted
        if metadata["labels"]["feedplane.dev/account"] == name and same:
            return pod
    return None


def test_standby_is_replaced_first_and_then_the_active_one(accounts: Accounts) -> None:
    accounts.change(feeder={"image": "feeder:next"})
    wait_for(lambda: _image(accounts, "b") == "feeder:next")
    wait_for(lambda: _pod(accounts, "b"))
    assert accounts.status()["rollout"]["started"] == 1
    assert _image(accounts, "a") != "feeder:next"
    accounts.run("b")
    wait_for(lambda: _image(accounts, "a") == "feeder:next", 20)
    # The end of the active one hands over.
    accounts.hold("b", "Shutdown")
    wait_for(lambda: _pod(accounts, "a"))
    accounts.run("a")
    wait_for(lambda: "rollout" not in accounts.status(), 20)
    wait_for(lambda: "RolloutCompleted" in accounts.reasons())
    assert "SwitchoverCompleted" in accounts.reasons()
    assert not {"FailoverStarted", "RedundancyLost", "Degraded"} & accounts.reasons()


def test_service_account_made_again_brings_a_pod_with_its_token(accounts: Accounts) -> None:
    first = _pod(accounts, "b")
    assert first is not None
    # Times of creation are told to the second.
    created = datetime.fromisoformat(first["metadata"]["creationTimestamp"])
    wait_for(lambda: utc() >= created + timedelta(seconds=1))
    accounts.server.delete("ServiceAccount", accounts.namespace, "spot-b-0")

    def renewed() -> bool:
        pod = _pod(accounts, "b")
        return pod is not None and pod["metadata"]["uid"] != first["metadata"]["uid"]

    wait_for(renewed, 20)
    accounts.run("b")
    wait_for(lambda: "rollout" not in accounts.status(), 20)
    active = _pod(accounts, "a")
    assert active is not None
    assert "feedplane.dev/planned-restart" not in active["metadata"]["annotations"]


def test_broken_image_stays_with_the_standby_and_is_told(accounts: Accounts) -> None:
    generation = (accounts.deployment("a") or {})["metadata"]["generation"]
    accounts.change(feeder={"image": "feeder:broken"})
    wait_for(lambda: _image(accounts, "b") == "feeder:broken")
    wait_for(lambda: _pod(accounts, "b"))
    accounts.sick["b"] = SICK
    accounts.run("b")
    wait_for(lambda: accounts.said("Degraded") == ("True", "RolloutStuck"), 30)
    assert "spot-b-0" in condition(accounts.feed(), "Degraded")["message"]
    wait_for(lambda: "RolloutStuck" in accounts.reasons())
    assert (accounts.deployment("a") or {})["metadata"]["generation"] == generation
    assert accounts.said("Ready")[0] == "True"
    # Taken back, it goes on by itself, and the active one needs nothing.
    accounts.sick.clear()
    accounts.change(feeder={"image": None})
    wait_for(lambda: _image(accounts, "b") != "feeder:broken", 20)
    wait_for(lambda: _pod(accounts, "b"))
    accounts.run()
    wait_for(lambda: "rollout" not in accounts.status(), 20)
    assert (accounts.deployment("a") or {})["metadata"]["generation"] == generation
