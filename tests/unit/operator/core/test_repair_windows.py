from datetime import UTC, datetime, timedelta
from typing import Any

from feedplane_api.backfill import Backfill
from feedplane_api.subscription import MAX_INSTRUMENTS
from feedplane_api.worker import LargeGap, MissingDays
from feedplane_operator.core.repair_windows import (
    Window,
    find_day_windows,
    find_windows,
    window_of,
)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
TODAY = datetime(2026, 11, 21, tzinfo=UTC)
BEGAN = TODAY + timedelta(hours=10)


def gap(symbol: str = "BTCUSDT", start: datetime = BEGAN, **changes: Any) -> LargeGap:
    fields: dict[str, Any] = {
        "symbol": symbol,
        "channel": "trade",
        "start": start,
        "end": start + 5 * MINUTE,
        "since_time": BEGAN,
        **changes,
    }
    return LargeGap(**fields)


def lack(*symbols: str, channels: tuple[str, ...] = ("trade",), days: int = 1) -> MissingDays:
    return MissingDays(symbols=symbols, channels=channels, start=TODAY - days * DAY, end=TODAY)


def test_windows_grow_by_what_lies_near() -> None:
    gaps = [gap(), gap(start=BEGAN + 30 * MINUTE), gap("ETHUSDT", BEGAN + 3 * 60 * MINUTE)]
    first, second = find_windows(gaps)
    assert (first.start, first.end) == (BEGAN, BEGAN + 35 * MINUTE)
    assert second.instruments == {"ETHUSDT"}


def test_window_covers_parts_of_minutes() -> None:
    inside = gap(
        start=BEGAN + timedelta(seconds=7), end=BEGAN + 2 * MINUTE + timedelta(milliseconds=1)
    )
    (window,) = find_windows([inside])
    assert (window.start, window.end) == (BEGAN, BEGAN + 3 * MINUTE)


def test_missing_days_of_two_shards_are_one_window() -> None:
    windows = find_day_windows([lack("B"), lack("A", days=2), lack("C")], lambda *_: True)
    assert windows == (
        Window(
            start=TODAY - 2 * DAY,
            end=TODAY,
            instruments=frozenset("A"),
            channels=frozenset({"trade"}),
            whole_days=True,
        ),
        Window(
            start=TODAY - DAY,
            end=TODAY,
            instruments=frozenset("BC"),
            channels=frozenset({"trade"}),
            whole_days=True,
        ),
    )


def test_instruments_that_lack_other_channels_are_apart() -> None:
    both = lack("A", "B", "C", channels=("bar-1m", "trade"))

    def wanted(symbol: str, channel: str, start: datetime, end: datetime) -> bool:
        assert (start, end) == (TODAY - DAY, TODAY)
        return symbol == "A" or (symbol == "B" and channel == "trade")

    windows = find_day_windows([both], wanted)
    assert [(set(each.instruments), set(each.channels)) for each in windows] == [
        ({"A"}, {"bar-1m", "trade"}),
        ({"B"}, {"trade"}),
    ]


def test_window_has_no_more_instruments_than_a_backfill() -> None:
    names = [f"S{number:05d}" for number in range(MAX_INSTRUMENTS + 1)]
    windows = find_day_windows([lack(*names)], lambda *_: True)
    assert [len(each.instruments) for each in windows] == [MAX_INSTRUMENTS, 1]


def test_backfill_with_a_moving_range_has_no_window() -> None:
    spec: dict[str, Any] = {
        "feedSourceRef": {"name": "spot"},
        "instruments": ["A"],
        "channels": ["trade"],
        "range": {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"},
    }
    fixed = window_of(parse(spec))
    assert fixed is not None
    assert fixed.covers("A", "trade", TODAY - DAY, TODAY)
    assert not fixed.covers("A", "trade", TODAY - DAY, TODAY + MINUTE)
    assert not fixed.covers("A", "bar-1m", TODAY - DAY, TODAY)
    assert window_of(parse({**spec, "range": None, "window": {"lastDays": 1}})) is None


def parse(spec: dict[str, Any]) -> Backfill:
    return Backfill.parse(
        {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "Backfill",
            "metadata": {"name": "history", "namespace": "default"},
            "spec": spec,
        }
    )
