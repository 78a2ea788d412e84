"""The check of a tape from its configuration to what it prints."""

import json
from enum import StrEnum

from feedplane_api.backfill_worker import render_backfill_config
from feedplane_api.worker import PostgresSinkConfig, WorkerConfig
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.errors import SinkRefusedError
from feedplane_feeder.registry import PAST_VENUES, find_adapter
from feedplane_feeder.sinks.postgres_days import PostgresDays
from feedplane_feeder.tape_check import (
    Look,
    TapeCheck,
    check_tape,
    describe_check,
    name_day,
    plan_fetch,
)


class CheckFormat(StrEnum):
    """How the outcome is written."""

    TEXT = "text"
    JSON = "json"
    BACKFILL = "backfill"
    """The configuration of a backfill that brings what is missing."""


async def run_tape_check(config: WorkerConfig, lookback_days: int) -> TapeCheck:
    """Look at the first database of a configuration.

    Raises:
        UnknownVenueError: no venue of that name.
        SinkRefusedError: there is no database to look at.
        SinkUnavailableError: it is away.
    """
    sinks = [sink for sink in config.sinks if isinstance(sink, PostgresSinkConfig)]
    if not sinks:
        raise SinkRefusedError(config.sinks[0].name, "only a database can be checked")
    counts = PostgresDays(sinks[0], venue=config.venue, feed_source="", account="check")
    await counts.open()
    try:
        look = Look(
            days=lookback_days,
            now_ns=SystemClock().now_ns(),
            dense=makes_dense_bars(config.venue),
        )
        return await check_tape(config, list_symbols(config), counts, look)
    finally:
        await counts.close()


def list_symbols(config: WorkerConfig) -> dict[str, str]:
    """Return instrument_id by symbol.

    Raises:
        UnknownVenueError: no venue of that name.
    """
    venue = PAST_VENUES.get(config.venue) or find_adapter(config.venue)
    return {line.symbol: venue.instrument_id(line.symbol) for line in config.wanted}


def makes_dense_bars(venue: str) -> bool:
    """Return whether a venue makes a bar where nothing was traded.

    Raises:
        UnknownVenueError: no venue of that name.
    """
    return venue in PAST_VENUES or find_adapter(venue).capabilities.dense_bars


def render_check(config: WorkerConfig, check: TapeCheck, chosen: CheckFormat) -> str:
    """Return the outcome as text."""
    if chosen is CheckFormat.JSON:
        return json.dumps(describe_check(check), indent=2)
    if chosen is CheckFormat.BACKFILL:
        fetch = plan_fetch(config, list_symbols(config), check)
        return render_backfill_config(fetch) if fetch else "# nothing is missing"
    total = check.series * len(check.days)
    lines = [f"{len(check.missing)} of {total} days of {check.series} series lack rows"]
    for each in check.repairs:
        first, end = name_day(each.start_ns), name_day(each.end_ns)
        lines.append(f"  {each.instrument_id} {each.channel} {first} .. {end}")
    return "\n".join(lines)
