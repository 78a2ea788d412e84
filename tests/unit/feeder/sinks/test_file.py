"""The file sink: lines by channel and day, no second copies, half lines cut."""

import json
from pathlib import Path

import pytest
from support_sinks import (
    INSTRUMENT,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_snapshot,
    make_trade,
)

from feedplane_api.worker import FileSinkConfig
from feedplane_feeder.core.ports import Batch, Watermark, Written
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.records import Gap, Metric, Quarantined
from feedplane_feeder.sinks.file import FileSink

DAY = "2025-10-09"


async def opened(folder: Path) -> FileSink:
    sink = FileSink(FileSinkConfig(path=str(folder)))
    await sink.open()
    return sink


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_file_sink_writes_one_file_per_channel(tmp_path: Path) -> None:
    sink = await opened(tmp_path / "tape")
    batch = Batch(
        records=[
            make_trade(1),
            make_quote(1),
            make_bar(0),
            make_delta(1, 2),
            Metric(INSTRUMENT, "funding", START_NS, START_NS, "1"),
            make_snapshot(1),
        ],
        gaps=[Gap(INSTRUMENT, "trade", "restart", START_NS, 1, 2)],
        quarantined=[Quarantined(START_NS, "v", "trade", INSTRUMENT, "NegativeSize", "raw")],
    )
    assert await sink.write(batch) == Written(new=6, quarantined=1)
    await sink.close()
    names = sorted(path.name for path in (tmp_path / "tape").iterdir())
    channels = ("bar-1m", "book", "gap", "metric", "quarantine", "quote", "snapshot", "trade")
    assert names == [f"{channel}-{DAY}.jsonl" for channel in channels]
    (trade,) = lines(tmp_path / "tape" / f"trade-{DAY}.jsonl")
    assert (trade["price"], trade["size"]) == ("0.35130000", "6195.00000000")
    (book,) = lines(tmp_path / "tape" / f"book-{DAY}.jsonl")
    assert book["bids"] == [["0.35130000", "6195.00000000"]]


async def test_file_sink_refuses_second_copies(tmp_path: Path) -> None:
    sink = await opened(tmp_path)
    batch = Batch(records=[make_trade(1), make_trade(2), make_trade(1)])
    assert await sink.write(batch) == Written(new=2, duplicate=1)
    assert await sink.write(batch) == Written(duplicate=3)
    await sink.close()
    again = await opened(tmp_path)
    assert await again.write(batch) == Written(duplicate=3)
    late = Batch(records=[make_trade(0)])
    assert await again.write(late) == Written(new=1), "a late record is no second copy"
    await again.close()


async def test_file_sink_keeps_final_bar_last(tmp_path: Path) -> None:
    sink = await opened(tmp_path)
    open_bar, newer = make_bar(0, version=1), make_bar(0, version=2)
    final = make_bar(0, version=3, final=True)
    records = [open_bar, open_bar, newer, final, make_bar(0, version=4)]
    assert await sink.write(Batch(records=records)) == Written(new=3, duplicate=2)
    await sink.close()


async def test_file_sink_cuts_half_line_of_killed_process(tmp_path: Path) -> None:
    sink = await opened(tmp_path)
    await sink.write(Batch(records=[make_trade(1)]))
    await sink.close()
    path = tmp_path / f"trade-{DAY}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"instrument_id":"BT')
    again = await opened(tmp_path)
    await again.write(Batch(records=[make_trade(2)]))
    await again.close()
    assert [line["trade_id"] for line in lines(path)] == [1, 2]


async def test_file_sink_knows_its_watermarks_after_restart(tmp_path: Path) -> None:
    sink = await opened(tmp_path)
    bars = [make_bar(0, final=True), make_bar(1, version=9)]
    await sink.write(Batch(records=[make_trade(7), make_trade(3), make_quote(5), *bars]))
    await sink.close()
    path = tmp_path / f"trade-{DAY}.jsonl"
    path.write_bytes(path.read_bytes() + b"somebody's note\n")
    again = await opened(tmp_path)
    keys = [(INSTRUMENT, name) for name in ("trade", "quote", "bar-1m", "book")]
    assert await again.last(keys) == {
        keys[0]: Watermark(sequence=7, ts_event=make_trade(7).ts_event),
        keys[1]: Watermark(sequence=5, ts_event=make_quote(5).ts_event),
        keys[2]: Watermark(sequence=None, ts_event=make_bar(0).ts_open),
    }
    await again.close()


async def test_file_sink_prints_to_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    sink = FileSink(FileSinkConfig(path="-"))
    await sink.open()
    await sink.write(Batch(records=[make_trade(1)]))
    await sink.close()
    assert b'"trade_id":1' in capfdbinary.readouterr().out


async def test_file_sink_without_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkUnavailableError):
        await opened(tmp_path / "file")
