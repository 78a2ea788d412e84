import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_feeder.__main__ import app, load_config

GOOD = "venue: binance-spot\nwanted: [{{symbol: BTCUSDT, channels: [trade]}}]\n"
SINK = "sinks: [{{kind: file, path: {path}}}]\n"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("FEEDPLANE_TERMINATION_LOG", str(path))
    return path


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "worker.yaml"
    path.write_text(text.format(path=tmp_path / "tape"))
    return str(path)


def test_check_of_a_good_file_ends_well(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--config", write(tmp_path, GOOD + SINK)])
    assert result.exit_code == ExitCode.OK
    assert "sink file" in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("venue: nowhere\n" + SINK, "UnknownVenue: "),
        (GOOD, "InvalidConfig: Expected a usable worker configuration, was wrong at sinks"),
        ("[", "InvalidConfig: "),
    ],
    ids=["unknown venue", "no sink", "no YAML"],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_command_given_a_bad_file_leaves_its_reason(
    tmp_path: Path, last_words: Path, command: str, text: str, words: str
) -> None:
    result = CliRunner().invoke(app, [command, "--config", write(tmp_path, text)])
    assert result.exit_code == ExitCode.CONFIG_INVALID
    assert last_words.read_text().startswith(words)


def test_backfill_asked_for_says_it_is_to_come() -> None:
    result = CliRunner().invoke(app, ["backfill"])
    assert result.exit_code == ExitCode.USAGE
    assert "Backfill" in result.output


def test_venues_asked_for_are_listed() -> None:
    result = CliRunner().invoke(app, ["venues"])
    assert result.exit_code == ExitCode.OK
    assert "credentials" in result.output


def test_config_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkerConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")
