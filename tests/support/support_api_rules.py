"""The cases of api_rules.yaml, for the models and for a real API server alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feedplane_api.names import API_VERSION

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleCase:
    """One object that a rule accepts or refuses."""

    kind: str
    message: str
    situation: str
    accepted: bool
    before: JsonDict | None
    """The stored object, for a rule about changes."""
    manifest: JsonDict

    @property
    def id(self) -> str:
        """The case as a sentence."""
        verdict = "accepted" if self.accepted else "refused"
        return f"{self.kind}: {self.situation} {verdict}: {self.message}"


def load_rule_cases() -> tuple[RuleCase, ...]:
    """Return every case."""
    text = (Path(__file__).parent / "api_rules.yaml").read_text(encoding="utf-8")
    return tuple(
        case for kind, document in yaml.safe_load(text).items() for case in _cases(kind, document)
    )


def find_rule_messages(schema: JsonDict) -> list[str]:
    """Return the message of each rule anywhere in a schema."""
    found = [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]
    below = [*schema.get("properties", {}).values()]
    below += [schema["items"]] if "items" in schema else []
    return found + [message for part in below for message in find_rule_messages(part)]


def merge_patch(target: JsonDict, patch: JsonDict) -> JsonDict:
    """Return a document with a merge patch applied; null removes."""
    merged = dict(target)
    for key, value in patch.items():
        if isinstance(value, dict):
            merged[key] = merge_patch(merged.get(key, {}), value)
        else:
            merged[key] = value
    return {key: value for key, value in merged.items() if value is not None}


def _cases(kind: str, document: JsonDict) -> Iterator[RuleCase]:
    base = {"apiVersion": API_VERSION, "kind": kind, **document["base"]}
    for message, rule in document["rules"].items():
        for verdict in ("accept", "reject"):
            for situation, patch in rule[verdict].items():
                yield RuleCase(
                    kind=kind,
                    message=message,
                    situation=situation,
                    accepted=verdict == "accept",
                    before=base if rule.get("changes") else None,
                    manifest=merge_patch(base, patch),
                )
