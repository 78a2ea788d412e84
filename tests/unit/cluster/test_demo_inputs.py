from pathlib import Path

import pytest
import yaml

from feedplane_cluster.demo_inputs import (
    DemoOptions,
    chart_settings,
    demo_manifests,
    image_settings,
    recorded_symbols,
    recordings_volume,
)

ROOT = Path(__file__).parents[3]
SPOT = (
    "wss://venue.example:9443/stream?streams=nknusdt@depth@100ms/blzeth@kline_1m/nknusdt@aggTrade"
)
USDM = "wss://venue.example/ws/ctkusdt@aggTrade"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    (tmp_path / "spot-2021-10-12.ws.txt").write_text(f"{SPOT} <-> 1633998511.1\n1: {{}}\n")
    (tmp_path / "usdm-2021-07-22.ws.txt").write_text(f"{USDM} <-> 1626992740.1\n1: {{}}\n")
    (tmp_path / "spot-2021-10-12.exchangeInfo.txt").write_text("{}")
    return tmp_path


def test_recorded_symbols_come_from_the_first_line(recordings: Path) -> None:
    assert recorded_symbols(recordings) == {
        "binance-spot": ["BLZETH", "NKNUSDT"],
        "binance-usdm": ["CTKUSDT"],
    }


def test_demo_manifests_without_options_are_the_examples() -> None:
    examples = sorted((ROOT / "examples/demo").glob("*.yaml"))
    manifests = demo_manifests(DemoOptions(root=ROOT))
    assert manifests == [yaml.safe_load(path.read_text()) for path in examples]
    assert {m["kind"] for m in manifests} == {"FeedSource", "Subscription"}


def test_demo_manifests_live_name_no_endpoints() -> None:
    manifests = demo_manifests(DemoOptions(root=ROOT, live=True))
    assert not any("endpoints" in manifest["spec"] for manifest in manifests)


def test_demo_manifests_replaying_want_what_was_recorded(recordings: Path) -> None:
    manifests = demo_manifests(DemoOptions(root=ROOT, recordings=recordings))
    wanted = {
        m["spec"]["feedSourceRef"]["name"]: m["spec"]["instruments"]
        for m in manifests
        if m["kind"] == "Subscription"
    }
    assert wanted == {"binance-spot": ["BLZETH", "NKNUSDT"], "binance-usdm": ["CTKUSDT"]}
    assert not any("selector" in manifest["spec"] for manifest in manifests)


def test_image_settings_split_at_the_last_colon() -> None:
    assert image_settings({"feeder": "registry.example:5000/feedplane/feeder:1a2b"}) == [
        "images.feeder.repository=registry.example:5000/feedplane/feeder",
        "images.feeder.tag=1a2b",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DemoOptions(root=ROOT), []),
        (DemoOptions(root=ROOT, live=True), ["demo.simulator.enabled=false"]),
        (
            DemoOptions(root=ROOT, recordings=Path("/tape")),
            ["demo.simulator.recordingsClaim=recordings"],
        ),
    ],
    ids=["simulated", "live", "replayed"],
)
def test_chart_settings_follow_the_options(options: DemoOptions, expected: list[str]) -> None:
    assert chart_settings(options, {}) == ["demo.enabled=true", *expected]


def test_recordings_volume_and_claim_name_each_other() -> None:
    volume, claim = recordings_volume()
    assert volume["spec"]["claimRef"]["name"] == claim["metadata"]["name"]
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
