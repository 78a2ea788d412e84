"""The should-list: which channels of which instruments a Subscription wants.

What it names is wanted in any case. What its globs choose is looked up in the configurations of
the FeedSource's feeders, into which the operator has put it. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.feed_source import ALWAYS_OPEN
from feedplane_api.names import WORKER_CONFIG_KEY
from feedplane_api.selectors import expand_selector
from feedplane_api.worker import WorkerConfig, parse_worker_config
from feedplane_cli.core.documents import Manifest, field, name_of, word

Pair = tuple[str, str]
"""Symbol and channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShouldList:
    """What one Subscription wants, and of which venue."""

    subscription: str
    feed_source: str
    venue: str
    calendar: str
    schema: str
    """Of the first sink that is a database; empty where there is none."""
    pairs: tuple[Pair, ...]


def read_configs(config_maps: Iterable[Manifest]) -> tuple[WorkerConfig, ...]:
    """Return the configurations of feeders; what is none is passed over."""
    found = []
    for config_map in config_maps:
        text = word(config_map, "data", WORKER_CONFIG_KEY)
        if not text:
            continue
        try:
            found.append(parse_worker_config(text))
        except InvalidWorkerConfigError:
            # Of another release than ours; the explicit part of the list is known all the same.
            continue
    return tuple(found)


def build_should_list(
    subscription: Manifest, feed: Manifest, configs: Sequence[WorkerConfig]
) -> ShouldList:
    """Put the should-list of a Subscription together."""
    spec = field(subscription, "spec") or {}
    symbols = set(spec.get("instruments") or ())
    selector = spec.get("selector")
    if selector:
        known = {line.symbol for config in configs for line in config.wanted}
        symbols |= set(
            expand_selector(
                selector.get("include") or (),
                selector.get("exclude") or (),
                selector.get("maxInstruments") or 1_000,
                known,
            )
        )
    channels = spec.get("channels") or ()
    return ShouldList(
        subscription=name_of(subscription),
        feed_source=name_of(feed),
        venue=word(feed, "spec", "venue"),
        calendar=word(feed, "spec", "session", "calendar") or ALWAYS_OPEN,
        schema=_schema(feed),
        pairs=tuple((symbol, channel) for symbol in sorted(symbols) for channel in channels),
    )


def _schema(feed: Manifest) -> str:
    for sink in field(feed, "spec", "sinks") or ():
        if isinstance(sink, dict) and isinstance(sink.get("postgres"), dict):
            return str(sink["postgres"].get("schema") or "feedplane")
    return ""
