import json
from itertools import pairwise
from typing import Any

import pytest

from feedplane_simulator.config import Market
from feedplane_simulator.instruments import build_instruments
from feedplane_simulator.load import (
    LAPS_MAX,
    Kind,
    LapEncoder,
    LapPlan,
    LapTemplate,
    build_slots,
    choose_streams,
    first_lap,
)

NOW = 1_700_000_000_123


def build_encoder(pattern: str, market: Market = Market.SPOT, symbols: int = 3) -> LapEncoder:
    instruments = build_instruments(market, symbols)
    plan = LapPlan(build_slots(pattern), [i.symbol for i in instruments], first_lap(0))
    return LapEncoder(market, plan, instruments, seed=7)


def read_frames(data: bytes) -> list[Any]:
    frames, at = [], 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        frames.append(json.loads(data[start : start + size]))
        at = start + size
    return frames


@pytest.mark.parametrize("last_id", [0, 10**9, 123_456_789_012, 99_999_999 * 10, 10**15 - 1])
def test_first_lap_keeps_ids_above_and_as_wide(last_id: int) -> None:
    lap = first_lap(last_id)
    assert lap * 10 > last_id
    assert len(str(lap - 1)) == len(str(lap + LAPS_MAX))


def test_rendered_laps_follow_on_each_other() -> None:
    encoder = build_encoder("aggTrade")
    template = LapTemplate(encoder, {(1, Kind.AGG_TRADE): "ethusdt@aggTrade"}, combined=False)
    frames = []
    for laps in range(3):
        frames += read_frames(template.render(0, 300, encoder.plan.lap + laps, NOW + laps))
    assert [f["a"] for f in frames] == [encoder.plan.lap * 100 + n for n in range(300)]
    assert {f["s"] for f in frames} == {"ETHUSDT"}
    assert [f["T"] for f in frames[::100]] == [NOW, NOW + 1, NOW + 2]


def test_rendered_slices_join_to_the_lap() -> None:
    encoder = build_encoder("mix")
    streams = choose_streams(
        encoder.plan, ["btcusdt@depth@100ms", "ethusdt@bookTicker", "bnbusdt@kline_1m"]
    )
    template = LapTemplate(encoder, streams, combined=True)
    lap = encoder.plan.lap
    whole = template.render(0, 300, lap, NOW)
    parts = [template.render(start, start + 25, lap, NOW) for start in range(0, 300, 25)]
    assert b"".join(parts) == whole
    assert template.frame_counts[-1] == len(read_frames(whole))


@pytest.mark.parametrize("market", Market)
def test_mixed_laps_chain_their_depth(market: Market) -> None:
    encoder = build_encoder("mix", market)
    template = LapTemplate(encoder, {(0, Kind.DEPTH): "btcusdt@depth@100ms"}, combined=False)
    frames = []
    for laps in range(2):
        frames += read_frames(template.render(0, 300, encoder.plan.lap + laps, NOW))
    assert all(b["U"] == a["u"] + 1 for a, b in pairwise(frames))
    if market is Market.USDM:
        assert all(b["pu"] == a["u"] for a, b in pairwise(frames))
    best_bid = max(float(price) for f in frames for price, _ in f["b"])
    assert best_bid < min(float(price) for f in frames for price, _ in f["a"])


def test_plan_arithmetic_agrees_with_rendered_frames() -> None:
    encoder = build_encoder("mix")
    plan = encoder.plan
    names = {(i, kind): f"{s.lower()}@{kind}" for i, s in enumerate(plan.symbols) for kind in Kind}
    names = {key: f"{v}_1m" if key[1] is Kind.KLINE else v for key, v in names.items()}
    template = LapTemplate(encoder, names, combined=True)
    seen: dict[tuple[int, Kind], list[int]] = {key: [] for key in names}
    position = 0
    for laps in range(2):
        for event in range(plan.events_per_lap):
            for key, ids in seen.items():
                assert plan.count(key[1], key[0], position) == len(ids)
            [frame] = read_frames(template.render(event, event + 1, plan.lap + laps, NOW))
            key = next(key for key, name in names.items() if name == frame["stream"])
            data = frame["data"]
            if key[1] is not Kind.KLINE:
                sequence = data.get("a") if key[1] is Kind.AGG_TRADE else data["u"]
                assert plan.sequence(key[1], len(seen[key])) == sequence
            if key[1] is Kind.AGG_TRADE:
                assert plan.index_of_trade(data["a"]) == len(seen[key])
                assert plan.position_of_trade(key[0], len(seen[key])) == position
            seen[key].append(position)
            position += 1


def test_chosen_streams_cover_families_of_a_kind() -> None:
    plan = build_encoder("mix").plan
    asked = ["btcusdt@kline_5m", "btcusdt@depth", "ethusdt@trade", "nonesuch@aggTrade"]
    assert choose_streams(plan, asked) == {
        (0, Kind.KLINE): "btcusdt@kline_5m",
        (0, Kind.DEPTH): "btcusdt@depth",
    }


def test_bars_of_a_load_open_on_the_minute() -> None:
    encoder = build_encoder("mix")
    template = LapTemplate(encoder, {(0, Kind.KLINE): "btcusdt@kline_1m"}, combined=False)
    [first, *_] = read_frames(template.render(0, 300, encoder.plan.lap, NOW))
    assert first["k"]["t"] == NOW // 60_000 * 60_000
    assert first["k"]["T"] == first["k"]["t"] + 59_999
