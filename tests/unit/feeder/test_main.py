import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_api.worker import parse_worker_config
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


def test_backfill_of_an_empty_range_names_it(tmp_path: Path, last_words: Path) -> None:
    text = (
        "{{venue: binance-spot, start: 2026-11-02T00:00:00Z, end: 2026-11-01T00:00:00Z,"
        " wanted: [{{symbol: BTCUSDT, channels: [bar-1m]}}], sink: {{dsnEnv: DSN}}}}"
    )
    result = CliRunner().invoke(app, ["backfill", "--config", write(tmp_path, text)])
    assert result.exit_code == ExitCode.CONFIG_INVALID
    assert "end must be after start" in last_words.read_text()


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        pytest.param(True, ExitCode.OK, id="to its end"),
        pytest.param(False, ExitCode.INTERRUPTED, id="told to stop"),
    ],
)
def test_backfill_tells_by_its_code_whether_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool, code: int
) -> None:
    async def run_backfill(*_: object) -> BackfillReport:
        return BackfillReport(ended=ended)

    monkeypatch.setattr("feedplane_feeder.backfill_process.run_backfill", run_backfill)
    text = (
        "{{venue: binance-spot, start: 2026-11-01T00:00:00Z, end: 2026-11-02T00:00:00Z,"
        " wanted: [{{symbol: BTCUSDT, channels: [bar-1m]}}], sink: {{dsnEnv: DSN}}}}"
    )
    result = CliRunner().invoke(app, ["backfill", "--config", write(tmp_path, text)])
    assert result.exit_code == code


def test_venues_asked_for_are_listed() -> None:
    result = CliRunner().invoke(app, ["venues"])
    assert result.exit_code == ExitCode.OK
    assert "credentials" in result.output


def test_config_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkerConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml", parse_worker_config)
