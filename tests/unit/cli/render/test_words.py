from datetime import timedelta

import pytest
from support_cli import NOW

from feedplane_cli.render.words import (
    render_age,
    render_count,
    render_milliseconds,
    render_seconds,
    style_of,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (310, "5m10s"),
        (3600, "1h"),
        (11_100, "3h5m"),
        (187_200, "2d4h"),
    ],
)
def test_duration_is_written_in_two_units(seconds: int, text: str) -> None:
    assert render_seconds(seconds) == text


def test_age_of_a_moment_ahead_is_nothing() -> None:
    assert render_age(NOW + timedelta(seconds=3), NOW) == "0s"
    assert render_age(None, NOW) == "-"


def test_figures_are_written_for_people() -> None:
    assert render_count(1234567) == "1,234,567"
    assert render_count(None) == "-"
    assert render_milliseconds(12) == "12 ms"
    assert render_milliseconds(12_345) == "12.3 s"
    assert render_milliseconds(None) == "-"


def test_bad_states_are_red_and_others_plain() -> None:
    assert "red" in style_of("Disconnected")
    assert style_of("Whatever") == ""
