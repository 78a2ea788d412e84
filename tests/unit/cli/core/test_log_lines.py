import json

import pytest

from feedplane_cli.core.log_lines import LogLine, parse_line


def test_json_line_is_taken_apart() -> None:
    line = parse_line(
        json.dumps(
            {
                "ts": "2026-11-21T12:00:00.250Z",
                "level": "WARNING",
                "component": "session",
                "msg": "gap.detected",
                "symbol": "BTCUSDT",
                "missing": 3,
                "error": "no route",
                "traceback": "Traceback\n  line",
            }
        )
    )
    assert line == LogLine(
        message="gap.detected",
        clock="12:00:00.250",
        level="WARNING",
        component="session",
        fields=(("symbol", "BTCUSDT"), ("missing", "3"), ("error", '"no route"')),
        trailer="Traceback\n  line",
    )


@pytest.mark.parametrize("text", ["plain words", "[1, 2]", '{"a": 1}', ""])
def test_line_of_another_form_stays_whole(text: str) -> None:
    assert parse_line(text) == LogLine(message=text)


@pytest.mark.parametrize(
    "text",
    ["password=canary", '{"msg": "x", "error": "password=canary"}', '{"password": "canary"}'],
)
def test_credential_in_a_line_is_blanked(text: str) -> None:
    assert "canary" not in repr(parse_line(text))


def test_time_that_is_none_is_shown_as_it_is() -> None:
    assert parse_line('{"msg": "x", "ts": "noon"}').clock == "noon"
