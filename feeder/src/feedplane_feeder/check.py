"""What the command line can tell without running a feeder: is it usable, and which venues.

Opens sinks and closes them again, writes nothing. Must not open a venue's socket.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from feedplane_api.worker import Endpoints, SinkConfig, WorkerConfig, config_hash
from feedplane_feeder.core.ports import Adapter
from feedplane_feeder.errors import FeederError
from feedplane_feeder.log import hide_secrets
from feedplane_feeder.registry import ADAPTERS, find_adapter
from feedplane_feeder.sinks.factory import build_sink

OPEN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    good: bool
    detail: str


async def check_config(config: WorkerConfig) -> tuple[Finding, ...]:
    """Look at everything a feeder of this configuration would need.

    Raises:
        UnknownVenueError: no adapter of that name.
    """
    adapter = find_adapter(config.venue)
    findings = [
        Finding("configuration", True, f"hash {config_hash(config)}"),
        Finding("venue", True, _endpoints(adapter, config.endpoints)),
        *_check_channels(config, adapter),
    ]
    for sink in config.sinks:
        findings.append(await _check_sink(sink, config))  # noqa: PERF401 - one after the other
    return tuple(findings)


def render_findings(findings: Iterable[Finding]) -> None:
    """Print a table of what was looked at."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "checked", "result", box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[red]no[/]"
        table.add_row(mark, finding.subject, finding.detail)
    Console().print(table)


def render_venues(adapters: Iterable[Adapter] = ADAPTERS.values()) -> None:
    """Print a table of venues: channels, addresses, limits and where the limits stand."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for adapter in sorted(adapters, key=lambda one: one.venue):
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in _venue_rows(adapter):
            table.add_row(f"  {name}", value)
        console.print(f"[bold]{adapter.venue}[/]")
        console.print(table)


def _venue_rows(adapter: Adapter) -> Iterator[tuple[str, str]]:
    able = adapter.capabilities
    limits = able.limits
    yield "channels", ", ".join(sorted(able.channels))
    if able.bar_intervals:
        yield "bar intervals", ", ".join(sorted(able.bar_intervals, key=_interval_order))
    yield "addresses", _endpoints(adapter, Endpoints())
    yield "credentials", "needed" if able.needs_credentials else "not needed"
    yield "control messages", f"{limits.control_messages_per_second} per second and connection"
    yield "streams", f"{limits.streams_per_connection:,} per connection"
    yield "connects", f"{limits.connects_per_five_minutes} in five minutes"
    yield "request weight", f"{limits.request_weight_per_minute:,} per minute"
    yield "connection life", f"{limits.connection_life_seconds / 3600:g} h"
    yield "stated in", limits.source or "not known"


def _interval_order(interval: str) -> tuple[int, int]:
    return "smhdwM".index(interval[-1]), int(interval[:-1])


def _endpoints(adapter: Adapter, chosen: Endpoints) -> str:
    own = adapter.endpoints
    used = (chosen.stream or own.stream, chosen.rest or own.rest)
    return ", ".join(hide_secrets(url) for url in used if url)


def _check_channels(config: WorkerConfig, adapter: Adapter) -> Iterator[Finding]:
    chosen = [line.channels for line in config.wanted]
    chosen += [selector.channels for selector in config.selectors]
    names = sorted(set(itertools.chain.from_iterable(chosen)))
    if not names:
        yield Finding("channels", False, "neither wanted nor selectors name any")
        return
    unknown = [name for name in names if not _able(adapter, name)]
    if unknown:
        detail = f"{adapter.venue} does not carry {', '.join(unknown)}"
        yield Finding("channels", False, detail)
    else:
        yield Finding("channels", True, ", ".join(names))


def _able(adapter: Adapter, name: str) -> bool:
    kind, _, interval = name.partition("-")
    able = adapter.capabilities
    return kind in able.channels and (not interval or interval in able.bar_intervals)


async def _check_sink(sink_config: SinkConfig, config: WorkerConfig) -> Finding:
    subject = f"sink {sink_config.name}"
    sink = build_sink(sink_config, config)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await sink.open()
    except FeederError as error:
        return Finding(subject, False, hide_secrets(str(error)))
    except TimeoutError:
        return Finding(subject, False, f"no answer within {OPEN_SECONDS:g} s")
    finally:
        await sink.close()
    return Finding(subject, True, f"{sink_config.kind}, open")
