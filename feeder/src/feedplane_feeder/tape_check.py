"""Is a tape whole, day by day: what a configuration wants against what its database holds.

Looks, decides and says what would have to be fetched; fetches nothing. Must not know venues.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from feedplane_api.backfill_worker import BackfillConfig
from feedplane_api.worker import PostgresSinkConfig, Wanted, WorkerConfig
from feedplane_feeder.core.chunks import DAY_NS, settled_end_ns
from feedplane_feeder.core.integrity import (
    AlwaysOpen,
    Calendar,
    Listed,
    MissingDay,
    Repair,
    check_days,
    plan_repairs,
)
from feedplane_feeder.core.intervals import SECOND_NS
from feedplane_feeder.core.sessions import Sessions

JUDGED_AT_ONCE: Final = 200
"""Series: some milliseconds."""


class DayCounts(Protocol):
    """Who counts rows by instrument and day."""

    async def count_days(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, Mapping[int, int]]:
        """Return rows of a channel by instrument and midnight; absent where there are none.

        Of channels other than bars one row stands for all of a day.
        """

    async def first_rows(self, channel: str, instrument_ids: Sequence[str]) -> Mapping[str, int]:
        """Return when the first row of a channel is of, by instrument; absent without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at a tape takes for granted."""

    days: int
    """Whole days before today that are judged."""
    now_ns: int
    listed_ns: Mapping[str, int] = field(default_factory=dict)
    """When a symbol was listed, where known."""
    dense: bool = True
    """Whether the venue makes bars without trades, too."""
    from_first_row: bool = False
    """Nothing is missing before the first row of an instrument's channel, whoever brought it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeCheck:
    """What a look at a tape found."""

    series: int
    """Pairs of instrument and channel."""
    days: tuple[int, ...]
    """The days judged: whole ones whose hours are known."""
    missing: tuple[MissingDay, ...]

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """What is missing as ranges."""
        return plan_repairs(self.missing)


async def check_tape(
    config: WorkerConfig, symbols: Mapping[str, str], counts: DayCounts, look: Look
) -> TapeCheck:
    """Judge the whole days before today; `symbols` holds instrument_id by symbol.

    Raises:
        SinkUnavailableError: the database is away.
    """
    today_ns = look.now_ns // DAY_NS * DAY_NS
    sessions = Sessions(config.session.hours)
    days = tuple(
        day
        for day in range(today_ns - look.days * DAY_NS, today_ns, DAY_NS)
        if sessions.knows(day, day + DAY_NS)
    )
    # A week's or a month's bar belongs to the past once it is over.
    series = [
        (
            line.symbol,
            Listed(
                symbols[line.symbol],
                channel,
                look.listed_ns.get(line.symbol, 0),
                settled_end_ns(channel, look.now_ns),
            ),
        )
        for line in config.wanted
        for channel in line.channels
    ]
    if not days:
        return TapeCheck(series=len(series), days=(), missing=())
    held: dict[tuple[str, str], Mapping[int, int]] = {}
    for channel in sorted({listed.channel for _, listed in series}):
        ids = [listed.instrument_id for _, listed in series if listed.channel == channel]
        found = await counts.count_days(channel, ids, days[0], days[-1] + DAY_NS)
        held.update(((instrument_id, channel), by_day) for instrument_id, by_day in found.items())
    judge = _Judge(sessions, days, held, look.dense)
    missing = await judge.missing(series)
    if look.from_first_row and missing:
        first = await _first_rows(missing, counts)
        begun = (
            (symbol, replace(each, listed_ns=max(each.listed_ns, first[key])))
            for symbol, each in series
            for key in [(each.instrument_id, each.channel)]
            if key in first
        )
        missing = await judge.missing(begun)
    return TapeCheck(series=len(series), days=days, missing=tuple(missing))


@dataclass(frozen=True, slots=True)
class _Judge:
    sessions: Sessions
    days: Sequence[int]
    held: Mapping[tuple[str, str], Mapping[int, int]]
    dense: bool

    async def missing(self, series: Iterable[tuple[str, Listed]]) -> list[MissingDay]:
        missing: list[MissingDay] = []
        for group, members in _by_group(self.sessions, series).items():
            calendar: Calendar = AlwaysOpen() if group is None else self.sessions.days(group)
            for first in range(0, len(members), JUDGED_AT_ONCE):
                some = members[first : first + JUDGED_AT_ONCE]
                missing += check_days(some, self.days, self.held, calendar, dense=self.dense)
                # A feeder that looks has frames to read meanwhile.
                await asyncio.sleep(0)
        return missing


async def _first_rows(
    missing: Iterable[MissingDay], counts: DayCounts
) -> dict[tuple[str, str], int]:
    lacking: dict[str, set[str]] = {}
    for each in missing:
        lacking.setdefault(each.channel, set()).add(each.instrument_id)
    return {
        (instrument_id, channel): at_ns
        for channel in sorted(lacking)
        for instrument_id, at_ns in (
            await counts.first_rows(channel, sorted(lacking[channel]))
        ).items()
    }


def plan_fetch(
    config: WorkerConfig, symbols: Mapping[str, str], check: TapeCheck
) -> BackfillConfig | None:
    """Return the backfill that brings what is missing and no more; None where nothing is.

    It skips what is there already, so it may name more days than are missing.
    """
    sinks = [sink for sink in config.sinks if isinstance(sink, PostgresSinkConfig)]
    if not check.missing or not sinks:
        return None
    by_instrument: dict[str, set[str]] = {}
    for each in check.missing:
        by_instrument.setdefault(each.instrument_id, set()).add(each.channel)
    wanted = tuple(
        Wanted(symbol=symbol, channels=tuple(sorted(by_instrument[instrument_id])))
        for symbol, instrument_id in sorted(symbols.items())
        if instrument_id in by_instrument
    )
    first = min(each.day_ns for each in check.missing)
    last = max(each.day_ns for each in check.missing)
    return BackfillConfig(
        feed_source=config.feed_source,
        name="integrity",
        run=name_day(last),
        venue=config.venue,
        endpoints=config.endpoints,
        credentials_path=config.credentials_path,
        wanted=wanted,
        start=datetime.fromtimestamp(first // SECOND_NS, UTC),
        end=datetime.fromtimestamp((last + DAY_NS) // SECOND_NS, UTC),
        limits=config.limits,
        sink=sinks[0],
    )


def describe_check(check: TapeCheck) -> dict[str, object]:
    """Return a check as a document."""
    return {
        "series": check.series,
        "days": [name_day(day) for day in check.days],
        "missingDays": len(check.missing),
        "repairs": [
            {
                "instrument": repair.instrument_id,
                "channel": repair.channel,
                "start": name_day(repair.start_ns),
                "end": name_day(repair.end_ns),
            }
            for repair in check.repairs
        ],
    }


def _by_group(
    sessions: Sessions, series: Iterable[tuple[str, Listed]]
) -> dict[int | None, list[Listed]]:
    groups: dict[int | None, list[Listed]] = {}
    for symbol, listed in series:
        groups.setdefault(sessions.group(symbol), []).append(listed)
    return groups


def name_day(at_ns: int) -> str:
    """Return a UTC day as `2026-11-20`."""
    return f"{datetime.fromtimestamp(at_ns // SECOND_NS, UTC):%Y-%m-%d}"
