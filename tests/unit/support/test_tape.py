"""The referee of a tape: where it begins, what is lost, named or a stranger."""

from datetime import UTC, datetime
from typing import Any

from tape import Told, judge_rows

MINUTE = 60_000
DAY = 1_440 * MINUTE
BEGAN = 10 * DAY


def bars(*opened: int) -> list[dict[str, Any]]:
    at = [datetime.fromtimestamp((each + MINUTE - 1) / 1000, UTC) for each in opened]
    return [
        {"number": each, "first": each, "ts_event": time}
        for each, time in zip(opened, at, strict=True)
    ]


def emitted(count: int) -> Told:
    return Told({"ids": [BEGAN + each * MINUTE for each in range(count)]}, from_first_row=True)


def test_bars_of_a_backfill_begin_no_tape() -> None:
    old = [BEGAN - DAY, BEGAN - DAY + MINUTE]
    live = [BEGAN + each * MINUTE for each in range(5, 8)]
    verdict = judge_rows("bar-1m", "BTCUSDT", emitted(8), bars(*old, *live), [])
    assert (verdict.emitted, verdict.lost, verdict.foreign) == (3, [], [])
    assert verdict.complete


def test_bar_that_no_row_holds_and_no_gap_names_is_lost() -> None:
    live = [BEGAN + 5 * MINUTE, BEGAN + 7 * MINUTE]
    verdict = judge_rows("bar-1m", "BTCUSDT", emitted(8), bars(BEGAN - DAY, *live), [])
    assert verdict.lost == [BEGAN + 6 * MINUTE]


def test_trade_that_the_venue_never_said_is_a_stranger() -> None:
    rows = [{"number": number, "first": number, "ts_event": None} for number in (1, 2, 3)]
    verdict = judge_rows("trade", "BTCUSDT", Told({"ids": [2, 3]}, from_first_row=True), rows, [])
    assert verdict.foreign == [1]
    assert not verdict.complete
