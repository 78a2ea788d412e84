"""Debian root file systems and packages, from the distribution, into the cache."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from feedplane_cluster.cache import Cache
from feedplane_cluster.errors import CommandError
from feedplane_cluster.machine import install_packages
from feedplane_cluster.process import pipe, run
from feedplane_cluster.progress import step

ASSEMBLY_PROGRAMS = {"debootstrap": "debootstrap", "zstd": "zstd", "xz": "xz-utils", "jq": "jq"}
ARCHIVES = Path("var/cache/apt/archives")
UNNEEDED = (
    "var/cache/apt/archives",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
)


def debian_root(cache: Cache, suite: str, packages: Sequence[str], folder: Path) -> None:
    """Unpack a slim Debian root with these packages into a folder."""
    recipe = {"suite": suite, "packages": sorted(packages), "unneeded": UNNEEDED}

    def build(entry: Path) -> None:
        root = entry / "root"
        with step(f"Assembling a Debian {suite} root with {packages[0]}"):
            debootstrap(suite, packages, root)
            run("rm", "-rf", *(root / path for path in UNNEEDED))
            (root / "var/log").mkdir()
            run("tar", "-C", root, "-I", "zstd -3 -T0", "-cf", entry / "root.tar.zst", ".")
            shutil.rmtree(root)

    archive = cache.entry("debian-root", recipe, build) / "root.tar.zst"
    folder.mkdir(parents=True, exist_ok=True)
    run("tar", "-C", folder, "-I", "zstd", "-xpf", archive)


def debian_packages(cache: Cache, suite: str, packages: Sequence[str]) -> Path:
    """Return a folder with the archives of packages and of all they depend on."""
    recipe = {"suite": suite, "packages": sorted(packages)}

    def build(entry: Path) -> None:
        root = entry / "root"
        with step(f"Fetching Debian {suite} packages for {packages[0]}"):
            debootstrap(suite, packages, root, "--download-only")
        for archive in (root / ARCHIVES).glob("*.deb"):
            archive.rename(entry / archive.name)
        shutil.rmtree(root)

    return cache.entry("debian-packages", recipe, build)


def install_assembly_programs() -> None:
    """Make sure that the programs that put root file systems together are here."""
    install_packages(ASSEMBLY_PROGRAMS, "Assembling images without a registry")


def debootstrap(suite: str, packages: Sequence[str], root: Path, *options: str) -> None:
    """Run debootstrap; FEEDPLANE_DEBIAN_MIRROR names another mirror than its own."""
    install_assembly_programs()
    mirror = [url] if (url := os.environ.get("FEEDPLANE_DEBIAN_MIRROR")) else []
    wanted = f"--include={','.join(packages)}"
    try:
        run("debootstrap", "--variant=minbase", wanted, *options, suite, root, *mirror)
    except CommandError as error:
        log = root / "debootstrap/debootstrap.log"
        detail = log.read_text(errors="replace") if log.exists() else ""
        raise CommandError(error.command, error.code, f"{error.output}\n{detail}") from None


def import_image(root: Path, tag: str, *changes: str) -> None:
    """Make a folder the only layer of an image."""
    wishes = [word for change in changes for word in ("--change", change)]
    pipe(("tar", "-C", root, "-c", "."), ("docker", "import", *wishes, "-", tag))
