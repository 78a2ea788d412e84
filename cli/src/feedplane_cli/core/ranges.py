"""Ranges of time as people type them: a day, a moment, or how long back from now."""

from datetime import UTC, datetime, timedelta
from typing import Final

from feedplane_cli.core.durations import parse_duration
from feedplane_cli.errors import UsageError

DEFAULT_DAYS: Final = 7


def parse_moment(text: str, now: datetime) -> datetime:
    """Read `2026-11-20`, `2026-11-20T09:30Z` or `36h`, which is so long ago; UTC by default.

    Raises:
        UsageError: it is none of these.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return now - timedelta(seconds=parse_duration(text))
        except UsageError:
            raise UsageError(
                f"Expected a day, a moment or a duration, was {text!r}.",
                "As in: 2026-11-20, 2026-11-20T09:30Z, 36h",
            ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def parse_range(start: str, end: str, now: datetime) -> tuple[datetime, datetime]:
    """Return a range, its end not included; by default the last seven days until now.

    Raises:
        UsageError: not moments, or the end does not come after the start.
    """
    ends = parse_moment(end, now) if end else now
    starts = parse_moment(start, now) if start else ends - timedelta(days=DEFAULT_DAYS)
    if starts >= ends:
        raise UsageError(f"The range ends at {ends:%F %T} and begins at {starts:%F %T}.")
    return starts, ends
