"""What one run of a Backfill consists of: an Indexed Job, its configuration, its identity.

Worker i of n is index i of the Job; it knows by JOB_COMPLETION_INDEX. A Job's template cannot
change, so a run keeps the one it began with, and only how many work at once is ever written anew.
"""

from typing import Any, Final

from feedplane_api.backfill import Backfill
from feedplane_api.backfill_worker import BackfillConfig, render_backfill_config
from feedplane_api.feed_source import FeedSource
from feedplane_api.names import (
    API_VERSION,
    BACKFILL_CONFIG_KEY,
    CREDENTIALS_DIR,
    HTTP_PORT,
    HTTP_PORT_NAME,
    LABEL_BACKFILL,
    LABEL_COMPONENT,
    LABEL_FEED_SOURCE,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_RUN,
    MANAGED_BY,
    SINKS_DIR,
    WORKER_CONFIG_DIR,
    ExitCode,
)
from feedplane_operator.core.backfill_config import find_database
from feedplane_operator.core.children.deployment import (
    build_probe,
    pod_security,
    scheduling,
    secret_volume,
)
from feedplane_operator.core.children.metadata import BACKFILL_COMPONENT
from feedplane_operator.core.diff import stamp
from feedplane_operator.core.observed import Defaults
from feedplane_operator.core.plan import Manifest
from feedplane_operator.core.pods import FEEDER_CONTAINER

JOB_TTL_SECONDS: Final = 3_600
"""Pods of a run that ended, and with them its logs, stay this long."""
TRIES_PER_WORKER: Final = 6
GRACE_SECONDS: Final = 60
"""A worker that is told to stop finishes the piece it has; what is not finished is done again."""
TMP_SIZE_LIMIT: Final = "1Gi"
REQUESTS: Final = {"cpu": "100m", "memory": "256Mi"}
LIMITS: Final = {"memory": "1Gi"}


def job_name(backfill: str, run: str) -> str:
    """Return the name of a run's Job."""
    return f"{backfill}-{run}"


def config_name(backfill: str, run: str) -> str:
    """Return the name of a run's ConfigMap."""
    return f"backfill-{backfill}-{run}"


def account_name(backfill: str) -> str:
    """Return the name of a Backfill's ServiceAccount."""
    return f"backfill-{backfill}"


def build_run(
    backfill: Backfill,
    feed_source: FeedSource,
    config: BackfillConfig,
    parallelism: int,
    defaults: Defaults,
) -> tuple[Manifest, ...]:
    """Build all a run needs; what its Pods need at their start comes before the Job."""
    return (
        stamp(build_account(backfill)),
        stamp(build_config_map(backfill, config)),
        stamp(build_job(backfill, feed_source, config, parallelism, defaults)),
    )


