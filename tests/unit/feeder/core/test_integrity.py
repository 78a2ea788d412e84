import time
from collections.abc import Sequence
from typing import Any

import pytest

from feedplane_feeder.core.chunks import DAY_NS, HOUR_NS
from feedplane_feeder.core.integrity import (
    AlwaysOpen,
    Calendar,
    Listed,
    MissingDay,
    Repair,
    RepairGroup,
    Tried,
    check_days,
    drop_tried,
    group_repairs,
    plan_repairs,
)

FIRST = 20_000 * DAY_NS
DAYS = [FIRST + number * DAY_NS for number in range(5)]


class Weekdays:
    """Two sessions a day with a pause at noon; shut on the third day, half on the fourth."""

    def sessions(self, day_ns: int) -> Sequence[tuple[int, int]]:
        number = (day_ns - FIRST) // DAY_NS
        if number == 2:
            return ()
        morning, afternoon = (1 * HOUR_NS, 4 * HOUR_NS), (5 * HOUR_NS, 7 * HOUR_NS)
        return (morning,) if number == 3 else (morning, afternoon)


def missing(
    listed: Listed, held: dict[int, int], calendar: Calendar | None = None
) -> list[MissingDay]:
    counts = {(listed.instrument_id, listed.channel): held}
    return list(check_days([listed], DAYS, counts, calendar or AlwaysOpen()))


def test_days_with_every_bar_are_complete() -> None:
    listed = Listed("B.V", "bar-1m")
    assert missing(listed, dict.fromkeys(DAYS, 1_440)) == []


def test_day_that_lacks_one_bar_is_named() -> None:
    held = {**dict.fromkeys(DAYS, 1_440), DAYS[2]: 1_439}
    assert missing(Listed("B.V", "bar-1m"), held) == [
        MissingDay("B.V", "bar-1m", DAYS[2], 1_439, 1_440)
    ]


def test_holidays_and_half_days_expect_what_the_sessions_hold() -> None:
    held = {DAYS[0]: 300, DAYS[1]: 299, DAYS[3]: 180}
    found = missing(Listed("B.V", "bar-1m"), held, Weekdays())
    assert [(each.day_ns, each.expected) for each in found] == [(DAYS[1], 300), (DAYS[4], 300)]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (Listed("B.V", "bar-1h", listed_ns=DAYS[3]), {DAYS[3]: 24, DAYS[4]: 24}),
        (Listed("B.V", "bar-1h", listed_ns=DAYS[4] + 6 * HOUR_NS), {DAYS[4]: 18}),
        (Listed("B.V", "bar-1h", delisted_ns=DAYS[0] + HOUR_NS), {DAYS[0]: 1}),
        (Listed("B.V", "bar-1h", listed_ns=DAYS[4] + DAY_NS), {}),
    ],
)
def test_nothing_is_expected_outside_the_listing(listed: Listed, expected: dict[int, int]) -> None:
    assert {each.day_ns: each.expected for each in missing(listed, {})} == expected


def test_session_before_the_listing_of_its_day_expects_nothing() -> None:
    listed = Listed("B.V", "bar-1h", listed_ns=DAYS[4] + 5 * HOUR_NS)
    (found,) = missing(listed, {}, Weekdays())
    assert found.expected == 2


def test_trades_are_missing_where_there_are_none_at_all() -> None:
    found = missing(Listed("B.V", "trade"), dict.fromkeys(DAYS[1:], 1), Weekdays())
    assert found == [MissingDay("B.V", "trade", DAYS[0], 0, None)]


def test_missing_days_side_by_side_are_one_repair() -> None:
    days = [MissingDay("B.V", "trade", DAYS[n], 0, None) for n in (3, 0, 1)]
    other = MissingDay("C.V", "trade", DAYS[2], 0, None)
    assert plan_repairs([*days, other]) == (
        Repair(instrument_id="B.V", channel="trade", start_ns=DAYS[0], end_ns=DAYS[2]),
        Repair(instrument_id="B.V", channel="trade", start_ns=DAYS[3], end_ns=DAYS[4]),
        Repair(instrument_id="C.V", channel="trade", start_ns=DAYS[2], end_ns=DAYS[3]),
    )
    assert plan_repairs([]) == ()


