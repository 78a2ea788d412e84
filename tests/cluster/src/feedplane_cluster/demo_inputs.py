"""What the demo applies and installs, from the options a person chose. Must not run anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "feeds"
RECORDINGS_CLAIM = "recordings"
RECORDINGS_FOLDER = "/var/lib/feedplane-recordings"
PART_OF = "app.kubernetes.io/part-of"
DEMO = "feedplane-demo"
STREAM = re.compile(r'"stream":"([a-z0-9_]+)@([A-Za-z0-9_@]+)"')
RECORDED_STREAMS = {"aggTrade": "trade", "bookTicker": "quote", "kline_1m": "bar-1m"}
# Recordings of half a minute, played in a loop: a quiet stream in them is quiet for that long.
PATIENCE = {"staleAfterSeconds": 120, "replayBufferSeconds": 126}

Manifest = dict[str, Any]


HISTORY_DAYS = 3
"""What the demo's venue remembers, for Backfills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a person may choose."""

    root: Path
    """The checkout, with the chart and the examples."""
    live: bool = False
    """Feeds go to the real venue."""
    recordings: Path | None = None
    """Folder of recorded frames that the simulator replays."""


def recorded_channels(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Read what a folder of recordings carries: venue -> channel -> symbols.

    Shape: `<market>-<day>.ws.txt`, the address in the first line, then `time: frame` lines.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for path in sorted(folder.glob("*.ws.txt")):
        channels = found.setdefault(f"binance-{path.name.split('-')[0]}", {})
        for symbol, stream in STREAM.findall(path.read_text()):
            channel = "book" if stream.startswith("depth") else RECORDED_STREAMS.get(stream)
            if channel:
                channels.setdefault(channel, set()).add(symbol.upper())
    return {
        venue: {channel: sorted(symbols) for channel, symbols in sorted(channels.items())}
        for venue, channels in found.items()
    }


def demo_manifests(options: DemoOptions) -> list[Manifest]:
    """Return the FeedSources and Subscriptions of the demo, changed as the options say."""
    texts = [path.read_text() for path in sorted((options.root / "examples/demo").glob("*.yaml"))]
    manifests = [document for text in texts for document in yaml.safe_load_all(text)]
    if options.recordings:
        feeds = [manifest for manifest in manifests if manifest["kind"] == "FeedSource"]
        manifests = [*feeds, *recorded_subscriptions(recorded_channels(options.recordings))]
        for feed in feeds:
            feed["spec"]["failover"] = PATIENCE
    if options.live:
        for manifest in manifests:
            manifest["spec"].pop("endpoints", None)
    for manifest in manifests:
        manifest["metadata"]["labels"] = {PART_OF: DEMO}
    return manifests


def recorded_subscriptions(recorded: Mapping[str, Mapping[str, list[str]]]) -> list[Manifest]:
    """Build one Subscription per venue and channel, for exactly what was recorded."""
    return [
        {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": f"{venue}-recorded-{channel}"},
            "spec": {
                "feedSourceRef": {"name": venue},
                "instruments": symbols,
                "channels": [channel],
            },
        }
        for venue, channels in recorded.items()
        for channel, symbols in channels.items()
    ]


def image_settings(images: Mapping[str, str]) -> list[str]:
    """Turn image references into settings of the chart."""
    settings = []
    for part, reference in images.items():
        repository, _, tag = reference.rpartition(":")
        settings += [f"images.{part}.repository={repository}", f"images.{part}.tag={tag}"]
    return settings


def chart_settings(options: DemoOptions, images: Mapping[str, str]) -> list[str]:
    """Return the chart's settings for the demo."""
    settings = ["demo.enabled=true", *image_settings(images)]
    if options.live:
        settings.append("demo.simulator.enabled=false")
    if options.recordings:
        settings.append(f"demo.simulator.recordingsClaim={RECORDINGS_CLAIM}")
    elif not options.live:
        settings.append(f"demo.simulator.historyDays={HISTORY_DAYS}")
    return settings


def recordings_volume() -> list[Manifest]:
    """Return a volume over the folder in the node, and the claim that takes it."""
    storage = {"storage": "1Gi"}
    shape = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{NAMESPACE}-{RECORDINGS_CLAIM}"},
        "spec": {
            **shape,
            "capacity": storage,
            "hostPath": {"path": RECORDINGS_FOLDER, "type": "Directory"},
            "claimRef": {"namespace": NAMESPACE, "name": RECORDINGS_CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": RECORDINGS_CLAIM, "namespace": NAMESPACE},
        "spec": {
            **shape,
            "volumeName": f"{NAMESPACE}-{RECORDINGS_CLAIM}",
            "resources": {"requests": storage},
        },
    }
    return [volume, claim]
