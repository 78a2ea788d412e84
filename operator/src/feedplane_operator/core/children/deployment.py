"""The Deployment of one feeder, and the Pod it runs."""

from typing import Any, Final

from feedplane_api.feed_source import FeedSource
from feedplane_api.feeder_pod import FeederPod, ResourceAmounts
from feedplane_api.names import (
    ANNOTATION_CONFIG_HASH,
    ANNOTATION_PLANNED_RESTART,
    ANNOTATION_TEMPLATE_HASH,
    CREDENTIALS_DIR,
    HTTP_PORT,
    HTTP_PORT_NAME,
    SINKS_DIR,
    SPILL_DIR,
    TERMINATION_GRACE_PERIOD_SECONDS,
    WORKER_CONFIG_DIR,
    WORKER_CONFIG_KEY,
)
from feedplane_api.sinks import FileSink, PostgresSink
from feedplane_api.worker import config_hash
from feedplane_operator.core.children.metadata import (
    child_metadata,
    feed_selector,
    shard_selector,
    worker_labels,
    worker_selector,
)
from feedplane_operator.core.diff import hash_manifest
from feedplane_operator.core.observed import Defaults
from feedplane_operator.core.pods import FEEDER_CONTAINER
from feedplane_operator.core.workers import SPILL_MEBIBYTES, Worker

USER_ID: Final = 65_532
TMP_SIZE_LIMIT: Final = "64Mi"
FILES_SIZE_LIMIT: Final = "1Gi"
SPILL_SIZE_LIMIT: Final = f"{SPILL_MEBIBYTES + 128}Mi"
"""Room for the spill's own bound and the segment being written."""
SECRET_MODE: Final = 0o440
HOSTNAME_KEY: Final = "kubernetes.io/hostname"
DEFAULT_REQUESTS: Final = {"cpu": "100m", "memory": "128Mi"}
DEFAULT_LIMITS: Final = {"memory": "512Mi"}
"""No processor limit: throttling a feeder makes it late, and late looks like stale."""


def build_deployment(feed_source: FeedSource, worker: Worker, defaults: Defaults) -> dict[str, Any]:
    """Build the Deployment of one feeder.

    Recreate, never rolling: two Pods of one account would log in twice, and a venue may ban that;
    and an account is one voice in the election. Another account bridges the time in between.
    """
    labels = worker_labels(feed_source, worker)
    annotations = {ANNOTATION_CONFIG_HASH: config_hash(worker.config, live=False)}
    if worker.restart:
        annotations[ANNOTATION_PLANNED_RESTART] = worker.restart
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": _pod_spec(feed_source, worker, defaults),
    }
    annotations[ANNOTATION_TEMPLATE_HASH] = hash_manifest(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(feed_source, worker.name, labels),
        "spec": {
            "replicas": 1 if worker.running else 0,
            "revisionHistoryLimit": 2,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": worker_selector(feed_source, worker)},
            "template": template,
        },
    }


def _pod_spec(feed_source: FeedSource, worker: Worker, defaults: Defaults) -> dict[str, Any]:
    return {
        "serviceAccountName": worker.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_PERIOD_SECONDS,
        "securityContext": pod_security(),
        "topologySpreadConstraints": [_spread(feed_source)],
        "affinity": _apart(feed_source, worker),
        "containers": [_container(feed_source, worker, defaults)],
        "volumes": _volumes(feed_source, worker),
        **scheduling(feed_source),
    }


