"""When a tape is bad enough to say so: limits of missing rows and of late bars, and the verdicts.

Both limits are strict: exactly a fifth missing is still a warning, exactly a twentieth is
nothing. Counts are whole numbers, so no rounding decides. Must not know where they come from.
"""

from typing import Final

from feedplane_api.backfill import Severity

WARNING_PERCENT: Final = 5
ERROR_PERCENT: Final = 20
WARNING_DELAY_SECONDS: Final = 300
ERROR_DELAY_SECONDS: Final = 600
_MILLION: Final = 1_000_000
_GRAVITY: Final = (Severity.NONE, Severity.WARNING, Severity.ERROR)


def judge_missing(missing: int, expected: int) -> Severity:
    """Return how bad it is that so many of the expected rows are missing."""
    if missing * 100 > expected * ERROR_PERCENT:
        return Severity.ERROR
    if missing * 100 > expected * WARNING_PERCENT:
        return Severity.WARNING
    return Severity.NONE


def judge_delay(delay_ns: int) -> Severity:
    """Return how bad it is that a bar is overdue by so much.

    Units: nanoseconds.
    """
    if delay_ns > ERROR_DELAY_SECONDS * 1_000_000_000:
        return Severity.ERROR
    if delay_ns > WARNING_DELAY_SECONDS * 1_000_000_000:
        return Severity.WARNING
    return Severity.NONE


def worst(*severities: Severity) -> Severity:
    """Return the gravest of them; None where there are none."""
    return max(severities, key=_GRAVITY.index, default=Severity.NONE)


def percent_up(missing: int, expected: int) -> int:
    """Return missing as whole percent of expected, rounded up, so that one row is never nothing."""
    return -(-missing * 100 // expected) if expected else 0


def parts_per_million(missing: int, expected: int) -> int:
    """Return missing in parts per million of expected, rounded up."""
    return -(-missing * _MILLION // expected) if expected else 0