def test_same_days_of_many_instruments_are_one_group() -> None:
    def repair(instrument_id: str, channel: str, first: int, count: int) -> Repair:
        start_ns = DAYS[first]
        return Repair(
            instrument_id=instrument_id,
            channel=channel,
            start_ns=start_ns,
            end_ns=start_ns + count * DAY_NS,
        )

    repairs = [
        repair("C.V", "trade", 1, 2),
        repair("B.V", "trade", 1, 2),
        repair("A.V", "bar-1m", 1, 2),
        repair("A.V", "trade", 1, 2),
        repair("B.V", "trade", 4, 1),
        repair("B.V", "bar-1m", 0, 1),
    ]
    assert [
        (group.instrument_ids, group.channels, group.start_ns) for group in group_repairs(repairs)
    ] == [
        (("B.V",), ("bar-1m",), DAYS[0]),
        (("A.V",), ("bar-1m", "trade"), DAYS[1]),
        (("B.V", "C.V"), ("trade",), DAYS[1]),
        (("B.V",), ("trade",), DAYS[4]),
    ]
    assert group_repairs(repairs[:1]) == (
        RepairGroup(instrument_ids=("C.V",), channels=("trade",), start_ns=DAYS[1], end_ns=DAYS[3]),
    )


@pytest.mark.parametrize(
    ("tried", "left"),
    [
        pytest.param({}, False, id="asked for, and no more came"),
        pytest.param({"held": 7}, True, id="held more then"),
        pytest.param({"held": None}, True, id="failed before the start"),
        pytest.param({"held": None, "finished_ns": DAYS[4]}, False, id="failed since the start"),
        pytest.param({"start_ns": DAYS[2] + 1}, True, id="a part of the day"),
        pytest.param({"end_ns": DAYS[3] - 1}, True, id="another part of the day"),
        pytest.param({"start_ns": DAYS[0], "held": 99}, False, id="days around it as well"),
        pytest.param({"channel": "trade"}, True, id="another channel"),
    ],
)
def test_day_that_was_tried_in_vain_is_left_alone(tried: dict[str, Any], left: bool) -> None:
    day = MissingDay("B.V", "bar-1m", DAYS[2], 6, 1_440)
    fields: dict[str, Any] = {
        "instrument_id": "B.V",
        "channel": "bar-1m",
        "start_ns": DAYS[2],
        "end_ns": DAYS[3],
        "held": 6,
        "finished_ns": DAYS[4] - 1,
    }
    assert drop_tried([day], [Tried(**{**fields, **tried})], DAYS[4]) == ((day,) if left else ())


def test_thousands_of_instruments_are_decided_within_seconds() -> None:
    days = [FIRST + number * DAY_NS for number in range(30)]
    listed = [Listed(f"S{number}.V", "bar-1m") for number in range(8_000)]
    counts = {(each.instrument_id, "bar-1m"): dict.fromkeys(days, 1_440) for each in listed[:-1]}
    began = time.process_time()
    found = list(check_days(listed, days, counts, AlwaysOpen()))
    assert time.process_time() - began < 5
    assert len(found) == 30


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        pytest.param("bar-1d", [1, 1, 1, 1], id="a bar for each day that trades"),
        pytest.param("bar-1w", [1], id="a bar where the week begins"),
    ],
)
def test_bars_of_days_and_longer_open_at_midnight(channel: str, expected: list[int]) -> None:
    found = missing(Listed("B.V", channel), {}, Weekdays())
    assert [each.expected for each in found] == expected
    assert DAYS[2] not in {each.day_ns for each in found}
