import json
from pathlib import Path

import pytest

from feedplane_cluster import runc_wrapper
from feedplane_cluster.runc_wrapper import option, without_sys_resource

PROCESS = {
    "args": ["sleep", "1"],
    "oomScoreAdj": -999,
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
    "capabilities": {
        "bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"],
        "effective": ["CAP_SYS_RESOURCE"],
        "ambient": None,
    },
}
GRANTED = {
    "args": ["sleep", "1"],
    "oomScoreAdj": 0,
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "ambient": []},
}


def test_process_loses_exactly_three_wishes() -> None:
    assert without_sys_resource(PROCESS) == GRANTED


@pytest.mark.parametrize(
    "process",
    [{}, {"oomScoreAdj": 500}, {"capabilities": {"bounding": ["CAP_CHOWN"]}}],
    ids=["empty", "higher OOM score", "other capability"],
)
def test_modest_process_stays_as_it_is(process: dict[str, object]) -> None:
    assert without_sys_resource(process) == process


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--root", "/run", "create", "--bundle", "/b", "id"], "/b"),
        (["create", "--bundle=/b", "id"], "/b"),
        (["run", "-b", "/b", "id"], "/b"),
        (["delete", "id"], None),
    ],
    ids=["two words", "one word", "short", "absent"],
)
def test_option_is_found_in_every_spelling(arguments: list[str], value: str | None) -> None:
    assert option(arguments, "--bundle", "-b") == value


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the wrapper became instead of ending this process."""
    calls: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, arguments: calls.append(arguments))
    return calls


def test_bundle_is_rewritten_before_runc_reads_it(tmp_path: Path, became: list[list[str]]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"ociVersion": "1.0.2", "process": PROCESS}))
    runc_wrapper.main(["create", "--bundle", str(tmp_path), "id"])
    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2", "process": GRANTED}
    assert became == [["runc", "create", "--bundle", str(tmp_path), "id"]]


def test_process_file_of_exec_is_rewritten(tmp_path: Path, became: list[list[str]]) -> None:
    file = tmp_path / "process.json"
    file.write_text(json.dumps(PROCESS))
    runc_wrapper.main(["exec", "--process", str(file), "id"])
    assert json.loads(file.read_text()) == GRANTED
    assert len(became) == 1
