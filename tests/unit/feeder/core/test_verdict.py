import pytest

from feedplane_api.worker import FailoverPolicy, HealthReport
from feedplane_feeder.core.health import SECOND_NS, HealthReason
from feedplane_feeder.core.verdict import CHECKS_CAP, FALLS_WINDOW_NS, Verdict

POLICY = FailoverPolicy(failure_threshold=2, success_threshold=3)
FINE = HealthReport(healthy=True, reason=HealthReason.HEALTHY)
STARTING = HealthReport(healthy=False, reason=HealthReason.STARTING)
LOST = HealthReport(healthy=False, reason=HealthReason.SESSION_LOST, message="HTTP 503")
LOW = HealthReport(healthy=False, reason=HealthReason.COVERAGE_LOW)
STALE = HealthReport(healthy=False, reason=HealthReason.STREAM_STALE)
REFUSED = HealthReport(healthy=False, reason=HealthReason.CREDENTIALS_REFUSED, definitive=True)


def weigh(verdict: Verdict, *found: HealthReport, now_ns: int = 0) -> list[str]:
    return [verdict.weigh(each, POLICY, now_ns).reason for each in found]


def checks_until_healthy(verdict: Verdict, now_ns: int = 0) -> int:
    count = 0
    while not verdict.report.healthy:
        count += 1
        verdict.weigh(FINE, POLICY, now_ns)
    return count


def risen() -> Verdict:
    verdict = Verdict()
    weigh(verdict, FINE, FINE, FINE)
    return verdict


def test_account_begins_neither_fit_nor_failing() -> None:
    verdict = Verdict()
    assert verdict.report == STARTING
    assert weigh(verdict, STARTING, FINE, FINE) == ["Starting", "Starting", "Starting"]
    assert weigh(verdict, FINE) == ["Healthy"]


def test_one_bad_moment_changes_nothing() -> None:
    verdict = risen()
    assert weigh(verdict, LOST, FINE, LOST, FINE, LOST) == ["Healthy"] * 5
    assert weigh(verdict, LOST) == ["SessionLost"]


def test_account_at_its_start_has_to_fail_as_often() -> None:
    assert weigh(Verdict(), LOST, LOST) == ["Starting", "SessionLost"]


@pytest.mark.parametrize("found", [STALE, REFUSED])
def test_what_needs_no_second_look_counts_at_once(found: HealthReport) -> None:
    assert weigh(risen(), found) == [found.reason]
    assert weigh(Verdict(), found) == [found.reason]


def test_reason_follows_while_it_stays_down() -> None:
    verdict = risen()
    assert weigh(verdict, LOST, LOST, LOW, FINE, LOST) == [
        "Healthy",
        "SessionLost",
        "CoverageLow",
        "CoverageLow",
        "SessionLost",
    ]


def test_recovery_takes_some_passes_and_says_so() -> None:
    verdict = risen()
    weigh(verdict, REFUSED, FINE)
    assert (verdict.report.reason, verdict.report.definitive) == ("CredentialsRefused", False)
    assert verdict.report.message == "passes again: 1 of 3 checks"
    weigh(verdict, FINE, FINE)
    assert verdict.report == FINE


def test_account_that_starts_again_is_told_at_once() -> None:
    assert weigh(risen(), STARTING) == ["Starting"]


def test_thresholds_are_those_of_the_moment() -> None:
    verdict, strict = risen(), FailoverPolicy(failure_threshold=1, success_threshold=1)
    assert not verdict.weigh(LOST, strict, 0).healthy
    assert verdict.weigh(FINE, strict, 0).healthy


def test_account_that_falls_again_and_again_waits_longer() -> None:
    verdict, waits = risen(), []
    for fall in range(1, 9):
        weigh(verdict, STALE, now_ns=fall * SECOND_NS)
        waits.append(checks_until_healthy(verdict, now_ns=fall * SECOND_NS))
    assert waits == [3, 3, 3, 6, 12, 24, 48, 96]
    for fall in range(9, 30):
        weigh(verdict, STALE, now_ns=fall * SECOND_NS)
        waits.append(checks_until_healthy(verdict, now_ns=fall * SECOND_NS))
    assert max(waits) == CHECKS_CAP
    later = FALLS_WINDOW_NS + 60 * SECOND_NS
    weigh(verdict, STALE, now_ns=later)
    assert checks_until_healthy(verdict, now_ns=later) == 3


def test_refusals_are_no_sign_of_a_bad_line() -> None:
    verdict = risen()
    for _ in range(9):
        weigh(verdict, REFUSED)
        assert checks_until_healthy(verdict) == 3
