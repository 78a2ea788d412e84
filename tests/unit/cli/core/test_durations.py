import pytest

from feedplane_cli.core.durations import parse_duration
from feedplane_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2D", 172_800), (" 5s ", 5)],
)
def test_duration_is_read_as_people_type_it(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "0s", "1w"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Expected a duration"):
        parse_duration(text)
