"""A custom resource as Python sees it: metadata, spec, status, and how it is read.

Must not know any one kind.
"""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from feedplane_api.conditions import ConditionType
from feedplane_api.errors import InvalidSpecError, Problem
from feedplane_api.names import API_VERSION, Kind
from feedplane_api.schema import Metadata, Rule, refuse_broken_rule

_SEEN_LIMIT = 64
# Errors about a key nobody declared: the value may be a credential in the wrong place.
_NAMELESS = frozenset({"extra_forbidden", "missing", "rule", "duplicate"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    json_path: str
    description: str
    _: KW_ONLY
    type: str = "string"
    priority: int = 0


AGE = Column("Age", ".metadata.creationTimestamp", "Time since it was made.", type="date")


class Resource(BaseModel):
    """One object of ours; the kinds add `spec` and `status`."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, use_attribute_docstrings=True
    )

    kind: ClassVar[Kind]
    columns: ClassVar[tuple[Column, ...]] = ()
    condition_types: ClassVar[tuple[ConditionType, ...]] = ()
    rules: ClassVar[tuple[Rule, ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()

    metadata: Metadata

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Read an object as the API server or a file gives it.

        A status that cannot be read is taken for absent: it is ours to write anew.

        Raises:
            InvalidSpecError: a field of metadata or spec is missing, unknown or breaks a rule.
        """
        document = {key: obj[key] for key in ("metadata", "spec", "status") if key in obj}
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True)
        wrong = [detail for detail in _innermost(details) if detail["loc"][:1] != ("status",)]
        if not wrong:
            return cls.parse({key: value for key, value in obj.items() if key != "status"})
        raise InvalidSpecError(cls.kind, tuple(_problem(detail) for detail in wrong)) from None

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        refuse_broken_rule(self, self.rules)
        return self

    def render(self) -> dict[str, Any]:
        """Return the object as it would be applied; what equals a default is left out."""
        spec = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)["spec"]
        metadata = {"name": self.metadata.name, "namespace": self.metadata.namespace}
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind.value,
            "metadata": metadata,
            "spec": spec,
        }


def name_rule(longest: int, why: str) -> Rule:
    """Return the rule that keeps an object's name short and simple enough for its children's."""
    pattern = rf"^[a-z]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?$"
    return Rule(
        cel=f"self.metadata.name.matches('{pattern}')",
        message=f"must be at most {longest} lowercase letters, digits and dashes,"
        f" a letter first: {why}",
        field=".metadata.name",
        holds=lambda resource: re.fullmatch(pattern, resource.metadata.name) is not None,
    )


def condition_path(kind: str, field: str) -> str:
    """Return the JSON path of a condition's field, as printer columns want it."""
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _innermost(details: list[ErrorDetails]) -> list[ErrorDetails]:
    # A list whose entries are wrong is reported once more as too short.
    locs = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if not any(
            len(loc) > len(detail["loc"]) and loc[: len(detail["loc"])] == detail["loc"]
            for loc in locs
        )
    ]


def _problem(detail: ErrorDetails) -> Problem:
    context = detail.get("ctx", {})
    path = _path(detail["loc"]) + str(context.get("field", ""))
    return Problem(path=path.removeprefix("."), rule=_rule(detail), seen=_seen(detail))


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        if part == "[key]":  # the key of a map is wrong, not its value
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _rule(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "no such field"
    if detail["type"] == "missing":
        return "must be set"
    return detail["msg"]


def _seen(detail: ErrorDetails) -> str | None:
    value = detail["input"]
    secret = any(str(part).endswith("SecretRef") for part in detail["loc"])
    if secret or detail["type"] in _NAMELESS or not isinstance(value, str | int):
        return None
    # An address may carry a password or a token.
    if isinstance(value, str) and ("://" in value or "@" in value):
        return None
    text = repr(value)
    return text if len(text) <= _SEEN_LIMIT else f"{text[:_SEEN_LIMIT]}..."
