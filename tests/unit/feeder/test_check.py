from pathlib import Path

import pytest

from feedplane_api.worker import FileSinkConfig, PostgresSinkConfig, Wanted, WorkerConfig
from feedplane_feeder.check import Finding, check_config, render_findings, render_venues
from feedplane_feeder.errors import UnknownVenueError
from feedplane_feeder.registry import ADAPTERS


def build(tmp_path: Path, *channels: str) -> WorkerConfig:
    return WorkerConfig(
        venue=min(ADAPTERS),
        wanted=(Wanted(symbol="BTCUSDT", channels=channels),) if channels else (),
        sinks=(FileSinkConfig(path=str(tmp_path / "tape")),),
    )


def bad(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.subject: finding.detail for finding in findings if not finding.good}


async def test_config_that_can_run_has_only_good_findings(tmp_path: Path) -> None:
    findings = await check_config(build(tmp_path, "trade", "bar-1m"))
    assert bad(findings) == {}
    assert [finding.subject for finding in findings] == [
        "configuration",
        "venue",
        "channels",
        "sink file",
    ]


async def test_config_wanting_what_the_venue_lacks_is_told(tmp_path: Path) -> None:
    findings = await check_config(build(tmp_path, "trade", "metric"))
    assert "does not carry metric" in bad(findings)["channels"]


async def test_config_wanting_nothing_is_told(tmp_path: Path) -> None:
    assert "channels" in bad(await check_config(build(tmp_path)))


async def test_config_with_a_sink_that_cannot_open_is_told(tmp_path: Path) -> None:
    sinks = (PostgresSinkConfig(dsn_path=str(tmp_path / "absent")),)
    config = build(tmp_path, "trade").model_copy(update={"sinks": sinks})
    assert "sink postgres" in bad(await check_config(config))


async def test_config_naming_no_known_venue_is_refused(tmp_path: Path) -> None:
    config = build(tmp_path, "trade").model_copy(update={"venue": "no-such-venue"})
    with pytest.raises(UnknownVenueError):
        await check_config(config)


def test_findings_rendered_tell_good_from_bad(capsys: pytest.CaptureFixture[str]) -> None:
    render_findings([Finding("venue", True, "fine"), Finding("sink main", False, "away")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["ok", "venue", "fine"]
    assert lines[2].split() == ["no", "sink", "main", "away"]


def test_venues_rendered_name_each_with_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    render_venues()
    text = capsys.readouterr().out
    for venue, adapter in ADAPTERS.items():
        assert venue in text
        assert f"{adapter.capabilities.limits.streams_per_connection:,} per connection" in text
        assert adapter.capabilities.limits.source.split()[0] in text
