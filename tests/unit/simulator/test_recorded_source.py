import json
from dataclasses import replace

from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.recorded_source import RecordedSource
from feedplane_simulator.recording import RecordedFrame, Recording
from feedplane_simulator.sources import Window

NOW = 1_700_000_000_000
CONFIG = SimulatorConfig(recordings_loop=False)


def build_recording() -> Recording:
    frames = tuple(
        RecordedFrame(
            1_600_000_000_000.0 + 100 * n,
            "aaausdt@aggTrade",
            "AAAUSDT",
            "aggTrade",
            {"e": "aggTrade", "E": 1, "s": "AAAUSDT", "a": n, "f": n, "l": n, "T": 1, "p": "1"},
        )
        for n in range(5)
    )
    return Recording(market=Market.SPOT, frames=frames)


def test_replay_keeps_the_recorded_pace() -> None:
    source = RecordedSource(build_recording(), CONFIG, NOW)
    counts = [len(source.poll(NOW + at)) for at in (0, 99, 100, 400, 900)]
    assert counts == [1, 0, 1, 3, 0]
    assert source.exhausted


def test_replay_after_a_pause_does_not_burst() -> None:
    source = RecordedSource(build_recording(), CONFIG, NOW)
    source.poll(NOW)
    assert len(source.poll(NOW + 60_000)) == 1


def test_replay_at_rate_steps_frame_by_frame() -> None:
    config = replace(CONFIG, recorded_pace=False, recordings_loop=True)
    source = RecordedSource(build_recording(), config, NOW)
    assert source.poll(NOW) == []
    ids = [event.sequence for _ in range(12) for event in source.step(NOW)]
    assert ids == list(range(12))


def test_replayed_trades_are_answered_by_id_and_time() -> None:
    source = RecordedSource(build_recording(), CONFIG, NOW)
    for at in (0, 100, 200, 300, 400):
        source.poll(NOW + at)
    rows = source.agg_trades("AAAUSDT", Window(limit=2, from_id=1))
    assert [row["a"] for row in rows] == [1, 2]
    assert [row["a"] for row in source.agg_trades("AAAUSDT", Window(limit=2))] == [3, 4]
    assert "e" not in rows[0]


def test_delisted_symbol_is_skipped_and_named() -> None:
    source = RecordedSource(build_recording(), CONFIG, NOW)
    source.set_status("AAAUSDT", NOW, trading=False)
    assert source.poll(NOW + 400) == []
    [entry] = source.exchange_info(NOW)["symbols"]
    assert entry["status"] == "BREAK"
    assert json.loads(json.dumps(entry))["symbol"] == "AAAUSDT"
