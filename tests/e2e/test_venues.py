"""Every hosted venue's feed on a real cluster: it reaches Ready, and rows arrive.

What a feed of each venue needs stands in the venue's fixture, the one the conformance suite reads.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.fixture import VenueUnderTest, all_venues
from release import Release
from venues import ports

from feedplane_cluster.cache import default_cache
from feedplane_cluster.docker import Docker
from feedplane_feeder.core.ports import TransportKind
from feedplane_simulator.ctp_shim import BINDINGS, build_shim

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HOSTED = [venue for venue in all_venues() if venue.name in ports()]
FRONTS_IMAGE = "feedplane/feeder-for-simulated-fronts"
FRONTS_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY . /fronts
ENV LD_PRELOAD=/fronts/{library} PYTHONPATH=/fronts/bindings:/app/packages:/app/dependencies
"""
TABLES = {"trade": "trades", "quote": "quotes", "book": "book_deltas", "snapshot": "snapshots"}


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


def manifests(release: Release, venue: VenueUnderTest, fronts_image: str) -> list[dict[str, Any]]:
    """Return the FeedSource, its Subscription, and the Secret of its account."""
    places = {name: f"{release.name}-simulator:{port}" for name, port in ports().items()}
    told = {"stream": f"ws://{{{venue.name}}}", "rest": f"http://{{{venue.name}}}"}
    told |= venue.told.get("endpoints", {})
    name = f"venue-{venue.name}"
    keys = venue.adapter.capabilities.credential_headers
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": dict.fromkeys(keys, "not-real"),
    }
    credentials = {"credentialsSecretRef": {"name": name}} if keys else {}
    native = venue.adapter.capabilities.transport is TransportKind.LIBRARY
    source = {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "FeedSource",
        "metadata": {"name": name},
        "spec": {
            "venue": venue.name,
            "endpoints": {key: text.format_map(places) for key, text in told.items()},
            "accounts": [{"name": "main", **credentials}],
            "failover": {"staleAfterSeconds": 30, "replayBufferSeconds": 60},
            "sinks": [
                {
                    "name": "database",
                    "postgres": {"dsnSecretRef": {"name": f"{release.name}-database"}},
                }
            ],
            **({"feeder": {"image": fronts_image}} if native else {}),
        },
    }
    subscription = {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": name},
        "spec": {
            "feedSourceRef": {"name": name},
            "instruments": venue.symbols,
            "channels": venue.channels,
        },
    }
    return [*([secret] if keys else []), source, subscription]


@pytest.fixture(scope="module")
def applied(release: Release, fronts_image: str) -> Iterator[None]:
    """The feeds of all venues, side by side."""
    everything = [
        manifest for venue in HOSTED for manifest in manifests(release, venue, fronts_image)
    ]
    release.apply(*everything)
    yield
    names = [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in everything]
    release.kubectl("delete", *names, "--ignore-not-found", timeout=120)


@pytest.mark.parametrize("venue", HOSTED, ids=lambda venue: venue.name)
def test_feed_of_venue_reaches_ready_and_brings_rows(
    release: Release, applied: None, venue: VenueUnderTest
) -> None:
    release.wait_condition("feedsource", f"venue-{venue.name}", "Ready", seconds=120)
    where = f"instrument_id like '%.{venue.name.upper()}'"
    tables = {TABLES.get(channel.partition("-")[0], "bars") for channel in venue.channels}
    for table in tables - {"bars"}:
        release.wait(
            lambda table=table: release.rows(table, where),  # type: ignore[misc]
            60,
            lambda table=table: f"rows of {venue.name} in {table}",  # type: ignore[misc]
        )
