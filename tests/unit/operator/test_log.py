import io
import json
import logging
from collections.abc import Iterator

import pytest

from feedplane_api.worker import LogFormat
from feedplane_operator.errors import NotFoundError
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log, hide_secrets, setup_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _lines(log_format: LogFormat = LogFormat.JSON) -> io.StringIO:
    stream = io.StringIO()
    setup_logging(log_format, "INFO", stream)
    return stream


def test_json_line_has_the_named_fields() -> None:
    stream = _lines()
    get_log("apply").info(LogEvent.CHILD_APPLIED, kind="Service", applied_count=2)
    line = json.loads(stream.getvalue())
    assert line["msg"] == "child.applied"
    assert line["component"] == "apply"
    assert line["level"] == "INFO"
    assert line["ts"].endswith("Z")
    assert (line["kind"], line["applied_count"]) == ("Service", 2)


def test_own_error_gives_its_class_as_code_and_no_traceback() -> None:
    stream = _lines()
    error = NotFoundError("GET /x", 404, "gone")
    get_log("apply").warning(LogEvent.RECONCILE_FAILED, error=error)
    line = json.loads(stream.getvalue())
    assert line["error_code"] == "NotFoundError"
    assert "traceback" not in line


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_foreign_error_brings_its_traceback(log_format: LogFormat) -> None:
    stream = _lines(log_format)
    try:
        int("deep")
    except ValueError as error:
        get_log("apply").error(LogEvent.RECONCILE_FAILED, error=error)
    assert "Traceback" in stream.getvalue()


def test_plain_line_is_for_people() -> None:
    stream = _lines(LogFormat.PLAIN)
    get_log("leader").info(LogEvent.LEADERSHIP_ACQUIRED, identity="op-0")
    assert "leadership.acquired  identity=op-0" in stream.getvalue()


def test_line_below_the_level_is_not_written() -> None:
    stream = _lines()
    get_log("apply").debug(LogEvent.STATUS_WRITTEN)
    assert stream.getvalue() == ""


def test_credentials_in_free_text_are_blanked() -> None:
    text = hide_secrets("postgresql://feed:s3cret@db/tape token=abc password: xyz rest")
    assert "s3cret" not in text
    assert "abc" not in text
    assert "xyz" not in text
    assert text.endswith("rest")
