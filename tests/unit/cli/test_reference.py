from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from feedplane_cli import reference
from feedplane_cli.errors import ExitStatus
from feedplane_cli.rights import RIGHTS, Role, rules_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", list(reference.FILES), ids=str)
def test_generated_file_equals_the_code(path: Path) -> None:
    # `make gen` writes it anew.
    assert (ROOT / path).read_text() == reference.FILES[path]()


def test_page_lists_every_command_code_and_right() -> None:
    page = reference.render_page()
    for name in ("status", "switchover", "pause", "resume", "maintenance", "logs", "version"):
        assert f"## feedplane {name}" in page
    assert "## feedplane report bundle" in page
    assert all(f"| {status.value} |" in page for status in ExitStatus)
    assert all(right.reason in page for right in RIGHTS)
    assert "`table` or `json` or `yaml`" in page


def test_example_grants_the_rights_and_no_more() -> None:
    documents = list(yaml.safe_load_all(reference.render_example()))
    granted = {one["metadata"]["name"]: one["rules"] for one in documents if one["kind"] == "Role"}
    assert granted == {role.value: rules_of(role) for role in Role}


def test_stale_file_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in reference.FILES:
        path.parent.mkdir(parents=True, exist_ok=True)
    assert reference.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert reference.main(["--write"]) == 0
    assert reference.main(["--check"]) == 0
    assert reference.main([]) == 64


def test_both_programs_are_the_command() -> None:
    found = {one.name: one.value for one in entry_points(group="console_scripts")}
    assert found["feedplane"] == found["kubectl-feedplane"] == "feedplane_cli.__main__:main"
