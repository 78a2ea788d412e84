"""Everything slow is made once per machine: entries named by the content of their recipe."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from feedplane_cluster.process import run
from feedplane_cluster.progress import note

KEY_LENGTH = 16
PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of finished entries; what a killed run left behind is never one of them."""

    root: Path

    def entry(self, name: str, recipe: Mapping[str, object], build: Callable[[Path], None]) -> Path:
        """Return the folder made from this recipe, building it first where it is missing.

        The folder gets its name only when it is complete, and one lock per entry lets two runs
        at once build it only once.
        """
        key = recipe_key(recipe)
        final = self.root / name / key
        if final.is_dir():
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        with locked(final.parent / f"{key}.lock", waiting_for=name):
            if final.is_dir():
                return final
            partial = final.parent / f"{PARTIAL}{key}"
            remove_tree(partial)
            partial.mkdir()
            build(partial)
            partial.rename(final)
        return final

    def folder(self, name: str) -> Path:
        """Return a folder for things that are not content: logs, kubeconfigs, locks."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def default_cache() -> Cache:
    """Return the user's cache, where XDG_CACHE_HOME says or in ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Cache(root=Path(home) / "feedplane")


def recipe_key(recipe: Mapping[str, object]) -> str:
    """Name a recipe by its content: equal recipes, equal keys, in any order of the fields."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def recipe_text(name: str) -> str:
    """Read a recipe file that ships with this package."""
    return (resources.files("feedplane_cluster") / "recipes" / name).read_text()


def files_digest(root: Path, paths: Iterator[Path] | list[Path]) -> str:
    """Digest files by their place under root, their mode to execute and their content."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root)} {os.access(path, os.X_OK)} {content}\n".encode())
    return digest.hexdigest()


@contextmanager
def locked(path: Path, *, waiting_for: str) -> Iterator[None]:
    """Hold a lock that the kernel gives back when we end, however we end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another run is working on {waiting_for}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_tree(path: Path) -> None:
    """Remove a folder, letting go first of file systems a killed run left mounted in it."""
    if not path.exists():
        return
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(f"{path}/"):
            run("umount", "--lazy", mount)
    shutil.rmtree(path)
