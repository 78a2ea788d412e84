"""Each reason of a Kubernetes event is one that some test expects; no word is listed in vain."""

import ast
from pathlib import Path

import pytest

from feedplane_api.conditions import Reason
from feedplane_feeder.core.health import HealthReason
from feedplane_feeder.events import Event
from feedplane_operator.events import EventReason, LogEvent

TESTS = Path(__file__).parents[1]
OPERATOR = TESTS.parent / "operator/src/feedplane_operator"
FEEDER = TESTS.parent / "feeder/src/feedplane_feeder"


def expected_words() -> set[str]:
    """Words that stand in an assertion or in the table of one."""
    found: set[str] = set()
    for path in sorted(TESTS.rglob("test_*.py")):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(value=ast.Name(id="EventReason"), attr=name):
                    found.add(EventReason[name].value)
                case ast.Constant(value=str(word)):
                    found.add(word)
    return found


WORDS = expected_words()


@pytest.mark.parametrize("reason", EventReason, ids=lambda reason: reason.value)
def test_every_event_is_expected_by_some_test(reason: EventReason) -> None:
    assert reason.value in WORDS


@pytest.mark.parametrize("reason", EventReason, ids=lambda reason: reason.value)
def test_every_event_is_explained_in_the_reference(reason: EventReason) -> None:
    page = TESTS.parent / "docs/reference/operator.md"
    assert f"| `{reason.value}` | {reason.sentence} |" in page.read_text()


def members_used(folder: Path, enum: str) -> set[str]:
    """Names of an enum's members that code refers to."""
    return {
        node.attr
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == enum
    }


def test_every_log_event_is_written_by_its_program() -> None:
    assert {event.name for event in Event} - members_used(FEEDER, "Event") == set()
    assert {event.name for event in LogEvent} - members_used(OPERATOR, "LogEvent") == set()


def test_every_reason_is_said_by_some_program() -> None:
    said = members_used(OPERATOR, "Reason")
    heard = {reason.value for reason in HealthReason}
    assert {r.name for r in Reason if r.value not in heard} - said == set()
