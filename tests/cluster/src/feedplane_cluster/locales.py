"""The compiled locale that one venue's native library asks for by name."""

import gzip
import shutil
from pathlib import Path

from feedplane_cluster.cache import Cache
from feedplane_cluster.errors import CommandError
from feedplane_cluster.process import run
from feedplane_cluster.progress import note, step
from feedplane_cluster.rootfs import debian_packages

SOURCES = Path("usr/share/i18n")
LOCALE, CHARMAP = "zh_CN", "GB18030"
FOLDER = "locale"
"""Beside the dependencies, where the feeder's Dockerfile points LOCPATH."""


def compile_locale(cache: Cache) -> Path | None:
    """Return a folder for LOCPATH, made once; None where nothing here can compile one."""
    if shutil.which("localedef") is None:
        note("No localedef here: the feeder's image will lack the locale zh_CN.GB18030")
        return None

    def build(entry: Path) -> None:
        sources = Path("/") / SOURCES
        if not (sources / "charmaps" / f"{CHARMAP}.gz").exists():
            archives = debian_packages(cache, "bookworm", ("locales",))
            (package,) = archives.glob("locales_*.deb")
            run("dpkg-deb", "-x", package, entry / "package")
            sources = entry / "package" / SOURCES
        charmap = entry / CHARMAP
        charmap.write_bytes(gzip.decompress((sources / "charmaps" / f"{CHARMAP}.gz").read_bytes()))
        target = entry / FOLDER / f"{LOCALE}.{CHARMAP.lower()}"
        target.parent.mkdir()
        with step(f"Compiling the locale {LOCALE}.{CHARMAP}"):
            _localedef(charmap, sources, target)
        charmap.unlink()
        shutil.rmtree(entry / "package", ignore_errors=True)

    recipe = {"locale": LOCALE, "charmap": CHARMAP, "suite": "bookworm"}
    return cache.entry("locales", recipe, build) / FOLDER


# It answers 1 for characters that the locale lists and the charmap lacks, and has made the files.
def _localedef(charmap: Path, sources: Path, target: Path) -> None:
    try:
        run(
            *("localedef", "-c", "--no-archive", "-f", charmap, "-i", LOCALE, target),
            env={"I18NPATH": str(sources)},
        )
    except CommandError:
        if not (target / "LC_CTYPE").exists():
            raise
