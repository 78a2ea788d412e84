"""Log lines of feeders and operator as a person reads them.

Must not know where they come from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from feedplane_cli.core.documents import moment
from feedplane_cli.core.redact import redact_document, redact_text

HEAD: Final = ("ts", "level", "component", "msg")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line, taken apart; a line that is no JSON has a message alone."""

    message: str
    clock: str = ""
    level: str = ""
    component: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    trailer: str = ""
    """A traceback, over several lines."""


def parse_line(text: str) -> LogLine:
    """Take a line apart."""
    try:
        document = json.loads(text)
    except ValueError:
        return LogLine(message=redact_text(text))
    if not isinstance(document, dict) or "msg" not in document:
        return LogLine(message=redact_text(text))
    document = redact_document(document)
    return LogLine(
        message=str(document["msg"]),
        clock=_clock(str(document.get("ts", ""))),
        level=str(document.get("level", "")),
        component=str(document.get("component", "")),
        fields=tuple(_fields(document)),
        trailer=str(document.get("traceback", "")),
    )


def _fields(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, _value(value))
        for name, value in document.items()
        if name not in HEAD and name != "traceback"
    ]


def _value(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
    return json.dumps(value, ensure_ascii=False)


def _clock(text: str) -> str:
    # Dates are the same on every line; the hour is what one looks for.
    time = moment(text)
    return time.strftime("%H:%M:%S.%f")[:-3] if time else text
