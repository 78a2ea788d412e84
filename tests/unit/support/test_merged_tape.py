from typing import Any

import msgspec
import pytest
from merged_tape import Ledger, Row, Verdict, Window, judge

from feedplane_simulator.events import VenueEvent

DAY = "2026-01-12"
SECOND = 1_000_000_000


def ledger(count: int = 4) -> Ledger:
    """Four snapshots, a second apart, with volumes 10, 20, 30, 40."""
    told = Ledger()
    for number in range(1, count + 1):
        facts = {"ts_event": number * SECOND, "volume": 10 * number, "trading_day": DAY}
        payload = msgspec.json.encode({**facts, "last_price": "1"})
        event = VenueEvent(
            channel="snapshot", symbol="rb", stream="rb", sequence=number, payload=payload
        )
        told.record("ctp", event, number)
    return told


def row(number: int, **changes: Any) -> Row:
    said = {"ts_event": number * SECOND, "volume": 10 * number, "trading_day": DAY, **changes}
    return said["ts_event"], said["volume"], said["trading_day"]


WHOLE = [row(1), row(2), row(3), row(4)]


@pytest.mark.parametrize(
    ("rows", "windows", "verdict"),
    [
        (WHOLE, [(0, None)], Verdict(emitted=3, rows=4)),
        ([row(1), row(2), row(4)], [(0, None)], Verdict(emitted=3, rows=3, lost=1)),
        ([row(2), row(3), row(4)], [(0, None)], Verdict(emitted=3, rows=3)),
        ([row(1), row(2), row(4)], [(0, 2), (2, 3)], Verdict(emitted=3, rows=3, lost=1)),
        ([row(1), row(2), row(4)], [(0, 2), (3, None)], Verdict(emitted=3, rows=3, unsent=1)),
        ([*WHOLE[:2], row(2), *WHOLE[2:]], [(0, None)], Verdict(emitted=3, rows=5, doubled=1)),
        (
            [row(1), row(2), row(2, ts_event=3 * SECOND), row(3), row(4)],
            [(0, None)],
            Verdict(emitted=3, rows=5, doubled=1, untrue=1),
        ),
        (
            [row(1), row(3, ts_event=SECOND + 1), row(2), row(4)],
            [(0, None)],
            Verdict(emitted=3, rows=4, regressed=1, untrue=1),
        ),
        (
            [row(1), row(2), row(3, trading_day="2026-01-10"), row(4)],
            [(0, None)],
            Verdict(emitted=3, rows=4, untrue=1),
        ),
        ([*WHOLE, row(5)], [(0, None)], Verdict(emitted=3, rows=5, untrue=1)),
    ],
    ids=[
        "whole",
        "one is missing",
        "one is missing from before the tape",
        "one is missing that only a later line was sent",
        "one is missing that no line was sent",
        "the same row twice",
        "one snapshot with two times",
        "a volume that falls",
        "another trading day",
        "a volume that never was",
    ],
)
def test_merged_tape_is_judged_by_what_was_emitted(
    rows: list[Row], windows: list[Window], verdict: Verdict
) -> None:
    assert judge(ledger().tapes["rb"], 1, windows, rows) == verdict


def test_verdicts_of_instruments_are_summed_up() -> None:
    total = Verdict()
    for each in (Verdict(emitted=3, rows=4, lost=1), Verdict(emitted=2, rows=2, untrue=1)):
        total.add(each)
    assert total == Verdict(emitted=5, rows=6, lost=1, untrue=1)
    assert total.broken == 2
