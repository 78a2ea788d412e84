"""Builds the library that stands in for CTP's, and the locale that its binding wants.

A library of the same name that is loaded first (LD_PRELOAD) is the one the binding is linked with,
so the installed package stays as it is.
"""

import fcntl
import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("ctp_shim.c")
BINDINGS = Path(__file__).with_name("ctp_bindings")
I18N = Path("usr/share/i18n")


def cache_folder() -> Path:
    """Return where what was built is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "feedplane-ctp"


def environment() -> dict[str, str]:
    """Return the variables under which a feeder meets simulated fronts."""
    bindings = [str(BINDINGS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "LD_PRELOAD": str(build_shim()),
        "LOCPATH": str(build_locale()),
        "PYTHONPATH": os.pathsep.join(bindings),
    }


def find_soname() -> str:
    """Return the name under which the installed binding asks for the library."""
    spec = importlib.util.find_spec("openctp_ctp")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package openctp-ctp is not installed")
    folder = Path(spec.origin).parent.parent / "openctp_ctp.libs"
    (library,) = folder.glob("libthostmduserapi_se*.so")
    return library.name


def build_shim(folder: Path | None = None) -> Path:
    """Return the library, built once for each version of its source."""
    folder = folder or cache_folder()
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    name = find_soname()
    library = folder / digest / name
    with _locked(folder / digest):
        if not library.exists():
            made = library.with_suffix(".new")
            command = [*_compiler(), "-shared", "-fPIC", "-O2", f"-Wl,-soname,{name}"]
            subprocess.run([*command, "-o", str(made), str(SOURCE), "-lpthread"], check=True)
            made.replace(library)
    return library


def build_locale(folder: Path | None = None) -> Path:
    """Return a folder for LOCPATH that holds zh_CN.GB18030."""
    folder = (folder or cache_folder()) / "locale"
    target = folder / "zh_CN.gb18030"
    with _locked(folder):
        if not (target / "LC_CTYPE").exists():
            sources = _locale_sources(folder)
            made = folder / "new"
            shutil.rmtree(made, ignore_errors=True)
            charmap = folder / "GB18030"
            charmap.write_bytes(gzip.decompress((sources / "charmaps/GB18030.gz").read_bytes()))
            # It warns of characters that the locale lists and the charmap lacks, and goes on.
            subprocess.run(
                ["localedef", "-c", "--no-archive", "-f", charmap, "-i", "zh_CN", made],
                check=False,
                capture_output=True,
                env={**os.environ, "I18NPATH": str(sources)},
            )
            made.replace(target)
    return folder


# Of the system where it has them, else out of Debian's package, which is not installed for it.
def _locale_sources(folder: Path) -> Path:
    if (Path("/") / I18N / "charmaps/GB18030.gz").exists():
        return Path("/") / I18N
    subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
    subprocess.run(["apt-get", "download", "locales"], check=True, capture_output=True, cwd=folder)
    (package,) = folder.glob("locales_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "package"], check=True)
    package.unlink()
    return folder / "package" / I18N


def _compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path is not None:
            return [path]
    return [sys.executable, "-m", "ziglang", "cc"]


class _locked:  # noqa: N801 - used like a function
    """Several test processes may build at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / ".lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
