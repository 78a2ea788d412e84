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

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a person may choose."""

    root: Path
    """The checkout, with the chart and the examples."""
    live: bool = False
    """Feeds go to the real venue."""
    recordings: Path | None = None
    """Folder of recorded frames that the simulator replays."""


def recorded_symbols(folder: Path) -> dict[str, list[str]]:
    """Read which instruments a folder of recordings carries, per market.

    The first line of each `<market>-<day>.ws.txt` is the address it was recorded from.
    """
    symbols: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.ws.txt")):
        with path.open() as file:
            address = file.readline()
        streams = re.findall(r"[=/]([a-z0-9_]+)@", address)
        venue = f"binance-{path.name.split('-')[0]}"
        known = symbols.setdefault(venue, [])
        known += sorted({stream.upper() for stream in streams} - set(known))
    return symbols


def demo_manifests(options: DemoOptions) -> list[Manifest]:
    """Return the FeedSources and Subscriptions of the demo, changed as the options say."""
    texts = [path.read_text() for path in sorted((options.root / "examples/demo").glob("*.yaml"))]
    manifests = [doc for text in texts for doc in yaml.safe_load_all(text)]
    recorded = recorded_symbols(options.recordings) if options.recordings else {}
    for manifest in manifests:
        spec = manifest["spec"]
        if options.live:
            spec.pop("endpoints", None)
        if recorded and manifest["kind"] == "Subscription":
            spec.pop("selector", None)
            spec["instruments"] = recorded[spec["feedSourceRef"]["name"]]
    return manifests


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