def pod_security() -> dict[str, Any]:
    """Build the security context of every Pod of ours: an ordinary user without any privilege."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def scheduling(feed_source: FeedSource) -> dict[str, Any]:
    """Build what a FeedSource says of where its Pods may run."""
    feeder, spec = feed_source.spec.feeder, dict[str, Any]()
    if feeder.node_selector:
        spec["nodeSelector"] = dict(feeder.node_selector)
    if feeder.tolerations:
        spec["tolerations"] = [
            toleration.model_dump(mode="json", by_alias=True, exclude_none=True)
            for toleration in feeder.tolerations
        ]
    if feeder.priority_class_name:
        spec["priorityClassName"] = feeder.priority_class_name
    return spec


def _container(feed_source: FeedSource, worker: Worker, defaults: Defaults) -> dict[str, Any]:
    feeder = feed_source.spec.feeder
    policy = feeder.image_pull_policy
    return {
        "name": FEEDER_CONTAINER,
        "image": feeder.image or defaults.image,
        "imagePullPolicy": policy.value if policy else defaults.image_pull_policy,
        "args": ["run", "--config", f"{WORKER_CONFIG_DIR}/{WORKER_CONFIG_KEY}"],
        "env": [_field("POD_NAME", "metadata.name"), _field("POD_NAMESPACE", "metadata.namespace")],
        "ports": [{"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "resources": _resources(feeder),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # A minute to start, as it may have to read a large instrument list first.
        "startupProbe": build_probe("/healthz", period=2, failures=30),
        "livenessProbe": build_probe("/healthz", period=10, failures=3),
        "readinessProbe": build_probe("/readyz", period=2, failures=3),
        "volumeMounts": _mounts(feed_source, worker),
    }


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def build_probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    """Build a probe of a Pod's HTTP port."""
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _resources(feeder: FeederPod) -> dict[str, Any]:
    asked = feeder.resources
    return {
        "requests": {**DEFAULT_REQUESTS, **_amounts(asked.requests if asked else None)},
        "limits": {**DEFAULT_LIMITS, **_amounts(asked.limits if asked else None)},
    }


def _amounts(amounts: ResourceAmounts | None) -> dict[str, str]:
    return amounts.model_dump(exclude_none=True) if amounts else {}


def _spread(feed_source: FeedSource) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": HOSTNAME_KEY,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": feed_selector(feed_source)},
    }


def _apart(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    # Preferred and not required: on a single node the standby is still worth having.
    labels = shard_selector(feed_source, worker.shard)
    term = {"topologyKey": HOSTNAME_KEY, "labelSelector": {"matchLabels": labels}}
    rule = {"weight": 100, "podAffinityTerm": term}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [rule]}}


def _mounts(feed_source: FeedSource, worker: Worker) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": WORKER_CONFIG_DIR, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mount of the Pod's own
        {"name": "spill", "mountPath": SPILL_DIR},
    ]
    if worker.account.credentials_secret_ref:
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS_DIR, "readOnly": True})
    for name, _ in _databases(feed_source):
        path = f"{SINKS_DIR}/{name}"
        mounts.append({"name": f"sink-{name}", "mountPath": path, "readOnly": True})
    for name, file in _files(feed_source):
        mounts.append({"name": f"sink-{name}", "mountPath": file.path})
    return mounts


def _volumes(feed_source: FeedSource, worker: Worker) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": worker.name}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
        {"name": "spill", "emptyDir": {"sizeLimit": SPILL_SIZE_LIMIT}},
    ]
    credentials = worker.account.credentials_secret_ref
    if credentials:
        volumes.append(secret_volume("credentials", credentials.name))
    for name, postgres in _databases(feed_source):
        ref = postgres.dsn_secret_ref
        volumes.append(secret_volume(f"sink-{name}", ref.name, ref.key))
    for name, _ in _files(feed_source):
        volumes.append({"name": f"sink-{name}", "emptyDir": {"sizeLimit": FILES_SIZE_LIMIT}})
    return volumes


def secret_volume(volume: str, secret: str, key: str | None = None) -> dict[str, Any]:
    """Build a volume of a Secret, or of one key of it."""
    source: dict[str, Any] = {"secretName": secret, "defaultMode": SECRET_MODE}
    if key is not None:
        source["items"] = [{"key": key, "path": key}]
    return {"name": volume, "secret": source}


def _databases(feed_source: FeedSource) -> list[tuple[str, PostgresSink]]:
    sinks = feed_source.spec.sinks
    return [(sink.name, sink.postgres) for sink in sinks if sink.postgres is not None]


def _files(feed_source: FeedSource) -> list[tuple[str, FileSink]]:
    return [(sink.name, sink.file) for sink in feed_source.spec.sinks if sink.file is not None]
