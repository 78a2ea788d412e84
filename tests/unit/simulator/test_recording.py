import json
from pathlib import Path
from typing import Any

import pytest

from feedplane_simulator.config import Market
from feedplane_simulator.recording import (
    RecordedFrame,
    Recording,
    Restamper,
    find_recordings,
    read_frame,
    read_recording,
)

RECEIVED = 1_600_000_000_100.0
NOW = 1_700_000_000_000


def frame(channel: str, payload: dict[str, Any], received_ms: float = RECEIVED) -> RecordedFrame:
    return RecordedFrame(received_ms, f"aaausdt@{channel}", "AAAUSDT", channel, payload)


def trade(number: int) -> RecordedFrame:
    payload = {"e": "aggTrade", "E": 1_600_000_000_050, "s": "AAAUSDT", "a": number, "p": "1.10"}
    payload |= {
        "q": "2.50",
        "f": number * 3,
        "l": number * 3 + 2,
        "T": 1_600_000_000_049,
        "m": True,
    }
    return frame("aggTrade", payload)


def depth(first: int, last: int, bids: list[list[str]]) -> RecordedFrame:
    payload = {"e": "depthUpdate", "E": 1_600_000_000_050, "s": "AAAUSDT", "U": first, "u": last}
    return frame("depth@100ms", payload | {"b": bids, "a": []})


def bar(opened: int, *, final: bool) -> RecordedFrame:
    inner = {"t": opened, "T": opened + 59_999, "i": "1m", "f": 1, "L": 5, "x": final}
    return frame("kline_1m", {"e": "kline", "E": opened + 1, "s": "AAAUSDT", "k": inner})


def restamper(*frames: RecordedFrame, id_base: int = 0) -> Restamper:
    stamper = Restamper(Recording(market=Market.SPOT, frames=frames), id_base)
    stamper.begin_loop(0, NOW - RECEIVED)
    return stamper


def decode(stamper: Restamper, recorded: RecordedFrame, now_ms: int = NOW) -> Any:
    event = stamper.restamp(recorded, now_ms)
    assert event is not None
    return json.loads(event.payload)


def test_restamp_moves_times_and_nothing_else() -> None:
    recorded = trade(7)
    stamped = decode(restamper(recorded), recorded)
    assert (stamped["E"], stamped["T"]) == (NOW - 50, NOW - 51)
    assert stamped | {"E": 0, "T": 0} == recorded.payload | {"E": 0, "T": 0}
    assert list(stamped) == list(recorded.payload)


def test_restamp_never_stamps_the_future() -> None:
    recorded = frame("bookTicker", {"u": 5, "s": "AAAUSDT", "E": RECEIVED + 30})
    assert decode(restamper(recorded), recorded)["E"] == NOW


def test_next_loop_continues_the_ids() -> None:
    frames = [trade(7), trade(8), trade(9)]
    stamper = restamper(*frames)
    stamper.begin_loop(1, NOW - RECEIVED)
    again = [decode(stamper, each) for each in frames]
    assert [t["a"] for t in again] == [10, 11, 12]
    assert again[0]["f"] == frames[-1].payload["l"] + 1


def test_id_base_is_added_to_all_ids() -> None:
    recorded = trade(7)
    assert decode(restamper(recorded, id_base=1000), recorded)["a"] == 1007


def test_next_loop_of_a_book_clears_the_old_levels() -> None:
    frames = [depth(5, 6, [["1.00", "3.0"], ["0.90", "2.0"]]), depth(7, 9, [["0.90", "0.0"]])]
    stamper = restamper(*frames)
    for each in frames:
        decode(stamper, each)
    assert stamper.levels("AAAUSDT")["b"] == {"1.00": "3.0"}
    assert stamper.last_update_id("AAAUSDT") == 9
    stamper.begin_loop(1, NOW - RECEIVED)
    again = depth(5, 6, [["0.80", "1.0"]])
    first = decode(stamper, again)
    assert (first["U"], first["u"]) == (10, 11)
    assert first["b"] == [["0.80", "1.0"], ["1.00", "0.0"]]
    assert stamper.levels("AAAUSDT")["b"] == {"0.80": "1.0"}


def test_bar_final_a_loop_ago_is_not_emitted_again() -> None:
    opened = 1_600_000_000_000 // 60_000 * 60_000
    frames = [bar(opened, final=True), bar(opened + 60_000, final=False)]
    stamper = restamper(*frames)
    stamped = [decode(stamper, each) for each in frames]
    assert all(s["k"]["t"] % 60_000 == 0 for s in stamped)
    stamper.begin_loop(1, NOW - RECEIVED + 1000)
    assert stamper.restamp(frames[0], NOW + 1000) is None
    assert stamper.restamp(frames[1], NOW + 1000) is not None


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ('{"stream":"a@trade","data":{"e":"trade"}}', "a@trade"),
        ('{"e":"aggTrade","s":"AB"}', "ab@aggTrade"),
        ('{"u":1,"s":"AB","b":"1"}', "ab@bookTicker"),
        ('{"e":"kline","s":"AB","k":{"i":"5m"}}', "ab@kline_5m"),
        ('{"e":"depthUpdate","s":"AB"}', "ab@depth@100ms"),
    ],
)
def test_frame_belongs_to_its_stream(text: str, stream: str) -> None:
    read = read_frame("1.5", text)
    assert read is not None
    assert (read.stream, read.received_ms) == (stream, 1500.0)


def test_reply_in_a_recording_is_left_out() -> None:
    assert read_frame("1.5", '{"result":null,"id":1}') is None


def test_recording_is_read_with_its_exchange_info(tmp_path: Path) -> None:
    lines = ["wss://stream.example/stream <-> 1.0", '1.5: {"stream":"ab@trade","data":{"t":1}}', ""]
    (tmp_path / "x.ws.txt").write_text("\n".join(lines))
    info = 'https://api.example/api/v3/exchangeInfo -> 1.0: {"symbols":[]}\nconfiguration: {}\n'
    (tmp_path / "x.exchangeInfo.txt").write_text(info)
    recording = read_recording(tmp_path / "x.ws.txt")
    assert (recording.market, len(recording.frames)) == (Market.SPOT, 1)
    assert recording.exchange_info == {"symbols": []}
    assert find_recordings(tmp_path) == {Market.SPOT: recording}
