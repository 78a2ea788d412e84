from dataclasses import replace

import pytest

from feedplane_api.conditions import Reason
from feedplane_api.worker import SessionState
from feedplane_feeder.core.health import (
    STARTING_NS,
    HealthObservation,
    HealthReason,
    check_health,
)

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
WARM = replace(GOOD, session=SessionState.DISCONNECTED, live=0, pending=100, resting=True)
FINE = (HealthReason.HEALTHY, HealthReason.NOTHING_WANTED, HealthReason.WARM_READY)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (GOOD, "Healthy"),
        (replace(GOOD, wanted=0, live=0), "NothingWanted"),
        (replace(GOOD, refused="HTTP 401"), "CredentialsRefused"),
        (replace(GOOD, wanted=0, live=0, refused="HTTP 401"), "CredentialsRefused"),
        (replace(GOOD, refused_rest="HTTP 401"), "Healthy"),
        (replace(DEAD, refused_rest="HTTP 401"), "CredentialsRefused"),
        (replace(DEAD, refused="HTTP 401", banned_until_ns=NOW + 1), "CredentialsRefused"),
        (replace(GOOD, renewing=True), "CredentialsChanged"),
        (replace(DEAD, banned_until_ns=NOW + 1), "AccountBanned"),
        (replace(DEAD, banned_until_ns=NOW + 1, started_ns=NOW), "AccountBanned"),
        (replace(GOOD, banned_until_ns=NOW + 1), "Healthy"),
        (replace(DEAD, banned_until_ns=NOW), "SessionLost"),
        (replace(GOOD, loop_lag_seconds=2.0), "Healthy"),
        (replace(GOOD, loop_lag_seconds=2.1), "EventLoopLagging"),
        (replace(DEAD, started_ns=NOW - 1), "Starting"),
        (replace(DEAD, session=SessionState.STALE, started_ns=NOW - 1), "StreamStale"),
        (replace(DEAD, session=SessionState.SUBSCRIBING), "SessionLost"),
        (replace(GOOD, session=SessionState.STALE, silent=11), "StreamStale"),
        (replace(GOOD, session=SessionState.STALE, silent=10), "Healthy"),
        (replace(GOOD, live=90, stale=10), "Healthy"),
        (replace(GOOD, live=89, stale=11), "CoverageLow"),
        (replace(GOOD, live=50, pending=50, started_ns=NOW - 1), "Starting"),
        (replace(GOOD, live=50, stale=50, started_ns=NOW - 1), "CoverageLow"),
        (replace(GOOD, wanted=900, pending=800, new=800), "Healthy"),
        (replace(GOOD, wanted=900, pending=800, new=788), "CoverageLow"),
        (replace(GOOD, wanted=900, pending=800, new=800, silent=11), "StreamStale"),
        (replace(DEAD, pending=100, new=100), "Starting"),
        (replace(DEAD, pending=100, new=99), "SessionLost"),
        (replace(GOOD, malformed=50), "Healthy"),
        (replace(GOOD, malformed=51), "FramesMalformed"),
        (WARM, "WarmReady"),
        (replace(WARM, unreachable="HTTP 503"), "VenueUnreachable"),
        (replace(WARM, banned_until_ns=NOW + 1), "AccountBanned"),
        (replace(WARM, refused_rest="HTTP 401"), "CredentialsRefused"),
        (replace(GOOD, unreachable="HTTP 503"), "Healthy"),
        (replace(DEAD, market_open=False), "MarketClosed"),
        (replace(GOOD, session=SessionState.STALE, silent=99, market_open=False), "MarketClosed"),
        (replace(DEAD, market_open=False, refused="HTTP 401"), "CredentialsRefused"),
    ],
)
def test_finding_is_the_first_reason_of_the_chain(seen: HealthObservation, reason: str) -> None:
    report = check_health(seen, NOW)
    assert report.reason == reason
    assert report.healthy is (reason in {*FINE, HealthReason.MARKET_CLOSED})
    assert report.definitive is (
        reason in {"CredentialsRefused", "CredentialsChanged", "AccountBanned"}
    )


def test_finding_names_what_it_saw() -> None:
    assert check_health(DEAD, NOW).message == "HTTP 503"
    low = check_health(replace(GOOD, live=50, stale=50), NOW)
    assert low.message == "50 of 100 channels live, 50 stale"
    banned = check_health(replace(DEAD, banned_until_ns=NOW + 1_500_000_000), NOW)
    assert banned.message == "for another 2 s"


def test_each_word_of_trouble_is_a_reason_of_conditions() -> None:
    good = {*FINE, HealthReason.HEALTHY, HealthReason.WARM_READY}
    known = {reason.value for reason in Reason}
    assert {word.value for word in HealthReason} - {word.value for word in good} <= known
