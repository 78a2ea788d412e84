import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from support_cli import NOW

from feedplane_cli.archive import check_path, write_archive
from feedplane_cli.errors import CliError, UsageError

FILES = {"manifest.json": "{}\n", "trading/feedsources/spot.yaml": "a: ü\n"}


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz"])
def test_tar_holds_the_files_below_one_folder(tmp_path: Path, name: str) -> None:
    size = write_archive(tmp_path / name, "root", FILES, NOW)
    assert size == (tmp_path / name).stat().st_size
    with tarfile.open(tmp_path / name) as archive:
        assert archive.getnames() == ["root/manifest.json", "root/trading/feedsources/spot.yaml"]
        member = archive.extractfile("root/trading/feedsources/spot.yaml")
        assert member is not None
        assert member.read().decode() == "a: ü\n"


def test_zip_holds_the_files_below_one_folder(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.zip", "root", FILES, NOW)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["root/manifest.json", "root/trading/feedsources/spot.yaml"]
        assert archive.read("root/manifest.json") == b"{}\n"


def test_archive_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_text("old")
    path.chmod(0o644)
    write_archive(path, "root", FILES, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_of_another_form_is_refused_first(tmp_path: Path) -> None:
    check_path(tmp_path / "x.tar.gz")
    with pytest.raises(UsageError, match=r"was 'x\.rar'"):
        check_path(tmp_path / "x.rar")
    with pytest.raises(UsageError, match="no folder"):
        check_path(tmp_path / "absent" / "x.zip")


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "x.zip"
    folder.mkdir()
    with pytest.raises(CliError, match="cannot be written"):
        write_archive(folder, "root", FILES, NOW)
