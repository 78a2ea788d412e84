import json
from typing import Any

import pytest
import yaml
from support_cli import NOW, feed, subscription

from feedplane_cli.core.bundle import (
    Bundle,
    concerns,
    http_port,
    images,
    refers_to,
    restarted,
    root_name,
    running,
)

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "spot-main-0-abc"},
    "spec": {
        "containers": [
            {"image": "feedplane/feeder:1", "ports": [{"name": "http", "containerPort": 9000}]}
        ]
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1"},
}


def test_everything_in_a_bundle_is_redacted() -> None:
    bundle = Bundle()
    bundle.add_text("log.txt", "password=canary")
    bundle.add_json("status.json", json.dumps({"token": "canary"}))
    bundle.add_json("broken.json", "token=canary")
    bundle.add_object("a.yaml", {"kind": "Pod", "password": "canary"})
    bundle.add_object("b.yaml", {"kind": "ConfigMap", "data": {"x": "password: canary"}})
    bundle.miss("x", "token=canary")
    manifest = bundle.build_manifest({"client": "token=canary"}, NOW)
    assert "canary" not in str(bundle.files) + manifest


def test_secret_has_no_place_in_a_bundle() -> None:
    with pytest.raises(ValueError, match="anything but a Secret"):
        Bundle().add_object("x.yaml", {"kind": "Secret", "metadata": {"name": "keys"}})


def test_manifest_says_what_is_there_and_what_lacks() -> None:
    bundle = Bundle()
    bundle.add_objects("trading/feedsources", [feed()])
    bundle.miss("trading/pods", "You may not list pods.")
    manifest = json.loads(bundle.build_manifest({"client": "0.1.0"}, NOW))
    (file,) = manifest["files"]
    assert file["path"] == "trading/feedsources/spot.yaml"
    assert file["bytes"] == len(bundle.files[file["path"]])
    assert manifest["missing"] == [{"what": "trading/pods", "why": "You may not list pods."}]
    assert manifest["created"] == "2026-11-21T12:00:00Z"
    stored = yaml.safe_load(bundle.files[file["path"]])
    assert stored["spec"]["sinks"][0]["postgres"]["dsnSecretRef"] == {"name": "db"}


def test_bundle_is_named_after_feed_and_time() -> None:
    assert root_name("spot", NOW) == "feedplane-report-spot-20261121T120000Z"
    assert root_name("", NOW).startswith("feedplane-report-all-")


def test_what_belongs_to_a_feed_is_told() -> None:
    assert refers_to(subscription(), ["spot"])
    assert not refers_to(subscription(), ["usdm"])
    assert concerns({"regarding": {"name": "spot"}}, {"spot"})
    assert not concerns({"regarding": {"name": "other"}}, {"spot"})


def test_pod_says_its_port_image_and_state() -> None:
    assert http_port(POD, 8000) == 9000
    assert http_port({}, 8000) == 8000
    assert images([POD, POD]) == {"feedplane/feeder:1": 2}
    assert running(POD)
    assert not running({"status": {"phase": "Pending"}})
    assert not restarted(POD)
    assert restarted({"status": {"containerStatuses": [{"restartCount": 2}]}})
