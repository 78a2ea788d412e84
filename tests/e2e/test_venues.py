"""Each venue's shipped example on a real cluster, against its simulator: it works, and rows arrive.

An example is applied as it is but for what names the world outside: addresses, the database, and
the image where a native library speaks to fronts. Its exchange may be open or closed meanwhile.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conformance.fixture import all_venues
from release import ROOT, Release
from venues import ports

from feedplane_cluster.cache import default_cache
from feedplane_cluster.docker import Docker
from feedplane_feeder.core.ports import TransportKind
from feedplane_feeder.registry import ADAPTERS
from feedplane_simulator.ctp_shim import BINDINGS, build_shim

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FRONTS_IMAGE = "feedplane/feeder-for-simulated-fronts"
FRONTS_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY . /fronts
ENV LD_PRELOAD=/fronts/{library} PYTHONPATH=/fronts/bindings:/app/packages:/app/dependencies
"""
TABLES = {
    "trade": "trades",
    "quote": "quotes",
    "bar": "bars",
    "book": "book_deltas",
    "snapshot": "snapshots",
}
TOLD = {venue.name: venue.told.get("endpoints", {}) for venue in all_venues()}
TOLD["baostock"] = {"rest": "tcp://{baostock}"}

Manifest = dict[str, Any]


@dataclass
class Example:
    """A FeedSource of the examples with what refers to it."""

    source: Manifest
    subscriptions: list[Manifest] = field(default_factory=list)
    backfills: list[Manifest] = field(default_factory=list)
    secrets: list[Manifest] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.source["metadata"]["name"])

    @property
    def venue(self) -> str:
        return str(self.source["spec"]["venue"])


def read_examples() -> list[Example]:
    """Return the examples of hosted venues."""
    documents = [
        document
        for path in sorted((ROOT / "examples").glob("venues-*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    examples = {
        document["metadata"]["name"]: Example(document)
        for document in documents
        if document["kind"] == "FeedSource"
    }
    secrets = {
        document["metadata"]["name"]: document
        for document in documents
        if document["kind"] == "Secret"
    }
    for document in documents:
        if document["kind"] in ("Subscription", "Backfill"):
            example = examples[document["spec"]["feedSourceRef"]["name"]]
            subscribes = document["kind"] == "Subscription"
            (example.subscriptions if subscribes else example.backfills).append(document)
    for example in examples.values():
        example.secrets = [
            secrets[account["credentialsSecretRef"]["name"]]
            for account in example.source["spec"]["accounts"]
            if "credentialsSecretRef" in account
        ]
    return list(examples.values())


EXAMPLES = read_examples()
LIVE = [example for example in EXAMPLES if example.subscriptions]
BACKFILLS = [
    pytest.param(example, backfill, id=backfill["metadata"]["name"])
    for example in EXAMPLES
    for backfill in example.backfills
]


@pytest.fixture(scope="module")
def fronts_image(
    images: dict[str, str],
    share_image: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The feeder's image with the library in it that speaks to simulated fronts.

    A native library speaks CTP, and the one in the feeder's image is the broker's.
    """
    folder = tmp_path_factory.mktemp("fronts")
    library = shutil.copy(build_shim(), folder)
    shutil.copytree(BINDINGS, folder / "bindings")
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(FRONTS_DOCKERFILE.replace("{library}", Path(library).name))
    base = images["feeder"]
    tag = f"{FRONTS_IMAGE}:{base.rpartition(':')[2]}"
    docker = Docker(default_cache())
    docker.build(tag, folder, dockerfile, "--build-arg", f"BASE_IMAGE={base}")
    return share_image(tag)


def adapted(release: Release, example: Example, fronts_image: str) -> Manifest:
    """Return an example's FeedSource for this world."""
    places = {name: f"{release.name}-simulator:{port}" for name, port in ports().items()}
    venue, spec = example.venue, example.source["spec"]
    told = {"stream": f"ws://{{{venue}}}", "rest": f"http://{{{venue}}}"} | TOLD.get(venue, {})
    adapter = ADAPTERS.get(venue)
    native = adapter is not None and adapter.capabilities.transport is TransportKind.LIBRARY
    world = {
        "endpoints": {key: text.format_map(places) for key, text in told.items()},
        "accounts": [
            {key: value for key, value in account.items() if key != "fronts"}
            for account in spec["accounts"]
        ],
        "sinks": [
            {
                "name": "database",
                "postgres": {"dsnSecretRef": {"name": f"{release.name}-database"}},
            }
        ],
        **({"feeder": {"image": fronts_image}} if native else {}),
    }
    return {**example.source, "spec": {**spec, **world}}


@pytest.fixture(scope="module")
def applied(release: Release, fronts_image: str) -> Iterator[None]:
    """All examples, side by side."""
    everything = [
        manifest
        for example in EXAMPLES
        for manifest in (
            *example.secrets,
            adapted(release, example, fronts_image),
            *example.subscriptions,
            *example.backfills,
        )
    ]
    release.apply(*everything)
    yield
    names = [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in everything]
    release.kubectl("delete", *names, "--ignore-not-found", timeout=120)


def wait_rows(release: Release, table: str, where: str) -> None:
    """Wait until a table has rows."""
    release.wait(lambda: release.rows(table, where), 60, f"rows in {table} where {where}")


@pytest.mark.parametrize("example", LIVE, ids=lambda example: example.venue)
def test_example_of_venue_reaches_ready_and_brings_rows(
    release: Release, applied: None, example: Example
) -> None:
    release.wait_condition("feedsource", example.name, "Ready", seconds=120)
    channels = {channel for each in example.subscriptions for channel in each["spec"]["channels"]}
    for table in {TABLES[channel.partition("-")[0]] for channel in channels} - {"bars"}:
        wait_rows(release, table, f"instrument_id like '%.{example.venue.upper()}'")


@pytest.mark.parametrize(("example", "backfill"), BACKFILLS)
def test_backfill_of_example_succeeds_and_brings_rows(
    release: Release, applied: None, example: Example, backfill: Manifest
) -> None:
    name = backfill["metadata"]["name"]
    release.wait_condition("backfill", name, "Succeeded", seconds=150)
    assert release.get("backfill", name)["status"]["progress"]["rowsWritten"] > 0
    for symbol in backfill["spec"]["instruments"]:
        for channel in backfill["spec"]["channels"]:
            kind, _, interval = channel.partition("-")
            where = f"instrument_id = '{symbol}.{example.venue.upper()}'"
            if interval:
                where += f" and interval = '{interval}'"
            wait_rows(release, TABLES[kind], where)
