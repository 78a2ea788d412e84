"""The feeder's findings about its own account: the first failing check of an ordered chain.

Trouble with a sink is never part of it: all accounts share the sink, so another account would
fare no better. One look finds; `core/verdict.py` makes a verdict of several. Pure; must not know
where the observation comes from.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from feedplane_api.worker import HealthReport, SessionState

STARTING_NS: Final = 15_000_000_000
"""What a start may take before an account that does not stream yet counts as failing."""
ERRORS_PERCENT: Final = 5
LOOP_LAG_SECONDS: Final = 2.0
"""A process that stood still for longer was frozen, or has far too little processor."""
SECOND_NS: Final = 1_000_000_000


class HealthReason(StrEnum):
    """Every word a verdict can give; the unhealthy ones are reasons of conditions too."""

    HEALTHY = "Healthy"
    """All checks pass."""
    NOTHING_WANTED = "NothingWanted"
    """No instrument is asked for, so nothing can be missing."""
    WARM_READY = "WarmReady"
    """Not subscribed on purpose, and the venue would serve it."""
    MARKET_CLOSED = "MarketClosed"
    """No data is expected now."""
    STARTING = "Starting"
    """Not fit to take over yet, and no failure either."""
    CREDENTIALS_REFUSED = "CredentialsRefused"
    """The venue refuses the login."""
    CREDENTIALS_CHANGED = "CredentialsChanged"
    """New credentials are there, and another account should publish while they are tried."""
    ACCOUNT_BANNED = "AccountBanned"
    """The venue refuses the account or the address until a named time."""
    VENUE_UNREACHABLE = "VenueUnreachable"
    """Standing by, and the venue does not answer."""
    EVENT_LOOP_LAGGING = "EventLoopLagging"
    """The process itself stood still."""
    SESSION_LOST = "SessionLost"
    """No connection delivers."""
    STREAM_STALE = "StreamStale"
    """Connected, and nothing comes."""
    COVERAGE_LOW = "CoverageLow"
    """Fewer channels are live than asked."""
    FRAMES_MALFORMED = "FramesMalformed"
    """Too many frames cannot be read or cannot be true."""


FINE: Final = frozenset(
    {
        HealthReason.HEALTHY,
        HealthReason.NOTHING_WANTED,
        HealthReason.WARM_READY,
        HealthReason.MARKET_CLOSED,
    }
)
"""Words of a healthy account."""
DEFINITIVE: Final = frozenset(
    {
        HealthReason.CREDENTIALS_REFUSED,
        HealthReason.CREDENTIALS_CHANGED,
        HealthReason.ACCOUNT_BANNED,
    }
)
"""What no waiting cures: it counts at once, and a change of accounts owes no cooldown."""
AT_ONCE: Final = DEFINITIVE | {HealthReason.STREAM_STALE}
"""What needs no second look; a silence has been waited for already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthObservation:
    """What one look sees."""

    started_ns: int
    """When the process started, or began to subscribe after it had stood by."""
    session: SessionState
    wanted: int
    live: int
    stale: int
    pending: int
    minimum_coverage_percent: int
    new: int = 0
    """Pending channels wanted too shortly to be missed; once the account has started."""
    silent: int = 0
    """Live channels whose whole connection has gone mute: too quiet to be missed each alone."""
    refused: str | None = None
    """What the venue's streams said to the login; None when they did not refuse it."""
    refused_rest: str | None = None
    """The same of its REST interface."""
    banned_until_ns: int = 0
    resting: bool = False
    """Not subscribed on purpose."""
    renewing: bool = False
    """New credentials wait until another account has taken over."""
    unreachable: str | None = None
    """Why the venue's REST interface did not answer the last time."""
    market_open: bool = True
    loop_lag_seconds: float = 0.0
    """The worst of the last ten seconds."""
    frames: int = 0
    """Frames of the last ten seconds."""
    malformed: int = 0
    """Frames of the last ten seconds that could not be read or be true."""
    last_error: str = ""


