"""The definitions as the server keeps and serves them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support_api_rules import load_rule_cases
from support_api_server import Api

from feedplane_api.crd import KINDS, build_crd
from feedplane_api.names import GROUP, PLURALS, Kind

JsonDict = dict[str, Any]
BASES = {case.kind: case.before for case in load_rule_cases() if case.before is not None}
COLUMNS = {
    Kind.FEED_SOURCE: "NAME VENUE READY ACTIVE COVERAGE LAG FAILOVERS AGE MESSAGE",
    Kind.SUBSCRIPTION: "NAME FEED WANTED LIVE STALE GAPS MISSING READY AGE MESSAGE",
    Kind.BACKFILL: "NAME STATE PROGRESS ROWS LEFT FAILED MISSING AGE FEED RATE MESSAGE",
}
TIME = "2026-11-21T10:00:00Z"


def condition(kind: str) -> JsonDict:
    return {
        "type": kind,
        "status": "True",
        "reason": "AllLive",
        "message": "Everything wanted is live.",
        "observedGeneration": 1,
        "lastTransitionTime": TIME,
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_server_gives_back_what_we_wrote(api: Api, kind: Any) -> None:
    ours = build_crd(kind)
    theirs = api.definition(f"{PLURALS[kind.kind]}.{GROUP}")
    assert theirs["spec"] == ours["spec"]
    assert all(c["type"] != "NonStructuralSchema" for c in theirs["status"]["conditions"])


@pytest.mark.parametrize("kind", list(Kind), ids=str)
def test_kubectl_get_shows_the_columns(api: Api, kind: Kind) -> None:
    manifest = BASES[kind]
    api.create(manifest, store=True)
    try:
        header = api.kubectl("get", PLURALS[kind], "-o", "wide").splitlines()[0]
    finally:
        api.delete(manifest)
    assert header.split() == COLUMNS[kind].split()


def test_kubectl_get_feeds_lists_all_kinds(api: Api) -> None:
    for manifest in BASES.values():
        api.create(manifest, store=True)
    try:
        listed = api.kubectl("get", "feeds", "-o", "name").split()
        short = [api.kubectl("get", name, "-o", "name").strip() for name in ("fs", "sub", "bf")]
    finally:
        for manifest in BASES.values():
            api.delete(manifest)
    assert sorted(listed) == sorted(short)
    assert len(listed) == len(Kind)


def test_subscriptions_can_be_selected_by_feed_source(api: Api) -> None:
    manifest = BASES["Subscription"]
    api.create(manifest, store=True)
    query = ("get", "subscriptions", "-o", "name", "--field-selector")
    try:
        its = api.kubectl(*query, "spec.feedSourceRef.name=binance-spot").split()
        others = api.kubectl(*query, "spec.feedSourceRef.name=binance-usdm").split()
    finally:
        api.delete(manifest)
    assert (len(its), others) == (1, [])


def test_status_row_shows_what_was_reported(api: Api) -> None:
    manifest = BASES["FeedSource"]
    stored = api.create(manifest, store=True)
    status = {
        "observedGeneration": 1,
        "conditions": [condition("Ready")],
        "activeAccount": "main",
        "coverage": {"wanted": 4, "live": 4, "percent": 100},
        "failover": {"epoch": 3, "active": "main", "sinceTime": TIME, "count": 2},
        "lagMilliseconds": 12,
    }
    try:
        api.report(stored, status)
        row = api.kubectl("get", "fs", "--no-headers").split()
    finally:
        api.delete(manifest)
    assert row[:7] == ["binance-spot", "binance-spot", "True", "main", "100", "12", "2"]


def test_server_defaults_equal_the_models(api: Api) -> None:
    for kind in KINDS:
        defaulted = api.create(BASES[kind.kind])
        assert kind.parse(defaulted) == kind.parse({**BASES[kind.kind], **meta(defaulted)})


def meta(manifest: JsonDict) -> JsonDict:
    return {"metadata": manifest["metadata"]}


def test_examples_are_accepted_by_the_server(api: Api, examples: list[Path]) -> None:
    ours = [
        document
        for path in examples
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document["kind"] in set(Kind)
    ]
    assert {document["kind"] for document in ours} == set(Kind)
    for document in ours:
        assert api.create(document)["metadata"]["name"] == document["metadata"]["name"]
