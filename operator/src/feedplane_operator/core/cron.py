"""Cron expressions in a time zone: when the next time is, and which was the last.

The expressions are cronsim's: five fields, names of months and days, `L` and `#`. Where a clock
is set forward or back, a time that does not exist is taken right after, and one that exists twice
is taken once. Pure.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from feedplane_api.backfill import Schedule

_MINUTE = timedelta(minutes=1)


def check_schedule(schedule: Schedule, now: datetime) -> str | None:
    """Return what is wrong with a schedule, with the field's path; None where nothing is."""
    try:
        zone = ZoneInfo(schedule.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"spec.schedule.timeZone: no such time zone: {schedule.time_zone}"
    try:
        next(CronSim(schedule.cron, now.astimezone(zone)))
    except (CronSimError, StopIteration) as error:
        return f"spec.schedule.cron: {str(error) or 'there is no such day'}"
    return None


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """Return the first time of a schedule after a moment."""
    found: datetime = next(_walk(schedule, after))
    return found.astimezone(UTC)


def due_time(schedule: Schedule, after: datetime, now: datetime) -> datetime | None:
    """Return the last time of a schedule after one moment and up to another; None without one.

    Times that passed while nobody looked are one run, not many.
    """
    # Backwards from the minute after now, so that now itself counts.
    times = _walk(schedule, now + _MINUTE, reverse=True)
    last: datetime = next(times)
    while last > now:
        last = next(times)
    return last.astimezone(UTC) if last > after else None


def _walk(schedule: Schedule, start: datetime, *, reverse: bool = False) -> CronSim:
    return CronSim(schedule.cron, start.astimezone(ZoneInfo(schedule.time_zone)), reverse=reverse)
