"""The spill folder: order, bounds, and what a killed process leaves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from support_sinks import make_trade

from feedplane_feeder.core.ports import Batch
from feedplane_feeder.errors import SpillUnusableError
from feedplane_feeder.records import Trade
from feedplane_feeder.spill import SpillFolder

BOUND = 1_000_000
Opened = Callable[..., SpillFolder]


def trades(*ids: int) -> Batch:
    return Batch(records=[make_trade(number) for number in ids])


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Open spill folders, and close them all in the end."""
    with ExitStack() as stack:

        def open_folder(folder: Path, bound_bytes: int = BOUND) -> SpillFolder:
            spill = SpillFolder(folder, bound_bytes)
            stack.callback(spill.close)
            spill.open()
            return spill

        yield open_folder


def ids(batches: Sequence[Batch]) -> list[int]:
    records = [record for batch in batches for record in batch.records]
    return [record.trade_id for record in records if isinstance(record, Trade)]


def read_all(spill: SpillFolder) -> list[int]:
    found = []
    while not spill.empty:
        found += ids(spill.read(1))
        spill.commit()
    return found


def test_spill_gives_back_in_order_and_deletes(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    for number in range(5):
        assert spill.append(trades(number))
    assert spill.held_bytes > 0
    assert read_all(spill) == [0, 1, 2, 3, 4]
    assert spill.held_bytes == 0
    assert list(tmp_path.glob("*.spill")) == []


def test_spill_reads_again_what_was_not_committed(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    spill.append(trades(1))
    spill.append(trades(2))
    assert ids(spill.read(1)) == ids(spill.read(1)) == [1]
    spill.commit()
    assert ids(spill.read(10)) == [2]


def test_spill_takes_appends_while_it_is_read(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    spill.append(trades(1))
    assert ids(spill.read(10)) == [1]
    spill.append(trades(2))
    spill.commit()
    spill.append(trades(3))
    assert read_all(spill) == [2, 3]


def test_spill_of_killed_process_loses_only_torn_tail(opened: Opened, tmp_path: Path) -> None:
    killed = opened(tmp_path)
    killed.append(trades(1))
    killed.append(trades(2, 3))
    killed.close()
    (segment,) = tmp_path.glob("*.spill")
    segment.write_bytes(segment.read_bytes()[:-3])
    spill = opened(tmp_path)
    assert spill.left_over
    spill.append(trades(4))
    assert ids(spill.read(10)) == [1]
    assert not spill.commit(), "what follows a torn tail does not continue it"
    assert not spill.left_over
    assert read_all(spill) == [4]


def test_spill_of_nothing_whole_is_removed(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "001000000.spill").write_bytes(b"\x00\x00\x00\xff half")
    (tmp_path / "notes.spill").write_bytes(b"somebody's")
    assert opened(tmp_path).empty
    assert [path.name for path in tmp_path.glob("*.spill")] == ["notes.spill"]


def test_spill_past_its_bound_refuses_until_replayed(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path, bound_bytes=2_000)
    taken = 0
    while spill.append(trades(taken)):
        taken += 1
    assert spill.nearly_full
    assert spill.held_bytes <= 2_000
    assert not spill.append(Batch())
    segments = len(list(tmp_path.glob("*.spill")))
    while len(list(tmp_path.glob("*.spill"))) == segments:
        spill.read(1)
        spill.commit()
    assert spill.append(trades(taken))


def test_spill_prepend_is_read_first(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    spill.append(trades(2))
    assert spill.prepend(trades(1))
    assert spill.prepend(trades(0))
    assert read_all(spill) == [0, 1, 2]


def test_spill_on_full_disk_keeps_whole_frames(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = opened(tmp_path)
    spill.append(trades(1))

    class FullDisk:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            self.file.write(data[:10])  # type: ignore[attr-defined]  # a real file
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    monkeypatch.setattr(spill, "_writing", FullDisk(spill._writing))
    assert not spill.append(trades(2))
    assert spill.append(trades(3))
    assert read_all(spill) == [1, 3]


def test_spill_folder_in_use_is_refused(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    with pytest.raises(SpillUnusableError):
        opened(tmp_path)
    spill.close()
    opened(tmp_path).close()


def test_spill_folder_that_is_a_file_is_refused(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpillUnusableError):
        opened(tmp_path / "file")


def test_spill_damaged_while_in_use_is_told(opened: Opened, tmp_path: Path) -> None:
    spill = opened(tmp_path)
    spill.append(trades(1))
    (segment,) = tmp_path.glob("*.spill")
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    with pytest.raises(SpillUnusableError):
        spill.read(1)
