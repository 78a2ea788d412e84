"""Windows of time that one Backfill fills, made of large gaps or of missing days.

Gaps that lie near each other in time share a window, and what lies between them is looked at as
well. Missing days are exact: all of such a window is missing. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from feedplane_api.backfill import Backfill
from feedplane_api.subscription import MAX_CHANNELS, MAX_INSTRUMENTS
from feedplane_api.worker import LargeGap, MissingDays

NEAR: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=31)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one Backfill fills."""

    start: datetime
    end: datetime
    instruments: frozenset[str]
    channels: frozenset[str]
    whole_days: bool = False
    """Whether it was made of missing days."""

    def covers(self, symbol: str, channel: str, start: datetime, end: datetime) -> bool:
        """Tell whether all of a channel's time lies inside."""
        inside = self.start <= start and end <= self.end
        return inside and symbol in self.instruments and channel in self.channels


def find_windows(gaps: Iterable[LargeGap]) -> tuple[Window, ...]:
    """Return the windows that gaps make up, the earliest first."""
    windows: list[Window] = []
    for gap in sorted(gaps, key=lambda gap: (gap.start, gap.symbol, gap.channel)):
        window = Window(
            start=_floor(gap.start),
            end=_ceil(gap.end),
            instruments=frozenset({gap.symbol}),
            channels=frozenset({gap.channel}),
        )
        joined = _join(windows[-1], window) if windows else None
        if joined is None:
            windows.append(window)
        else:
            windows[-1] = joined
    return tuple(windows)


def find_day_windows(
    missing: Iterable[MissingDays], wanted: Callable[[str, str, datetime, datetime], bool]
) -> tuple[Window, ...]:
    """Return the windows that missing days make up, the earliest first.

    `wanted` tells of a symbol, a channel and its days whether they are to be fetched.
    """
    found: dict[tuple[datetime, datetime, tuple[str, ...]], set[str]] = {}
    for days in missing:
        for symbol in days.symbols:
            channels = sorted(
                channel
                for channel in days.channels
                if wanted(symbol, channel, days.start, days.end)
            )
            if channels:
                found.setdefault((days.start, days.end, tuple(channels)), set()).add(symbol)
    return tuple(
        Window(
            start=start,
            end=end,
            instruments=frozenset(symbols[first : first + MAX_INSTRUMENTS]),
            channels=frozenset(channels),
            whole_days=True,
        )
        for (start, end, channels), named in sorted(found.items())
        for symbols in [sorted(named)]
        for first in range(0, len(symbols), MAX_INSTRUMENTS)
    )


def window_of(repair: Backfill) -> Window | None:
    """Return what a Backfill of named instruments and a fixed range fills; None for any other."""
    spec = repair.spec
    if spec.range is None:
        return None
    return Window(
        start=spec.range.start,
        end=spec.range.end,
        instruments=frozenset(spec.instruments),
        channels=frozenset(spec.channels),
    )


def _join(one: Window, other: Window) -> Window | None:
    joined = Window(
        start=one.start,
        end=max(one.end, other.end),
        instruments=one.instruments | other.instruments,
        channels=one.channels | other.channels,
    )
    near = other.start - one.end <= NEAR and joined.end - joined.start <= LONGEST
    fits = len(joined.instruments) <= MAX_INSTRUMENTS and len(joined.channels) <= MAX_CHANNELS
    return joined if near and fits else None


def _floor(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _ceil(moment: datetime) -> datetime:
    floor = _floor(moment)
    return floor if floor == moment else floor + _MINUTE
