from datetime import UTC, datetime

import pytest

from feedplane_api.backfill import Schedule
from feedplane_operator.core.cron import check_schedule, due_time, next_time

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        pytest.param("30 1 * * *", "Etc/UTC", at(22, 1, 30), id="each night"),
        pytest.param("0 2 * * *", "Asia/Shanghai", at(21, 18), id="night in Shanghai"),
        pytest.param("*/15 * * * *", "Etc/UTC", at(21, 12, 15), id="each quarter"),
        pytest.param("0 0 * * MON", "Etc/UTC", at(23, 0), id="Mondays"),
        pytest.param("0 0 L * *", "Etc/UTC", at(30, 0), id="last of the month"),
    ],
)
def test_next_time_follows_expression_and_zone(cron: str, zone: str, expected: datetime) -> None:
    assert next_time(Schedule(cron=cron, time_zone=zone), NOON) == expected


def test_time_that_is_now_is_due_and_not_next() -> None:
    noon = Schedule(cron="0 12 * * *")
    assert due_time(noon, at(21, 11), NOON) == NOON
    assert next_time(noon, NOON) == at(22, 12)


def test_many_times_that_passed_are_the_last_one() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert due_time(hourly, at(20, 3), at(21, 11, 59)) == at(21, 11)


def test_nothing_is_due_twice() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert due_time(hourly, at(21, 11), at(21, 11, 59)) is None


def test_hour_that_the_clock_skips_is_not_lost() -> None:
    # In Berlin two o'clock does not exist on the 29th of March 2026.
    berlin = Schedule(cron="30 2 * * *", time_zone="Europe/Berlin")
    found = next_time(berlin, at(28, 12, month=3))
    assert at(29, 0, 30, month=3) <= found <= at(29, 1, 30, month=3)


@pytest.mark.parametrize(
    ("cron", "zone", "path"),
    [
        pytest.param("61 * * * *", "Etc/UTC", "spec.schedule.cron", id="no such minute"),
        pytest.param("0 0 30 2 *", "Etc/UTC", "spec.schedule.cron", id="no such day"),
        pytest.param("0 0 * * *", "Mars/Olympus", "spec.schedule.timeZone", id="no such zone"),
    ],
)
def test_schedule_that_cannot_be_kept_names_the_field(cron: str, zone: str, path: str) -> None:
    wrong = check_schedule(Schedule(cron=cron, time_zone=zone), NOON)
    assert wrong is not None
    assert wrong.startswith(path)


def test_schedule_that_can_be_kept_is_good() -> None:
    assert check_schedule(Schedule(cron="30 1 * * *"), NOON) is None