def build_account(backfill: Backfill) -> dict[str, Any]:
    """Build the workers' ServiceAccount; they talk to no API, so it has no token and no rights."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(backfill, account_name(backfill.metadata.name)),
        "automountServiceAccountToken": False,
    }


def build_config_map(backfill: Backfill, config: BackfillConfig) -> dict[str, Any]:
    """Build the ConfigMap of one run."""
    name = config_name(backfill.metadata.name, config.run)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(backfill, name, config.run),
        "data": {BACKFILL_CONFIG_KEY: render_backfill_config(config)},
    }


def build_job(
    backfill: Backfill,
    feed_source: FeedSource,
    config: BackfillConfig,
    parallelism: int,
    defaults: Defaults,
) -> dict[str, Any]:
    """Build the Job of one run."""
    spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": config.workers,
        "parallelism": parallelism,
        "suspend": False,
        "backoffLimitPerIndex": TRIES_PER_WORKER,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _rules()},
        "template": {
            "metadata": {"labels": _labels(backfill, config.run)},
            "spec": _pod_spec(backfill, feed_source, config, defaults),
        },
    }
    if backfill.spec.schedule is None:
        spec["ttlSecondsAfterFinished"] = JOB_TTL_SECONDS
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(backfill, job_name(backfill.metadata.name, config.run), config.run),
        "spec": spec,
    }


def adjust_job(live: Manifest, *, parallelism: int, suspended: bool) -> Manifest | None:
    """Return a Job that runs with another number of workers at once; None where it does so."""
    spec = live["spec"]
    wanted = {**spec, "parallelism": parallelism, "suspend": suspended}
    same = spec.get("parallelism") == parallelism and bool(spec.get("suspend")) == suspended
    if same:
        return None
    metadata = live["metadata"]
    kept = ("name", "namespace", "labels", "annotations", "ownerReferences")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": wanted,
    }


def _rules() -> list[dict[str, Any]]:
    # What every worker would meet again ends the whole Job; a worker that was only moved or told
    # to stop has not failed.
    hopeless = [ExitCode.USAGE, ExitCode.SINK_REFUSED, ExitCode.CONFIG_INVALID]
    return [
        {"action": "FailJob", "onExitCodes": _codes(hopeless)},
        {"action": "Ignore", "onExitCodes": _codes([ExitCode.INTERRUPTED])},
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
    ]


def _codes(values: list[int]) -> dict[str, Any]:
    return {"containerName": FEEDER_CONTAINER, "operator": "In", "values": sorted(values)}


def _pod_spec(
    backfill: Backfill, feed_source: FeedSource, config: BackfillConfig, defaults: Defaults
) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account_name(backfill.metadata.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(),
        "containers": [_container(feed_source, defaults)],
        "volumes": _volumes(feed_source, config_name(backfill.metadata.name, config.run)),
        **scheduling(feed_source),
    }


def _container(feed_source: FeedSource, defaults: Defaults) -> dict[str, Any]:
    feeder = feed_source.spec.feeder
    policy = feeder.image_pull_policy
    return {
        "name": FEEDER_CONTAINER,
        "image": feeder.image or defaults.image,
        "imagePullPolicy": policy.value if policy else defaults.image_pull_policy,
        "args": ["backfill", "--config", f"{WORKER_CONFIG_DIR}/{BACKFILL_CONFIG_KEY}"],
        "ports": [{"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "resources": {"requests": dict(REQUESTS), "limits": dict(LIMITS)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # It answers only once the database let it in, which may be a while; it ends by itself.
        "readinessProbe": build_probe("/readyz", period=5, failures=3),
        "volumeMounts": _mounts(feed_source),
    }


def _mounts(feed_source: FeedSource) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": WORKER_CONFIG_DIR, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mount of the Pod's own
    ]
    if feed_source.spec.accounts[0].credentials_secret_ref:
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS_DIR, "readOnly": True})
    database = find_database(feed_source)
    if database is not None:
        path = f"{SINKS_DIR}/{database[0]}"
        mounts.append({"name": f"sink-{database[0]}", "mountPath": path, "readOnly": True})
    return mounts


def _volumes(feed_source: FeedSource, config_map: str) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE_LIMIT}},
    ]
    credentials = feed_source.spec.accounts[0].credentials_secret_ref
    if credentials:
        volumes.append(secret_volume("credentials", credentials.name))
    database = find_database(feed_source)
    if database is not None:
        ref = database[1].dsn_secret_ref
        volumes.append(secret_volume(f"sink-{database[0]}", ref.name, ref.key))
    return volumes


def _labels(backfill: Backfill, run: str = "") -> dict[str, str]:
    name = backfill.metadata.name
    labels = {
        LABEL_NAME: "feedplane",
        LABEL_COMPONENT: BACKFILL_COMPONENT,
        LABEL_INSTANCE: name,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_FEED_SOURCE: backfill.spec.feed_source_ref.name,
        LABEL_BACKFILL: name,
    }
    return {**labels, LABEL_RUN: run} if run else labels


def _metadata(backfill: Backfill, name: str, run: str = "") -> dict[str, Any]:
    metadata = backfill.metadata
    return {
        "name": name,
        "namespace": metadata.namespace,
        "labels": _labels(backfill, run),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": backfill.kind.value,
                "name": metadata.name,
                "uid": metadata.uid,
                "controller": True,
            }
        ],
    }
