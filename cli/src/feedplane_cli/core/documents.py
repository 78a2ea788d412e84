"""Reading Kubernetes documents whose fields may be absent, or of another release than ours.

Must not know any one kind.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Manifest = dict[str, Any]


def field(document: Mapping[str, Any], *path: str) -> Any:
    """Return what stands at a path; None where any part of it is absent."""
    here: Any = document
    for part in path:
        if not isinstance(here, Mapping):
            return None
        here = here.get(part)
    return here


def word(document: Mapping[str, Any], *path: str) -> str:
    """Return the text at a path; empty where there is none."""
    found = field(document, *path)
    return "" if found is None else str(found)


def number(document: Mapping[str, Any], *path: str) -> int:
    """Return the whole number at a path; 0 where there is none."""
    found = field(document, *path)
    return found if isinstance(found, int) else 0


def number_or_none(document: Mapping[str, Any], *path: str) -> int | None:
    """Return the whole number at a path; None where there is none."""
    found = field(document, *path)
    return found if isinstance(found, int) else None


def entries(document: Mapping[str, Any], *path: str) -> list[Manifest]:
    """Return the objects of the list at a path."""
    found = field(document, *path)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def moment(text: str) -> datetime | None:
    """Return a time as the API writes it; None where it is absent or cannot be read."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def name_of(document: Mapping[str, Any]) -> str:
    """Return an object's name."""
    return word(document, "metadata", "name")


def namespace_of(document: Mapping[str, Any]) -> str:
    """Return an object's namespace."""
    return word(document, "metadata", "namespace")


def label(document: Mapping[str, Any], key: str) -> str:
    """Return the value of a label; empty where the object does not have it."""
    return word(document, "metadata", "labels", key)


def condition(document: Mapping[str, Any], kind: str) -> Manifest:
    """Return a condition; an empty one where the object does not have it."""
    found = entries(document, "status", "conditions")
    return next((entry for entry in found if entry.get("type") == kind), {})
