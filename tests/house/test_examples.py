"""What a person may apply is valid, and refers to things that are there."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from feedplane_api.crd import KINDS
from feedplane_api.feed_source import FeedSource
from feedplane_feeder.registry import ADAPTERS, PAST_VENUES
from feedplane_operator.core.children.network_policy import egress_ports
from feedplane_operator.core.observed import Defaults
from feedplane_operator.core.workers import merge_endpoints

SCHEME_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = {kind.kind.value: kind for kind in KINDS}

JsonDict = dict[str, Any]


def documents(kind: str) -> list[JsonDict]:
    return [
        document
        for path in sorted(EXAMPLES.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document.get("kind") == kind
    ]


def names(kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in documents(kind)}


@pytest.mark.parametrize("kind", MODELS)
def test_each_example_is_a_valid_object(kind: str) -> None:
    assert documents(kind) != []
    for document in documents(kind):
        resource = MODELS[kind].parse(document)
        assert MODELS[kind].parse(resource.render()) == resource


def test_examples_refer_to_one_another() -> None:
    for document in [*documents("Subscription"), *documents("Backfill")]:
        assert document["spec"]["feedSourceRef"]["name"] in names("FeedSource")
    for document in documents("FeedSource"):
        for sink in FeedSource.parse(document).spec.sinks:
            assert sink.postgres is not None
            assert sink.postgres.dsn_secret_ref.name in names("Secret")


@pytest.mark.parametrize("document", documents("FeedSource"), ids=lambda one: one["spec"]["venue"])
def test_example_may_reach_every_address_of_its_venue(document: JsonDict) -> None:
    # The NetworkPolicy opens the usual ports of TLS, and those that the FeedSource names.
    feed_source = FeedSource.parse(document)
    name = feed_source.spec.venue
    venue = PAST_VENUES[name] if name in PAST_VENUES else ADAPTERS[name]
    own = venue.endpoints.model_dump(exclude_none=True)
    told = merge_endpoints(feed_source.spec.endpoints, None).model_dump(exclude_none=True)
    urls = [urlsplit(url) for url in {**own, **told}.values()]
    needed = {url.port or SCHEME_PORTS.get(url.scheme) for url in urls} - {None}
    assert needed <= set(egress_ports(feed_source, Defaults()))
