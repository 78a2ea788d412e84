"""Log lines: one event name, bound fields, written as JSON or as plain text.

A line's message is always a `LogEvent`, but for those of kopf's own loggers. Must not know what
the events mean.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from feedplane_api.worker import LogFormat
from feedplane_operator.errors import OperatorError
from feedplane_operator.events import LogEvent

ROOT: Final = "feedplane_operator"
HIDDEN: Final = "***"
# user:password@ in an address, and key=value pairs that name a credential.
_ADDRESS = re.compile(r"(://[^/@\s:]*:)[^/\s]*@")
_PAIR = re.compile(r"(?i)\b((?:[a-z_]*password|passwd|token|api_?key)\s*[=:]\s*)[^\s,;&]+")
# What is worth a line but is said by another logger than ours: kopf's, from warnings up.
_FOREIGN_LEVEL = logging.WARNING


class FieldLog:
    """A logger whose keywords become fields of the line."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: LogEvent, **fields: object) -> None:
        """Write a line for people who look for a bug."""
        self._write(logging.DEBUG, event, None, fields)

    def info(self, event: LogEvent, **fields: object) -> None:
        """Write a line about something that went as it should."""
        self._write(logging.INFO, event, None, fields)

    def warning(
        self, event: LogEvent, *, error: BaseException | None = None, **fields: object
    ) -> None:
        """Write a line about trouble that the operator cures itself."""
        self._write(logging.WARNING, event, error, fields)

    def error(
        self, event: LogEvent, *, error: BaseException | None = None, **fields: object
    ) -> None:
        """Write a line about trouble that needs a person."""
        self._write(logging.ERROR, event, error, fields)

    def _write(
        self,
        level: int,
        event: LogEvent,
        error: BaseException | None,
        fields: Mapping[str, object],
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        merged = {**fields, **_error_fields(error)}
        # A traceback helps only where the error is not one of ours.
        unexpected = None if error is None or isinstance(error, OperatorError) else error
        self._logger.log(level, event.value, extra={"fields": merged}, exc_info=unexpected)


def get_log(component: str) -> FieldLog:
    """Return the logger of a component, a module's name."""
    return FieldLog(logging.getLogger(f"{ROOT}.{component}"))


def hide_secrets(text: str) -> str:
    """Blank what looks like a credential in free text."""
    return _PAIR.sub(rf"\1{HIDDEN}", _ADDRESS.sub(rf"\1{HIDDEN}@", text))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, component, msg, error_code, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        line: dict[str, object] = {
            "ts": _timestamp(record.created),
            "level": record.levelname,
            "component": record.name.removeprefix(f"{ROOT}."),
            "msg": hide_secrets(record.getMessage()),
        }
        line.update(_visible(record))
        if record.exc_info:
            line["traceback"] = hide_secrets(self.formatException(record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """For a person at a terminal: time, level, component, event, then `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        component = record.name.removeprefix(f"{ROOT}.")
        head = f"{_timestamp(record.created)} {record.levelname:<7} {component:<12} "
        pairs = [f"{name}={value}" for name, value in _visible(record).items()]
        line = head + "  ".join([hide_secrets(record.getMessage()), *pairs])
        if record.exc_info:
            line += "\n" + hide_secrets(self.formatException(record.exc_info))
        return line


def setup_logging(log_format: LogFormat, level: str, stream: IO[str] | None = None) -> None:
    """Send every log line to a stream (standard error) in one format."""
    handler: logging.Handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else PlainFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_FOREIGN_LEVEL)
    logging.getLogger(ROOT).setLevel(level)


def _timestamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _visible(record: logging.LogRecord) -> dict[str, object]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return {name: _shown(value) for name, value in fields.items()}


def _shown(value: object) -> object:
    return value if isinstance(value, bool | int | float) else hide_secrets(str(value))


def _error_fields(error: BaseException | None) -> dict[str, object]:
    if error is None:
        return {}
    return {"error_code": type(error).__name__, "error": str(error) or type(error).__name__}
