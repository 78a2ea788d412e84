"""The stage: the shipped chart on the cluster, with the venue and the database made for trials."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from release import Release, VenueAdmin

from chaos.feed import record_commit_times

CHANNELS: Final = "aggTrade,bookTicker,depth,kline"
SYMBOL_COUNT: Final = 10


@contextmanager
def on_first_node(release: Release, nodes: Sequence[str]) -> Iterator[None]:
    """Let what is scheduled meanwhile go to the first node, so that others may be frozen."""
    others = [node for node in nodes if not node.endswith("-control-plane")]
    for node in others:
        release.kubectl("cordon", node)
    try:
        yield
    finally:
        for node in others:
            release.kubectl("uncordon", node)


def image_settings(images: Mapping[str, str]) -> dict[str, str]:
    """Return the chart's values for the images at hand."""
    settings: dict[str, str] = {}
    for part, image in images.items():
        repository, _, tag = image.rpartition(":")
        settings |= {f"images.{part}.repository": repository, f"images.{part}.tag": tag}
    return settings


def install(release: Release, images: Mapping[str, str], nodes: Sequence[str]) -> None:
    """Install the chart anew, with a venue that says only what a feed may want."""
    settings = {
        "demo.enabled": "true",
        "demo.simulator.rate": "300",
        "demo.simulator.symbols": str(SYMBOL_COUNT),
        "demo.database.storage.kind": "PersistentVolumeClaim",
        "demo.database.resources.limits.memory": "3Gi",
        "demo.simulator.resources.limits.memory": "3Gi",
        **image_settings(images),
    }
    release.clear()
    with on_first_node(release, nodes):
        release.install(settings)
        quieten(release)
        record_commit_times(release)


def quieten(release: Release) -> None:
    """Let the venue emit no channel that nobody can want."""
    name = f"{release.name}-simulator"
    arguments = release.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["args"]
    option = f"--channels={CHANNELS}"
    if option not in arguments:
        place = "/spec/template/spec/containers/0/args/-"
        patch = json.dumps([{"op": "add", "path": place, "value": option}])
        release.kubectl("patch", "deployment", name, "--type=json", "-p", patch)
        release.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s", timeout=120)


def symbols_of(venue: VenueAdmin) -> list[str]:
    """Return what the spot market trades."""
    return sorted({row["symbol"] for row in venue.ask("/truth") if row["market"] == "spot"})


def set_rate(venue: VenueAdmin, rate: float) -> None:
    """Let the spot market say so much, and futures nothing."""
    venue.ask("/rate", {"spot": rate, "usdm": 0})
