from datetime import UTC, datetime
from typing import Any

import pytest

from feedplane_cli.core.documents import (
    condition,
    entries,
    field,
    label,
    moment,
    number,
    number_or_none,
    word,
)

DOCUMENT: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}},
    "status": {
        "count": 3,
        "word": "yes",
        "conditions": [{"type": "Ready", "status": "True"}, "broken"],
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("status", "word"), "yes"),
        (("status", "absent"), None),
        (("status", "word", "deeper"), None),
        (("absent", "deeper"), None),
    ],
)
def test_field_that_is_absent_is_none(path: tuple[str, ...], found: object) -> None:
    assert field(DOCUMENT, *path) == found


def test_values_of_other_types_are_passed_over() -> None:
    assert number(DOCUMENT, "status", "word") == 0
    assert number_or_none(DOCUMENT, "status", "word") is None
    assert number_or_none(DOCUMENT, "status", "count") == 3
    assert word(DOCUMENT, "status", "absent") == ""
    assert entries(DOCUMENT, "status", "word") == []
    assert entries(DOCUMENT, "status", "conditions") == [{"type": "Ready", "status": "True"}]
    assert label(DOCUMENT, "a") == "b"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T12:00:00Z", datetime(2026, 11, 21, 12, tzinfo=UTC)),
        ("2026-11-21T12:00:00.250000Z", datetime(2026, 11, 21, 12, 0, 0, 250_000, UTC)),
        ("", None),
        ("yesterday", None),
    ],
)
def test_moment_is_read_as_the_api_writes_it(text: str, time: datetime | None) -> None:
    assert moment(text) == time


def test_condition_that_is_absent_is_empty() -> None:
    assert condition(DOCUMENT, "Ready")["status"] == "True"
    assert condition(DOCUMENT, "Streaming") == {}
