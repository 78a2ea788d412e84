import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from feedplane_api.worker import LogFormat
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog, get_log, hide_secrets, setup_logging


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(log_format: LogFormat, level: str = "INFO") -> tuple[io.StringIO, FieldLog]:
    stream = io.StringIO()
    setup_logging(log_format, level, stream)
    return stream, get_log("live", venue="some-venue")


def caught(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as raised:
        return raised


def test_json_line_carries_the_agreed_fields() -> None:
    stream, log = written(LogFormat.JSON)
    log.bind(feed="demo").info(Event.SESSION_OPENED, connection="public-0", streams=200)
    line = json.loads(stream.getvalue())
    moment = datetime.fromisoformat(line.pop("ts"))
    assert moment.utcoffset() is not None
    assert line == {
        "level": "INFO",
        "component": "live",
        "msg": "session.opened",
        "venue": "some-venue",
        "feed": "demo",
        "connection": "public-0",
        "streams": 200,
    }


def test_json_line_about_an_error_names_its_code() -> None:
    stream, log = written(LogFormat.JSON)
    log.warning(Event.SINK_LOST, error=SinkUnavailableError("main", "connection refused"))
    line = json.loads(stream.getvalue())
    assert line["error_code"] == "sink_unavailable"
    assert line["error"] == "Expected sink main to take the batch, was connection refused"
    assert "traceback" not in line


def test_json_line_about_a_bug_has_the_traceback() -> None:
    stream, log = written(LogFormat.JSON)
    log.error(Event.FEEDER_FAILED, error=caught(KeyError("missing")))
    line = json.loads(stream.getvalue())
    assert line["error_code"] == "KeyError"
    assert "in caught" in line["traceback"]


def test_plain_line_reads_as_one_sentence() -> None:
    stream, log = written(LogFormat.PLAIN)
    log.info(Event.SESSION_OPENED, connection="public-0")
    clock, rest = stream.getvalue().rstrip().split(" ", 1)
    assert len(clock) == len("12:00:00.000")
    assert rest.split() == [
        "INFO",
        "live",
        "session.opened",
        "venue=some-venue",
        "connection=public-0",
    ]


def test_level_below_the_chosen_one_is_silent() -> None:
    stream, log = written(LogFormat.JSON, "WARNING")
    log.info(Event.SESSION_OPENED)
    log.debug(Event.SESSION_OPENED)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://feed:s3cr3t@db:5432/x", "postgresql://feed:***@db:5432/x"),
        ("postgresql://feed:p@ss@db/x", "postgresql://feed:***@db/x"),
        ("host=db password=s3cr3t user=feed", "host=db password=*** user=feed"),
        ("https://api.example/x?api_key=abc&y=1", "https://api.example/x?api_key=***&y=1"),
        ("wss://stream.example:9443/ws", "wss://stream.example:9443/ws"),
        ("12:30:00 nothing to hide", "12:30:00 nothing to hide"),
    ],
)
def test_text_with_a_credential_is_blanked(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_line_never_shows_a_secret(log_format: LogFormat) -> None:
    stream, log = written(log_format)
    address = "postgresql://feed:s3cr3t@db/x"
    log.error(
        Event.SINK_LOST,
        error=caught(RuntimeError(f"cannot connect to {address}")),
        password="s3cr3t",  # noqa: S106 - the very thing under test
        sink_dsn=address,
        tried=[address],
    )
    assert "s3cr3t" not in stream.getvalue()
    assert "***" in stream.getvalue()
