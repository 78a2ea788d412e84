"""What the operator may do in a cluster, rule by rule with its reason.

The chart grants exactly this and the integration tests run with exactly this. Cluster-wide it is
one ClusterRole; with namespaces named it is one Role in each of them, and no ClusterRole at all.
"""

from dataclasses import dataclass
from typing import Any, Final

from feedplane_api.names import GROUP

_KEEP: Final = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Right:
    """One rule of a Role."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str

    def rule(self) -> dict[str, Any]:
        """Return the rule as a Role holds it."""
        return {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }


RIGHTS: Final = (
    Right(
        GROUP,
        ("feedsources", "subscriptions", "backfills"),
        ("get", "list", "watch"),
        "To see what is wanted. Specs that people wrote are never changed.",
    ),
    Right(
        GROUP,
        ("backfills",),
        ("create", "patch", "delete"),
        "To make one for gaps that are too large for a feeder, and to clear away what is past its"
        " time to live.",
    ),
    Right(
        GROUP,
        ("feedsources/status", "subscriptions/status", "backfills/status"),
        ("get", "patch"),
        "To say what is.",
    ),
    Right("apps", ("deployments",), _KEEP, "One per feeder."),
    Right("batch", ("jobs",), _KEEP, "One per run of a Backfill."),
    Right(
        "",
        ("configmaps", "serviceaccounts", "services"),
        _KEEP,
        "Configuration, identity and address of feeders and backfill workers.",
    ),
    Right(
        "rbac.authorization.k8s.io",
        ("roles", "rolebindings"),
        _KEEP,
        "A feeder's own rights, by the names of one ConfigMap and its Leases."
        " Nothing can be granted that the operator does not hold itself.",
    ),
    Right(
        "coordination.k8s.io",
        ("leases",),
        (*_KEEP, "update"),
        "Leases are made here, so that feeders need not create any;"
        " update is granted on to feeders, which renew them.",
    ),
    Right("policy", ("poddisruptionbudgets",), _KEEP, "One per shard."),
    Right("networking.k8s.io", ("networkpolicies",), _KEEP, "One per FeedSource."),
    Right("", ("pods",), ("get", "list", "watch"), "Why a feeder does not run, and where it is."),
    Right(
        "",
        ("events",),
        ("list",),
        "Why a volume cannot be mounted: that is how a missing Secret is known, as Secrets"
        " themselves are never read.",
    ),
    Right("events.k8s.io", ("events",), ("create", "patch"), "To tell people, repeats counted."),
)
"""In every namespace that is watched."""

NOTIFICATION_RIGHT: Final = Right(
    "",
    ("secrets",),
    ("get",),
    "To read the address of a webhook just in time; by the names of the Secrets alone, in every"
    " namespace that is watched.",
)
"""With the names of Secrets that a person listed; not granted without."""

ELECTION_RIGHTS: Final = (
    Right("coordination.k8s.io", ("leases",), ("create",), "To make the election's Lease."),
    Right(
        "coordination.k8s.io",
        ("leases",),
        ("get", "update"),
        "To hold it; by its name alone.",
    ),
)
"""In the operator's own namespace; the second rule names the one Lease."""
