"""Every name both sides agree on: API group, labels, child names, ports, paths.

Must not know how anything is built or read; it only spells.
"""

from enum import StrEnum
from typing import Final

GROUP: Final = "feedplane.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "feeds"

FIELD_MANAGER: Final = "feedplane-operator"
MANAGED_BY: Final = "feedplane"


class Kind(StrEnum):
    """The three resources."""

    FEED_SOURCE = "FeedSource"
    SUBSCRIPTION = "Subscription"
    BACKFILL = "Backfill"


PLURALS: Final[dict[Kind, str]] = {
    Kind.FEED_SOURCE: "feedsources",
    Kind.SUBSCRIPTION: "subscriptions",
    Kind.BACKFILL: "backfills",
}
SHORT_NAMES: Final[dict[Kind, str]] = {
    Kind.FEED_SOURCE: "fs",
    Kind.SUBSCRIPTION: "sub",
    Kind.BACKFILL: "bf",
}

# Labels on every child; selectors and watches rest on them.
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_FEED_SOURCE: Final = f"{GROUP}/feed-source"
LABEL_ACCOUNT: Final = f"{GROUP}/account"
LABEL_SHARD: Final = f"{GROUP}/shard"
LABEL_BACKFILL: Final = f"{GROUP}/backfill"
LABEL_RUN: Final = f"{GROUP}/run"
"""Which run of a Backfill an object belongs to."""
LABEL_SUBSCRIPTION: Final = f"{GROUP}/subscription"
"""On a Backfill that was made to fill a Subscription's gaps."""

# Annotations.
ANNOTATION_CONFIG_HASH: Final = f"{GROUP}/config-hash"
"""On the pod template: hash of what a feeder cannot take over live; a change rolls the pod."""
ANNOTATION_TEMPLATE_HASH: Final = f"{GROUP}/template-hash"
"""On the pod template: hash of all the rest of it, by which a pod of a former one is told."""
ANNOTATION_PLANNED_RESTART: Final = f"{GROUP}/planned-restart"
"""On the pod template: the planned restart that made the pod."""

# The pod's side of the contract.
WORKER_CONFIG_KEY: Final = "worker.yaml"
"""Key of the WorkerConfig document in the feeder's ConfigMap."""
BACKFILL_CONFIG_KEY: Final = "backfill.yaml"
"""Key of the BackfillConfig document in a run's ConfigMap."""
WORKER_CONFIG_DIR: Final = "/etc/feedplane"
CREDENTIALS_DIR: Final = "/var/run/feedplane/credentials"
"""The account's Secret, one file per key."""
SINKS_DIR: Final = "/var/run/feedplane/sinks"
"""Sink Secrets: `<SINKS_DIR>/<sink name>/<key>`."""
SPILL_DIR: Final = "/var/lib/feedplane/spill"
HTTP_PORT: Final = 8000
HTTP_PORT_NAME: Final = "http"
TERMINATION_GRACE_PERIOD_SECONDS: Final = 30

LEASE_CHANGED_REASON: Final = f"{GROUP}/reason"
"""Lease annotation: why the present holder took over, or why the last one let go."""


LEASE_SUCCESSOR: Final = f"{GROUP}/successor"
"""Lease annotation: the account that the last holder handed over to; empty when to anybody."""
LEASE_CANDIDATE_PREFIX: Final = f"candidate.{GROUP}/"
"""Lease annotation, followed by an account's name: how that account does, in its own words."""


class ExitCode:
    """What a feeder's exit code tells the operator (sysexits where one fits)."""

    OK: Final = 0
    FAILURE: Final = 1
    USAGE: Final = 64
    SINK_REFUSED: Final = 69
    """The sink can never work as it is: a version with a known conflict bug, a foreign table."""
    INTERRUPTED: Final = 75
    """A backfill worker was told to stop before its work was done; started again it goes on."""
    CONFIG_INVALID: Final = 78
    """The configuration cannot be used, an unknown venue included; see the termination message."""


def worker_name(feed_source: str, account: str, shard: int) -> str:
    """Name of the Deployment, ConfigMap, ServiceAccount, Role and Service of one worker."""
    return f"{feed_source}-{account}-{shard}"


def publisher_lease_name(feed_source: str, shard: int) -> str:
    """Name of the Lease that says who publishes one shard of a feed source."""
    return f"{feed_source}-publisher-{shard}"


def account_lease_name(feed_source: str, account: str) -> str:
    """Name of the Lease that allows one session of an account."""
    return f"{feed_source}-account-{account}"
