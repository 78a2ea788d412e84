import json
import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from feedplane_cli.__main__ import app
from feedplane_cli.errors import ExitStatus
from feedplane_feeder.core.ports import Proof
from feedplane_feeder.registry import ADAPTERS, HISTORIES

ROOT = Path(__file__).parents[3]

COMMANDS = ["status", "switchover", "pause", "resume", "maintenance", "logs", "report", "version"]
ALONE = ["check", "compare", "venues"]


@pytest.fixture(autouse=True)
def no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == ExitStatus.HEALTHY
    assert [name for name in [*COMMANDS, *ALONE] if name not in result.output] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "report"])
def test_help_of_a_command_has_the_shared_options(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == ExitStatus.HEALTHY
    for option in ("--namespace", "--context", "--kubeconfig"):
        assert option in result.output


@pytest.mark.parametrize(
    "arguments", [["status"], ["logs", "spot"], ["pause", "spot"], ["report", "spot"], ["version"]]
)
def test_command_without_a_kubeconfig_says_so(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitStatus.UNREACHABLE
    assert "There is no kubeconfig at" in result.output
    assert "--kubeconfig" in result.output


def test_kubeconfig_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("[")
    result = CliRunner().invoke(app, ["status", "--kubeconfig", str(broken)])
    assert result.exit_code == ExitStatus.UNREACHABLE
    assert "kubeconfig cannot be used" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "spot", "--since", "soon"], "Expected a duration"),
        (["report", "-o", "x.rar"], "ends in .tar.gz"),
        (["report", "bundle", "spot", "-o", "x.rar"], "ends in .tar.gz"),
        (["report", "spot", "-o", "x.rar"], "ends in .tar.gz"),
        (["switchover", "spot", "--to", "a", "--clear"], "either --to"),
        (["pause", "subscription/x"], "cannot be paused"),
    ],
)
def test_wrong_usage_ends_before_anything_is_asked(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitStatus.USAGE
    assert words in result.output


def test_venues_are_told_in_every_form() -> None:
    result = CliRunner().invoke(app, ["venues", "binance-spot"])
    assert result.exit_code == ExitStatus.HEALTHY
    assert "6,000 per minute" in result.output
    documents = [
        json.loads(CliRunner().invoke(app, ["venues", "-o", "json"]).output),
        yaml.safe_load(CliRunner().invoke(app, ["venues", "-o", "yaml"]).output),
    ]
    assert documents[0] == documents[1]
    names = [one["venue"] for one in documents[0]["venues"]]
    assert set(names) == {*ADAPTERS, *HISTORIES}


def test_venue_nobody_knows_is_refused_with_those_there_are() -> None:
    result = CliRunner().invoke(app, ["venues", "moon"])
    assert result.exit_code == ExitStatus.NOT_FOUND
    assert "binance-spot" in result.output


@pytest.mark.parametrize("venue", ADAPTERS)
def test_proof_an_adapter_claims_stands_in_its_fixture(venue: str) -> None:
    fixture = ROOT / f"tests/unit/feeder/fixtures/{venue}.jsonl"
    first = json.loads(fixture.read_text().splitlines()[0])
    proof = ADAPTERS[venue].capabilities.proof
    assert (proof is not Proof.CONSTRUCTED) == (
        first["captured"] or "public recordings" in first["source"]
    )


def test_report_explains_itself_as_a_group() -> None:
    result = CliRunner().invoke(app, ["report", "--help"])
    assert result.exit_code == ExitStatus.HEALTHY
    assert "bundle" in result.output


def test_plain_output_holds_no_colours() -> None:
    result = CliRunner().invoke(app, ["status"], env={**os.environ, "NO_COLOR": "1"})
    assert "\x1b" not in result.output
