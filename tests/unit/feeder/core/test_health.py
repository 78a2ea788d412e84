from dataclasses import replace

import pytest

from feedplane_api.worker import SessionState
from feedplane_feeder.core.health import STARTING_NS, HealthObservation, check_health

NOW = 10 * STARTING_NS
GOOD = HealthObservation(
    started_ns=0,
    session=SessionState.STREAMING,
    wanted=100,
    live=100,
    stale=0,
    pending=0,
    minimum_coverage_percent=90,
    frames=1_000,
)
DEAD = replace(GOOD, session=SessionState.DISCONNECTED, live=0, last_error="HTTP 503")


@pytest.mark.parametrize(
    ("seen", "healthy", "reason"),
    [
        (GOOD, True, "Healthy"),
        (replace(GOOD, wanted=0, live=0), True, "NothingWanted"),
        (replace(DEAD, banned_until_ns=NOW + 1), False, "Banned"),
        (replace(GOOD, banned_until_ns=NOW + 1), True, "Healthy"),
        (replace(DEAD, banned_until_ns=NOW), False, "Disconnected"),
        (replace(DEAD, started_ns=NOW - 1), False, "Starting"),
        (replace(DEAD, session=SessionState.STALE, started_ns=NOW - 1), False, "Stale"),
        (replace(DEAD, session=SessionState.SUBSCRIBING), False, "NotStreaming"),
        (replace(GOOD, live=90, stale=10), True, "Healthy"),
        (replace(GOOD, live=89, stale=11), False, "LowCoverage"),
        (replace(GOOD, live=50, pending=50, started_ns=NOW - 1), False, "Starting"),
        (replace(GOOD, live=50, stale=50, started_ns=NOW - 1), False, "LowCoverage"),
        (replace(GOOD, malformed=50), True, "Healthy"),
        (replace(GOOD, malformed=51), False, "MalformedFrames"),
    ],
)
def test_verdict_is_the_first_reason_of_the_chain(
    seen: HealthObservation, healthy: bool, reason: str
) -> None:
    report = check_health(seen, NOW)
    assert (report.healthy, report.reason) == (healthy, reason)


def test_verdict_names_what_it_saw() -> None:
    assert check_health(DEAD, NOW).message == "HTTP 503"
    low = check_health(replace(GOOD, live=50, stale=50), NOW)
    assert low.message == "50 of 100 channels live, 50 stale"
