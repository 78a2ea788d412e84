"""Resources and reports as tests of the operator write them, each one field away from good."""

from datetime import UTC, datetime
from typing import Any

from feedplane_api.names import API_VERSION, Kind
from feedplane_api.worker import (
    ChannelProblem,
    ChannelState,
    Coverage,
    ElectionReport,
    FeederStatus,
    FeedSourceIdentity,
    HealthReport,
    SessionState,
    SinkReport,
)

JsonDict = dict[str, Any]


def utc() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)  # noqa: TID251 - a real feeder's clock


def feeder_status(**changes: Any) -> FeederStatus:
    """Return what a healthy feeder with one instrument answers."""
    fields: JsonDict = {
        "feed_source": FeedSourceIdentity(namespace="default", name="spot"),
        "venue": "binance-spot",
        "account": "a",
        "shard": 0,
        "start_time": utc(),
        "time": utc(),
        "session": SessionState.STREAMING,
        "health": HealthReport(healthy=True, reason="Healthy"),
        "ready": True,
        "coverage": Coverage(wanted=1, live=1),
        "election": ElectionReport(active=True, holder="a", epoch=1),
        "sinks": (SinkReport(name="db", kind="postgres", connected=True),),
        "events_per_second": 1000,
        "lag_milliseconds": 12,
    }
    return FeederStatus(**{**fields, **changes})


def mute(symbol: str, channel: str = "trade") -> ChannelProblem:
    """Return the problem of a channel that was acknowledged and stays mute."""
    return ChannelProblem(
        symbol=symbol, channel=channel, state=ChannelState.STALE, reason="Mute", since_time=utc()
    )


def feed_source(name: str, namespace: str = "default", **spec: Any) -> JsonDict:
    """Return a FeedSource of one account that writes to a database."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FeedSource",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "venue": "binance-spot",
            "accounts": [{"name": "a"}],
            "sinks": [{"name": "db", "postgres": {"dsnSecretRef": {"name": "db"}}}],
            **spec,
        },
    }


def subscription(name: str, feed: str, namespace: str = "default", **spec: Any) -> JsonDict:
    """Return a Subscription to one instrument's trades."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Subscription",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "feedSourceRef": {"name": feed},
            "channels": ["trade"],
            **({} if "selector" in spec else {"instruments": ["BTCUSDT"]}),
            **spec,
        },
    }


def condition(resource: JsonDict | None, kind: str) -> JsonDict:
    """Return a condition of a resource; an empty one while it is not there."""
    conditions = ((resource or {}).get("status") or {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == kind), {})


BACKFILL = {
    "apiVersion": API_VERSION,
    "kind": Kind.BACKFILL.value,
    "metadata": {"name": "history"},
    "spec": {
        "feedSourceRef": {"name": "spot"},
        "instruments": ["BTCUSDT"],
        "channels": ["trade"],
        "range": {"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z"},
    },
}
