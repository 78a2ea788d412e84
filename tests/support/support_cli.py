"""Documents as the API server gives them to the command, each one field away from good."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from feedplane_api.names import (
    API_VERSION,
    LABEL_FEED_SOURCE,
    LABEL_MANAGED_BY,
    LABEL_SHARD,
    LEASE_CHANGED_REASON,
)

JsonDict = dict[str, Any]
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def stamp(seconds_ago: float = 0) -> str:
    """Return a time as the API writes it."""
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def conditions(**said: str) -> list[JsonDict]:
    """Return conditions, each as `Ready="True AllLive Everything wanted is live."`."""
    return [
        {
            "type": kind,
            "status": text.split()[0],
            "reason": text.split()[1],
            "message": " ".join(text.split()[2:]),
            "lastTransitionTime": stamp(600),
        }
        for kind, text in said.items()
    ]


def feed(name: str = "spot", namespace: str = "trading", **spec: Any) -> JsonDict:
    """Return a FeedSource of two accounts, the first of which publishes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FeedSource",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "venue": "binance-spot",
            "accounts": [{"name": "main"}, {"name": "backup"}],
            "failover": {"mode": "Hot"},
            "state": "Running",
            "sinks": [{"name": "db", "postgres": {"dsnSecretRef": {"name": "db"}}}],
            **spec,
        },
        "status": status(),
    }


def status(active: str = "main", **changes: Any) -> JsonDict:
    """Return the status of a FeedSource that does what its spec asks."""
    accounts = ("main", "backup")
    return {
        "conditions": conditions(Ready="True AllLive Everything wanted is live."),
        "activeAccount": active,
        "accounts": [account(name, active) for name in accounts],
        "failover": {"epoch": 3, "active": active, "sinceTime": stamp(300), "reason": "Vacant"},
        "coverage": {"wanted": 4, "live": 4, "percent": 100},
        "eventsPerSecond": 1200,
        "lagMilliseconds": 12,
        **changes,
    }


def account(name: str, active: str = "main", **changes: Any) -> JsonDict:
    """Return what a status says of a healthy account."""
    return {
        "name": name,
        "role": "Active" if name == active else "Standby",
        "session": "Streaming",
        "healthy": "True",
        "reason": "Healthy",
        "instruments": 2,
        **changes,
    }


def lease(holder: str = "main/spot-main-0-abc", shard: int = 0, **spec: Any) -> JsonDict:
    """Return the publisher Lease of one shard of the FeedSource `spot`."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": f"spot-publisher-{shard}",
            "namespace": "trading",
            "labels": {
                LABEL_FEED_SOURCE: "spot",
                LABEL_SHARD: str(shard),
                LABEL_MANAGED_BY: "feedplane",
            },
            "annotations": {LEASE_CHANGED_REASON: "Vacant"},
        },
        "spec": {
            "holderIdentity": holder,
            "leaseTransitions": 3,
            "leaseDurationSeconds": 6,
            "acquireTime": stamp(300),
            "renewTime": stamp(1),
            **spec,
        },
    }


def subscription(name: str = "majors", feed_name: str = "spot", **changes: Any) -> JsonDict:
    """Return a Subscription of which everything is live."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Subscription",
        "metadata": {"name": name, "namespace": "trading"},
        "spec": {
            "feedSourceRef": {"name": feed_name},
            "instruments": ["BTCUSDT"],
            "channels": ["trade"],
        },
        "status": {
            "conditions": conditions(Ready="True AllLive Everything wanted is live."),
            "coverage": {"wanted": 4, "live": 4, "stale": 0, "refused": 0, "percent": 100},
            "gaps": {"open": 0, "filled": 5, "unfillable": 0},
            "lastEventTime": stamp(2),
            **changes,
        },
    }


def lines_of(text: str, *words: str) -> Iterable[str]:
    """Return the lines that hold all of the words."""
    return [line for line in text.splitlines() if all(word in line for word in words)]
