import os
import threading
from pathlib import Path

import pytest

from feedplane_cluster.cache import Cache, default_cache, files_digest, recipe_key


def test_recipe_key_ignores_order_of_fields() -> None:
    assert recipe_key({"a": 1, "b": [2]}) == recipe_key({"b": [2], "a": 1})


@pytest.mark.parametrize(
    "other",
    [{"version": "v2"}, {"version": "v1", "flags": "-s"}, {}],
    ids=["other value", "more fields", "nothing"],
)
def test_recipe_key_changes_with_content(other: dict[str, object]) -> None:
    assert recipe_key({"version": "v1"}) != recipe_key(other)


def test_entry_is_built_once(tmp_path: Path) -> None:
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "made").write_text("whole")

    cache = Cache(root=tmp_path)
    first = cache.entry("tool", {"version": "v1"}, build)
    assert cache.entry("tool", {"version": "v1"}, build) == first
    assert len(builds) == 1
    assert (first / "made").read_text() == "whole"


def test_failed_build_leaves_no_entry(tmp_path: Path) -> None:
    cache = Cache(root=tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        cache.entry("tool", {"version": "v1"}, fail)
    entry = cache.entry("tool", {"version": "v1"}, lambda folder: (folder / "whole").touch())
    assert [path.name for path in entry.iterdir()] == ["whole"]


def test_remains_of_killed_run_are_not_trusted(tmp_path: Path) -> None:
    key = recipe_key({"version": "v1"})
    remains = tmp_path / "tool" / f".partial-{key}"
    remains.mkdir(parents=True)
    (remains / "half").touch()
    entry = Cache(root=tmp_path).entry(
        "tool", {"version": "v1"}, lambda folder: (folder / "whole").touch()
    )
    assert [path.name for path in entry.iterdir()] == ["whole"]


def test_two_runs_at_once_build_once(tmp_path: Path) -> None:
    started = threading.Event()
    go_on = threading.Event()
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        started.set()
        assert go_on.wait(5)

    def run() -> None:
        Cache(root=tmp_path).entry("tool", {"version": "v1"}, build)

    runs = [threading.Thread(target=run) for _ in range(2)]
    runs[0].start()
    assert started.wait(5)
    runs[1].start()
    go_on.set()
    for each in runs:
        each.join(5)
    assert len(builds) == 1


def test_cache_stands_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().root == tmp_path / "feedplane"


def test_cache_stands_in_home_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache().root == tmp_path / ".cache" / "feedplane"


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_files_digest_sees_every_change(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1")
    before = files_digest(tmp_path, [file])
    if change == "content":
        file.write_text("x = 2")
    elif change == "name":
        file = file.rename(tmp_path / "b.py")
    else:
        file.chmod(0o755)
    assert files_digest(tmp_path, [file]) != before


def test_files_digest_ignores_time_and_order(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text(file.name)
    before = files_digest(tmp_path, files)
    os.utime(files[0], (1, 1))
    assert files_digest(tmp_path, files[::-1]) == before
