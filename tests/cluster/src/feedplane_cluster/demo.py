"""The demo: a cluster, the chart, two feeds, rows arriving, and how to look further.

Shows what happens while it happens, and may be run again: what is there already is kept.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from feedplane_cluster.cache import default_cache
from feedplane_cluster.errors import ClusterError, CommandError, NotReadyError
from feedplane_cluster.process import run
from feedplane_cluster.progress import console, note, step
from feedplane_cluster.toolchain import HELM, Toolchain

CLUSTER = "feedplane-demo"
RELEASE = "feedplane"
NAMESPACE = "feeds"
DATABASE_POD = "feedplane-database-0"
RECORDINGS_CLAIM = "recordings"
RECORDINGS_FOLDER = "/var/lib/feedplane-recordings"
READY_SECONDS = 120
FIRST_ROW_SECONDS = 120

Manifest = dict[str, Any]

NEWEST_ROWS = """
select instrument_id as instrument, price, size, aggressor_side as side, trade_id as id,
       to_char(ts_event at time zone 'utc', 'HH24:MI:SS.MS') as ts_event,
       round(extract(epoch from ts_recv - ts_event) * 1000)::int as lag_ms
from feedplane.trades order by ts_recv desc limit 8
"""
ROW_COUNTS = """
select (select count(*) from feedplane.trades) as trades,
       (select count(*) from feedplane.quotes) as quotes,
       (select count(*) from feedplane.bars) as bars,
       (select count(*) from feedplane.book_deltas) as book_deltas,
       (select count(*) from feedplane.gaps where filled_at is null and reason is null) as open_gaps
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a person may choose."""

    root: Path
    """The checkout, with the chart and the examples."""
    live: bool = False
    """Feeds go to the real venue."""
    recordings: Path | None = None
    """Folder of recorded frames that the simulator replays."""


@dataclass(slots=True, kw_only=True)
class DemoMeasures:
    """What the demo took."""

    seconds: float = 0.0
    apply_to_first_row_seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Kubernetes as a person would use it, so that the demo shows nothing they cannot do."""

    program: Path
    kubeconfig: Path

    def __call__(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60
    ) -> str:
        """Run kubectl in the demo's namespace."""
        command = (self.program, "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE)
        return run(*command, *arguments, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, manifests: Sequence[Manifest]) -> str:
        """Apply manifests as the person at the keyboard."""
        return self("apply", "--filename", "-", stdin=yaml.safe_dump_all(manifests))

    def items(self, kind: str) -> list[Manifest]:
        """List the objects of a kind."""
        found: list[Manifest] = json.loads(self("get", kind, "--output", "json"))["items"]
        return found

    def query(self, sql: str, *options: str) -> str:
        """Ask the demo's database."""
        psql = ("psql", "--username", "feedplane", "--no-psqlrc", *options, "--command", sql)
        return self("exec", DATABASE_POD, "--container", "database", "--", *psql)


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
