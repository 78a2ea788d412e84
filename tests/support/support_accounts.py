"""A FeedSource of two accounts on a real API server; the test plays its feeders and the kubelet."""

from dataclasses import dataclass, field
from typing import Any

from support_operator import FakeFeeders, Server, wait_for
from support_resources import JsonDict, condition, feed_source, feeder_status, subscription, utc

from feedplane_api.worker import ElectionReport
from feedplane_operator.core.children.configmap import ANNOTATION_WORKER_HASH

TWO = [{"name": "a"}, {"name": "b"}]


@dataclass
class Accounts:
    """The FeedSource `spot` in a namespace of its own."""

    server: Server
    feeders: FakeFeeders
    namespace: str
    names: tuple[str, ...] = ("a", "b")
    epoch: int = 0
    sick: dict[str, JsonDict] = field(default_factory=dict)
    """What the feeder of an account says other than that all is well."""

    def create(self, **spec: Any) -> None:
        """Create the FeedSource and a Subscription to it."""
        self.server.create(feed_source("spot", self.namespace, **{"accounts": TWO, **spec}))
        self.server.create(subscription("majors", "spot", self.namespace))
        wait_for(lambda: all(self.deployment(name) for name in self.names))
        wait_for(lambda: "BTCUSDT" in str(self.server.get("ConfigMap", self.namespace, "spot-a-0")))

    def change(self, **spec: Any) -> None:
        """Change the spec as a person does."""
        self.server.merge("FeedSource", self.namespace, "spot", {"spec": spec})

    def feed(self) -> JsonDict:
        """The FeedSource as it is."""
        found = self.server.get("FeedSource", self.namespace, "spot")
        assert found is not None
        return found

    def status(self) -> JsonDict:
        """Its status."""
        found: JsonDict = self.feed().get("status", {})
        return found

    def said(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = condition(self.feed(), kind)
        return found.get("status", ""), found.get("reason", "")

    def account(self, name: str) -> JsonDict:
        """One account's entry in the status."""
        entries = self.status().get("accounts", [])
        return next((entry for entry in entries if entry["name"] == name), {})

    def deployment(self, name: str) -> JsonDict | None:
        """One account's Deployment."""
        return self.server.get("Deployment", self.namespace, f"spot-{name}-0")

    def replicas(self, name: str) -> int:
        """How many Pods an account's Deployment asks for."""
        found = self.deployment(name)
        return int(found["spec"]["replicas"]) if found else -1

    def template(self, name: str) -> JsonDict:
        """The Pod that an account's Deployment makes."""
        found = self.deployment(name)
        assert found is not None
        template: JsonDict = found["spec"]["template"]
        return template

    def events(self) -> list[tuple[str, int]]:
        """Reasons of the events on the FeedSource, with how often each came."""
        return sorted(
            (event["reason"], (event.get("series") or {}).get("count", 1))
            for event in self.server.list("Event", self.namespace)
            if event["regarding"]["kind"] == "FeedSource"
        )

    def reasons(self) -> set[str]:
        """Reasons of the events on the FeedSource."""
        return {reason for reason, _ in self.events()}

    def hold(self, account: str, reason: str = "Vacant", **changes: Any) -> None:
        """Let an account take the publisher Lease."""
        self.epoch += 1
        now = utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": f"{account}/spot-{account}-0-pod",
            "leaseDurationSeconds": 300,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": self.epoch,
            **changes,
        }
        metadata = {"annotations": {"feedplane.dev/reason": reason}}
        body = {"metadata": metadata, "spec": spec}
        self.server.merge("Lease", self.namespace, "spot-publisher-0", body)

    def run(self, *names: str) -> None:
        """Do once what kubelet and feeders do: Pods run, and what runs answers."""
        # A feeder answers before its Pod is ready.
        for name in names or self.names:
            self.answer(name)
        for pod in self.server.list("Pod", self.namespace):
            labels = pod["metadata"]["labels"]
            if labels["feedplane.dev/account"] not in (names or self.names):
                continue
            running = {
                "phase": "Running",
                "podIP": "10.1.2.3",
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            if pod.get("status", {}).get("phase") != "Running":
                name = pod["metadata"]["name"]
                self.server.merge("Pod", self.namespace, name, {"status": running}, "/status")

    def answer(self, name: str, **changes: Any) -> None:
        """Let an account's feeder answer."""
        config = self.server.get("ConfigMap", self.namespace, f"spot-{name}-0")
        assert config is not None
        pods = [
            pod["metadata"]["name"]
            for pod in self.server.list("Pod", self.namespace)
            if pod["metadata"]["labels"]["feedplane.dev/account"] == name
            and "deletionTimestamp" not in pod["metadata"]
        ]
        fields: JsonDict = {
            "account": name,
            "pod": pods[-1] if pods else "",
            "config_hash": config["metadata"]["annotations"][ANNOTATION_WORKER_HASH],
            "election": ElectionReport(active=False, holder=None),
            **self.sick.get(name, {}),
            **changes,
        }
        self.feeders.statuses[f"{self.namespace}/spot-{name}-0"] = feeder_status(**fields)

    def stream(self, active: str = "a") -> None:
        """Bring both accounts up, one of them active."""
        wait_for(lambda: len(self.server.list("Pod", self.namespace)) >= len(self.names))
        self.run()
        self.hold(active)
        wait_for(lambda: self.said("Ready") == ("True", "AllLive"), 20)
