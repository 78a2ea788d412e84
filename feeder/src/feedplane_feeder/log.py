"""Log lines: one event name, bound fields, written as JSON or as plain text.

A line's message is always an `Event`; everything else is a field. What looks like a credential
is blanked before it is written. Must not know what the events mean.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from feedplane_api.errors import FeedplaneError
from feedplane_api.worker import LogFormat
from feedplane_feeder.events import Event

ROOT: Final = "feedplane_feeder"
HIDDEN: Final = "***"
# user:password@ in an address, and key=value pairs that name a credential.
_ADDRESS = re.compile(r"(://[^/@\s:]*:)[^/\s]*@")
_PAIR = re.compile(r"(?i)\b((?:[a-z_]*password|passwd|secret|token|api_?key)\s*[=:]\s*)[^\s,;&]+")
_SECRET_FIELD = re.compile(r"(?i)password|passwd|secret|token|dsn$|api_?key")


class FieldLog:
    """A logger with bound fields; keywords of a call become fields of the line."""

    def __init__(self, logger: logging.Logger, bound: Mapping[str, object]) -> None:
        self._logger = logger
        self._bound = dict(bound)

    def bind(self, **fields: object) -> "FieldLog":
        """Return a logger that adds these fields to every line."""
        return FieldLog(self._logger, {**self._bound, **fields})

    def debug(self, event: Event, *, error: BaseException | None = None, **fields: object) -> None:
        """Write a line for people who look for a bug."""
        self._write(logging.DEBUG, event, error, fields)

    def info(self, event: Event, *, error: BaseException | None = None, **fields: object) -> None:
        """Write a line about something that went as it should."""
        self._write(logging.INFO, event, error, fields)

    def warning(
        self, event: Event, *, error: BaseException | None = None, **fields: object
    ) -> None:
        """Write a line about trouble that the feeder cures itself."""
        self._write(logging.WARNING, event, error, fields)

    def error(self, event: Event, *, error: BaseException | None = None, **fields: object) -> None:
        """Write a line about trouble that needs a person."""
        self._write(logging.ERROR, event, error, fields)

    def _write(
        self,
        level: int,
        event: Event,
        error: BaseException | None,
        fields: Mapping[str, object],
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        merged = {**self._bound, **fields, **_error_fields(error)}
        # A traceback helps only where the error is not one of ours.
        unexpected = error if level >= logging.ERROR and not _ours(error) else None
        self._logger.log(level, event.value, extra={"fields": merged}, exc_info=unexpected)


def get_log(component: str, **bound: object) -> FieldLog:
    """Return the logger of a component (a module's name), with fields bound to it."""
    return FieldLog(logging.getLogger(f"{ROOT}.{component}"), bound)


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
            "component": _component(record.name),
            "msg": hide_secrets(record.getMessage()),
        }
        line.update(_visible(_fields(record)))
        if record.exc_info:
            line["traceback"] = hide_secrets(self.formatException(record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """For a person at a terminal: time, level, component, event, then `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        head = f"{clock} {record.levelname:<7} {_component(record.name):<12} "
        pairs = [f"{name}={value}" for name, value in _visible(_fields(record)).items()]
        line = head + "  ".join([hide_secrets(record.getMessage()), *pairs])
        if record.exc_info:
            line += "\n" + hide_secrets(self.formatException(record.exc_info))
        return line


def setup_logging(log_format: LogFormat, level: str, stream: IO[str] | None = None) -> None:
    """Send every log line to a stream (standard error) in one format.

    Standard output stays free for records, which a file sink may write there.
    """
    handler: logging.Handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else PlainFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level)


def _timestamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _component(name: str) -> str:
    return name.removeprefix(f"{ROOT}.")


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _visible(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: _shown(name, value) for name, value in fields.items()}


def _shown(name: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_FIELD.search(name):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [_shown(name, item) for item in value]
    return hide_secrets(str(value))


def _error_fields(error: BaseException | None) -> dict[str, object]:
    if error is None:
        return {}
    code = getattr(error, "code", None)
    code = code if isinstance(code, str) else type(error).__name__
    return {"error_code": code, "error": str(error) or type(error).__name__}


def _ours(error: BaseException | None) -> bool:
    return error is None or isinstance(error, FeedplaneError)
