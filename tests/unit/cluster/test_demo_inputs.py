from pathlib import Path

import pytest
import yaml

from feedplane_api.feed_source import FeedSource
from feedplane_api.subscription import Subscription
from feedplane_cluster.demo_inputs import (
    DEMO,
    PART_OF,
    DemoOptions,
    chart_settings,
    demo_manifests,
    image_settings,
    recorded_channels,
    recordings_volume,
)

ROOT = Path(__file__).parents[3]
FRAME = '{time}: {{"stream":"{stream}","data":{{}}}}'


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two markets; the address names streams that no frame came on."""

    def write(name: str, *streams: str) -> None:
        lines = [FRAME.format(time=second, stream=name) for second, name in enumerate(streams)]
        address = "wss://venue.example/stream?streams=runeeur@aggTrade <-> 1633998511.1"
        (tmp_path / name).write_text("\n".join([address, *lines]))

    write("spot-2021-10-12.ws.txt", "nknusdt@depth@100ms", "nknusdt@aggTrade", "blzeth@aggTrade")
    write("usdm-2021-07-22.ws.txt", "ctkusdt@kline_1m", "ctkusdt@bookTicker", "ctkusdt@markPrice")
    (tmp_path / "spot-2021-10-12.exchangeInfo.txt").write_text("{}")
    return tmp_path


def test_recorded_channels_are_those_with_frames(recordings: Path) -> None:
    assert recorded_channels(recordings) == {
        "binance-spot": {"book": ["NKNUSDT"], "trade": ["BLZETH", "NKNUSDT"]},
        "binance-usdm": {"bar-1m": ["CTKUSDT"], "quote": ["CTKUSDT"]},
    }


def test_demo_manifests_without_options_are_the_examples() -> None:
    examples = sorted((ROOT / "examples/demo").glob("*.yaml"))
    manifests = demo_manifests(DemoOptions(root=ROOT))
    for manifest in manifests:
        assert manifest["metadata"].pop("labels") == {PART_OF: DEMO}
    assert manifests == [yaml.safe_load(path.read_text()) for path in examples]
    assert {m["kind"] for m in manifests} == {"FeedSource", "Subscription"}


def test_demo_manifests_live_name_no_endpoints() -> None:
    manifests = demo_manifests(DemoOptions(root=ROOT, live=True))
    assert not any("endpoints" in manifest["spec"] for manifest in manifests)


def test_demo_manifests_replaying_want_what_was_recorded(recordings: Path) -> None:
    manifests = demo_manifests(DemoOptions(root=ROOT, recordings=recordings))
    wanted = [
        (m["spec"]["feedSourceRef"]["name"], m["spec"]["instruments"], m["spec"]["channels"])
        for m in manifests
        if m["kind"] == "Subscription"
    ]
    assert wanted == [
        ("binance-spot", ["NKNUSDT"], ["book"]),
        ("binance-spot", ["BLZETH", "NKNUSDT"], ["trade"]),
        ("binance-usdm", ["CTKUSDT"], ["bar-1m"]),
        ("binance-usdm", ["CTKUSDT"], ["quote"]),
    ]
    models = {"FeedSource": FeedSource, "Subscription": Subscription}
    assert [models[m["kind"]].parse(m).metadata.name for m in manifests]


def test_image_settings_split_at_the_last_colon() -> None:
    assert image_settings({"feeder": "registry.example:5000/feedplane/feeder:1a2b"}) == [
        "images.feeder.repository=registry.example:5000/feedplane/feeder",
        "images.feeder.tag=1a2b",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DemoOptions(root=ROOT), ["demo.simulator.historyDays=3"]),
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
