"""Writing a bundle to a file that nobody else on the machine can read."""

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from feedplane_cli.errors import CliError, UsageError

SUFFIXES: Final = (".tar.gz", ".tgz", ".zip")
MODE: Final = 0o600


def check_path(path: Path) -> None:
    """Refuse a file that could not be written, before anything is collected.

    Raises:
        UsageError: another form than .tar.gz and .zip, or a folder that is not there.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(
            f"Expected a file that ends in {', '.join(SUFFIXES)}, was {path.name!r}.",
            "As in: feedplane report spot -o spot.tar.gz",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", "Make it, or name another file.")


def write_archive(path: Path, root: str, files: Mapping[str, str], now: datetime) -> int:
    """Write the files under one folder; the size in bytes.

    Raises:
        CliError: the file cannot be written.
    """
    pack = _pack_zip if path.name.endswith(".zip") else _pack_tar
    content = pack({f"{root}/{name}": text.encode() for name, text in files.items()}, now)
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error
    return len(content)


def _pack_tar(files: Mapping[str, bytes], now: datetime) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mtime = now.timestamp()
            entry.mode = MODE
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _pack_zip(files: Mapping[str, bytes], now: datetime) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, now.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = MODE << 16
            archive.writestr(entry, content)
    return stream.getvalue()
