from pathlib import Path

import pytest

from feedplane_cluster.errors import MissingToolError
from feedplane_cluster.product_images import Lock, find_workspace, parse_export, source_files

EXPORT = """-e ./crds
    # via feedplane-feeder
-e ./feeder
aiohttp==3.14.5 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via feedplane-feeder
"""


def test_export_is_split_into_ours_and_theirs() -> None:
    assert parse_export(EXPORT) == Lock(
        folders=("crds", "feeder"),
        requirements="aiohttp==3.14.5 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n",
    )


def test_source_files_leave_compiled_ones_out(tmp_path: Path) -> None:
    package = tmp_path / "feeder/src/feedplane_feeder"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("live.py", "__pycache__/live.cpython-311.pyc"):
        (package / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in source_files(tmp_path, ["feeder"])]
    assert found == ["feeder/pyproject.toml", "feeder/src/feedplane_feeder/live.py"]


def test_workspace_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "uv.lock").touch()
    (tmp_path / "tests/e2e").mkdir(parents=True)
    assert find_workspace(tmp_path / "tests/e2e") == tmp_path


def test_folder_outside_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="repository"):
        find_workspace(tmp_path)
