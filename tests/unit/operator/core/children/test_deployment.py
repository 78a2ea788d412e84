from typing import Any

import pytest
from support_plans import children_of, parse_feed, parse_subscription
from support_resources import subscription

from feedplane_operator.core.observed import Defaults, Observed

FULL = {
    "accounts": [{"name": "a", "credentialsSecretRef": {"name": "login"}}, {"name": "b"}],
    "sinks": [
        {"name": "db", "postgres": {"dsnSecretRef": {"name": "db", "key": "url"}}},
        {"name": "disk", "file": {"path": "/data"}},
    ],
}


def _deployment(name: str = "spot-a-0", defaults: Defaults | None = None, **spec: Any) -> Any:
    observed = Observed(defaults=defaults or Defaults())
    return children_of(parse_feed(**spec), observed)[f"Deployment/{name}"]


def _pod(**spec: Any) -> Any:
    return _deployment(**spec)["spec"]["template"]["spec"]


def test_deployment_runs_one_pod_and_never_two() -> None:
    spec = _deployment()["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()


def test_pod_keeps_the_restricted_standard() -> None:
    pod = _pod(**FULL)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65_532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["enableServiceLinks"] is False
    allowed = {"configMap", "emptyDir", "secret", "name"}
    assert all(volume.keys() <= allowed for volume in pod["volumes"])


def test_secrets_are_mounted_as_files_and_named_alone() -> None:
    pod = _pod(**FULL)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes["credentials"]["secret"]["secretName"] == "login"
    assert volumes["sink-db"]["secret"]["items"] == [{"key": "url", "path": "url"}]
    assert volumes["sink-disk"]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert mounts["credentials"] == "/var/run/feedplane/credentials"
    assert mounts["sink-db"] == "/var/run/feedplane/sinks/db"
    assert mounts["sink-disk"] == "/data"
    assert mounts["spill"] == "/var/lib/feedplane/spill"
    assert mounts.keys() == volumes.keys()
    env = pod["containers"][0]["env"]
    assert all("secretKeyRef" not in entry["valueFrom"] for entry in env)


def test_every_scratch_volume_is_bounded() -> None:
    empties = [volume["emptyDir"] for volume in _pod(**FULL)["volumes"] if "emptyDir" in volume]
    assert len(empties) == 3
    assert all("sizeLimit" in empty for empty in empties)


def test_probes_ask_the_feeders_own_port() -> None:
    (container,) = _pod()["containers"]
    paths = {
        name: container[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert container["ports"][0]["containerPort"] == 8000
    assert container["args"] == ["run", "--config", "/etc/feedplane/worker.yaml"]


def test_accounts_of_a_shard_keep_apart_where_they_can() -> None:
    pod = _pod()
    (constraint,) = pod["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    (term,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert labels["feedplane.dev/shard"] == "0"
    assert "feedplane.dev/account" not in labels


def test_pod_takes_what_the_spec_says_of_feeders() -> None:
    feeder = {
        "image": "mine:1",
        "imagePullPolicy": "Always",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "feeds", "operator": "Exists"}],
        "priorityClassName": "high",
        "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}},
    }
    pod = _pod(feeder=feeder)
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("mine:1", "Always")
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "128Mi"},
        "limits": {"memory": "1Gi"},
    }
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["tolerations"] == [{"key": "feeds", "operator": "Exists"}]
    assert pod["priorityClassName"] == "high"


def test_pod_takes_the_operators_defaults_otherwise() -> None:
    defaults = Defaults(image="feeder:9", image_pull_policy="Never")
    (container,) = _deployment(defaults=defaults)["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("feeder:9", "Never")
    assert "cpu" not in container["resources"]["limits"]


def _rolls(**change: Any) -> bool:
    return bool(_deployment()["spec"]["template"] != _deployment(**change)["spec"]["template"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"limits": {"streamsPerConnection": 9}}, id="limits"),
        pytest.param({"failover": {"staleAfterSeconds": 9}}, id="staleness"),
        pytest.param({"failover": {"minimumCoveragePercent": 9}}, id="coverage"),
        pytest.param({"failover": {"replayBufferSeconds": 60}}, id="replay buffer"),
        pytest.param({"session": {"calendar": "XNYS"}}, id="calendar"),
    ],
)
def test_change_that_applies_live_rolls_nothing(change: dict[str, Any]) -> None:
    assert not _rolls(**change)


def test_instrument_added_rolls_nothing() -> None:
    more = Observed(subscriptions=(parse_subscription(subscription("s", "spot")),))
    templates = [
        children_of(parse_feed(), observed)["Deployment/spot-a-0"]["spec"]["template"]
        for observed in (Observed(), more)
    ]
    assert templates[0] == templates[1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"endpoints": {"stream": "wss://x:1"}}, id="endpoints"),
        pytest.param({"failover": {"retryPeriodSeconds": 2}}, id="lease timings"),
        pytest.param({"feeder": {"logLevel": "Debug"}}, id="log level"),
        pytest.param({"feeder": {"image": "new:2"}}, id="image"),
    ],
)
def test_change_that_needs_a_new_process_rolls(change: dict[str, Any]) -> None:
    assert _rolls(**change)
