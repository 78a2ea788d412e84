"""What changed between two configurations, and whether a running feeder can take it over.

Must not know where configurations come from or what taking over means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from feedplane_api.worker import LIVE_FIELDS, WorkerConfig
from feedplane_feeder.core.ports import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDifference:
    """The difference between two configurations, in field names and channels."""

    live: tuple[str, ...] = ()
    """Changed fields that a running feeder takes over."""
    restart: tuple[str, ...] = ()
    """Changed fields that only a new process can take over."""
    added: tuple[Channel, ...] = ()
    """Channels named by the new configuration alone; selectors are not expanded here."""
    removed: tuple[Channel, ...] = ()


def compare_configs(old: WorkerConfig, new: WorkerConfig) -> ConfigDifference:
    """Return what changed from one configuration to the next, sorted."""
    changed = [
        name
        for name in sorted(WorkerConfig.model_fields)
        if getattr(old, name) != getattr(new, name)
    ]
    before, after = set(_channels(old)), set(_channels(new))
    return ConfigDifference(
        live=tuple(name for name in changed if name in LIVE_FIELDS),
        restart=tuple(name for name in changed if name not in LIVE_FIELDS),
        added=tuple(sorted(after - before)),
        removed=tuple(sorted(before - after)),
    )


def adopt_live(running: WorkerConfig, new: WorkerConfig) -> WorkerConfig:
    """Return the running configuration with the live fields of a new one."""
    return running.model_copy(update={name: getattr(new, name) for name in LIVE_FIELDS})


def _channels(config: WorkerConfig) -> Iterator[Channel]:
    for line in config.wanted:
        for name in line.channels:
            yield Channel(line.symbol, name)
