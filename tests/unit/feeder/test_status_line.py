from typing import Any

from feedplane_api.worker import FeederStatus
from feedplane_feeder.status_line import render_status_line

GOOD: dict[str, Any] = {
    "feedSource": {},
    "venue": "some-venue",
    "account": "main",
    "shard": 0,
    "startTime": "2026-11-21T12:00:00Z",
    "time": "2026-11-21T12:00:05Z",
    "session": "Streaming",
    "health": {"healthy": True, "reason": "Healthy"},
    "coverage": {"wanted": 4, "live": 4},
    "eventsPerSecond": 1250,
    "lagMilliseconds": 12,
    "sinks": [{"name": "file", "kind": "file", "connected": True, "recordsWritten": 12345}],
}


def line(**changes: Any) -> str:
    return render_status_line(FeederStatus.model_validate({**GOOD, **changes}))


def test_status_line_of_a_good_feeder_is_short() -> None:
    assert line() == ("12:00:05  streaming       1,250/s  live 4/4  lag 12 ms  gaps 0  rows 12,345")


def test_status_line_of_a_troubled_feeder_says_what_is_wrong() -> None:
    problems = [
        {
            "symbol": symbol,
            "channel": "trade",
            "state": "Stale",
            "reason": "Mute",
            "sinceTime": "2026-11-21T12:00:00Z",
        }
        for symbol in ("A", "B", "C", "D", "E")
    ]
    text = line(
        health={"healthy": False, "reason": "LowCoverage"},
        lagMilliseconds=None,
        problems=problems,
        gaps=[{"symbol": "A", "channel": "trade", "open": 2}],
        sinks=[
            {
                "name": "main",
                "kind": "postgres",
                "recordsWritten": 5,
                "recordsDuplicate": 3,
                "spilledBytes": 4096,
            }
        ],
    )
    assert text.endswith(
        "lag -  gaps 2  rows 5 (+3 known) spilled 4,096 bytes main away  LowCoverage"
        "  waiting for A trade Mute, B trade Mute, C trade Mute and 2 more"
    )