def check_health(seen: HealthObservation, now_ns: int) -> HealthReport:
    """Return the first reason for being unhealthy, in order of what explains most."""
    for check in _CHAIN:
        report = check(seen, now_ns)
        if report is not None:
            return report
    return HealthReport(healthy=True, reason=HealthReason.HEALTHY)


# What only the REST side says does not end a stream that runs.
def _check_credentials(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    said = seen.refused
    if said is None and seen.session is not SessionState.STREAMING:
        said = seen.refused_rest
    if said is None:
        return None
    return _fails(HealthReason.CREDENTIALS_REFUSED, said)


def _check_renewal(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    if not seen.renewing:
        return None
    message = "new credentials are there to be tried"
    return _fails(HealthReason.CREDENTIALS_CHANGED, message)


def _check_ban(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    if now_ns >= seen.banned_until_ns or seen.session is SessionState.STREAMING:
        return None
    seconds = -(-(seen.banned_until_ns - now_ns) // SECOND_NS)
    return _fails(HealthReason.ACCOUNT_BANNED, f"for another {seconds} s")


def _check_loop(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    if seen.loop_lag_seconds <= LOOP_LAG_SECONDS:
        return None
    message = f"stood still for {seen.loop_lag_seconds:.1f} s"
    return _fails(HealthReason.EVENT_LOOP_LAGGING, message)


def _check_quiet(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    if not seen.market_open:
        return HealthReport(healthy=True, reason=HealthReason.MARKET_CLOSED)
    if seen.resting and seen.unreachable is not None:
        return _fails(HealthReason.VENUE_UNREACHABLE, seen.unreachable)
    if seen.resting:
        return HealthReport(healthy=True, reason=HealthReason.WARM_READY)
    if seen.wanted == 0:
        return HealthReport(healthy=True, reason=HealthReason.NOTHING_WANTED)
    return None


def _check_session(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    if seen.live > 0 or seen.session is SessionState.STALE:
        return None
    if now_ns - seen.started_ns < STARTING_NS or seen.new == seen.wanted:
        return HealthReport(healthy=False, reason=HealthReason.STARTING)
    said = seen.last_error if seen.session is SessionState.DISCONNECTED else ""
    return _fails(HealthReason.SESSION_LOST, said or f"session is {seen.session.value}")


def _check_staleness(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    heard = seen.live - seen.silent
    if seen.live == 0 and seen.session is SessionState.STALE:
        return _fails(HealthReason.STREAM_STALE, "connected, and nothing comes")
    if seen.silent == 0 or _covers(seen, heard):
        return None
    message = f"nothing comes on connections with {seen.silent} of {seen.wanted} channels"
    return _fails(HealthReason.STREAM_STALE, message)


def _check_coverage(seen: HealthObservation, now_ns: int) -> HealthReport | None:
    if _covers(seen, seen.live):
        return None
    if now_ns - seen.started_ns < STARTING_NS and seen.pending > 0:
        return HealthReport(healthy=False, reason=HealthReason.STARTING)
    message = f"{seen.live} of {seen.wanted} channels live, {seen.stale} stale"
    return _fails(HealthReason.COVERAGE_LOW, message)


def _check_errors(seen: HealthObservation, _now_ns: int) -> HealthReport | None:
    if seen.malformed * 100 <= ERRORS_PERCENT * seen.frames:
        return None
    message = f"{seen.malformed} of {seen.frames} frames could not be used"
    return _fails(HealthReason.FRAMES_MALFORMED, message)


_CHAIN: Final = (
    _check_credentials,
    _check_renewal,
    _check_ban,
    _check_loop,
    _check_quiet,
    _check_session,
    _check_staleness,
    _check_coverage,
    _check_errors,
)


def _covers(seen: HealthObservation, channels: int) -> bool:
    return channels * 100 >= seen.minimum_coverage_percent * (seen.wanted - seen.new)


def _fails(reason: HealthReason, message: str) -> HealthReport:
    definitive = reason in DEFINITIVE
    return HealthReport(healthy=False, reason=reason, message=message, definitive=definitive)
