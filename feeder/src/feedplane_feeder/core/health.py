"""The feeder's verdict on its own account: the first failing check of an ordered chain.

Trouble with a sink is never part of it: all accounts share the sink, so another account would
fare no better. Pure; must not know where the observation comes from.
"""

from dataclasses import dataclass

from feedplane_api.worker import HealthReport, SessionState

STARTING_NS = 15_000_000_000
ERRORS_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthObservation:
    """What the verdict is made of."""

    started_ns: int
    session: SessionState
    wanted: int
    live: int
    stale: int
    pending: int
    minimum_coverage_percent: int
    banned_until_ns: int = 0
    frames: int = 0
    """Frames of the last ten seconds."""
    malformed: int = 0
    """Frames of the last ten seconds that could not be read or be true."""
    last_error: str = ""


def check_health(seen: HealthObservation, now_ns: int) -> HealthReport:
    """Return the first reason for being unhealthy, in order of what explains most."""
    if seen.wanted == 0:
        return HealthReport(healthy=True, reason="NothingWanted")
    for check in (_check_ban, _check_session, _check_coverage, _check_errors):
        report = check(seen, now_ns)
        if report is not None:
            return report
    return HealthReport(healthy=True, reason="Healthy")


def _check_ban(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    # A ban of the REST side does not end a stream that runs.
    if now_ns >= seen.banned_until_ns or seen.session is SessionState.STREAMING:
        return None
    seconds = (seen.banned_until_ns - now_ns) // 1_000_000_000
    return HealthReport(healthy=False, reason="Banned", message=f"for another {seconds} s")


def _check_session(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    if seen.live > 0:
        return None
    if seen.session is SessionState.STALE:
        return HealthReport(healthy=False, reason="Stale", message="connected, and nothing comes")
    if now_ns - seen.started_ns < STARTING_NS:
        return HealthReport(healthy=False, reason="Starting")
    if seen.session is SessionState.DISCONNECTED:
        return HealthReport(healthy=False, reason="Disconnected", message=seen.last_error)
    return HealthReport(
        healthy=False, reason="NotStreaming", message=f"{seen.session.value.lower()}"
    )


def _check_coverage(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    if seen.live * 100 >= seen.minimum_coverage_percent * seen.wanted:
        return None
    if now_ns - seen.started_ns < STARTING_NS and seen.pending > 0:
        return HealthReport(healthy=False, reason="Starting")
    message = f"{seen.live} of {seen.wanted} channels live, {seen.stale} stale"
    return HealthReport(healthy=False, reason="LowCoverage", message=message)


def _check_errors(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    if seen.malformed * 100 <= ERRORS_PERCENT * seen.frames:
        return None
    message = f"{seen.malformed} of {seen.frames} frames could not be used"
    return HealthReport(healthy=False, reason="MalformedFrames", message=message)
