from datetime import UTC, datetime

import pytest

from feedplane_cli.core.ranges import parse_moment, parse_range
from feedplane_cli.errors import UsageError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T09:30Z", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30+08:00", datetime(2026, 11, 20, 1, 30, tzinfo=UTC)),
        ("36h", datetime(2026, 11, 20, tzinfo=UTC)),
    ],
)
def test_moment_is_read_as_people_type_it(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


def test_range_is_seven_days_unless_said() -> None:
    assert parse_range("", "", NOW) == (datetime(2026, 11, 14, 12, tzinfo=UTC), NOW)
    start, end = parse_range("2026-11-01", "2026-11-02", NOW)
    assert (start.day, end.day) == (1, 2)


@pytest.mark.parametrize(("start", "end"), [("soon", ""), ("2026-11-20", "2026-11-20")])
def test_range_that_is_none_is_refused(start: str, end: str) -> None:
    with pytest.raises(UsageError):
        parse_range(start, end, NOW)
