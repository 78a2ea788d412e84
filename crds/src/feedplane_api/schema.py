"""The ground the three kinds stand on: frozen models, CEL rules, list types, path-naming errors.

A rule is written once, in CEL for the API server and as a predicate for Python, so that a spec
which reached us by another way (an older CRD, a file) is judged alike. Must not know any kind.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

JsonDict = dict[str, Any]

VALIDATIONS = "x-kubernetes-validations"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^([0-9]+|[0-9]+[.][0-9]+)(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"


def cel_same(field: str, one: str, other: str) -> str:
    """Return CEL for: two objects have the same value in a field, or neither has it."""
    # `one.?field == other.?field` says it shorter, but the server cannot bound what it costs.
    present, equal = f"has({one}.{field})", f"{one}.{field} == {other}.{field}"
    return f"{present} == has({other}.{field}) && (!{present} || {equal})"


class RuleReason(StrEnum):
    """What kind of mistake the API server reports for a broken rule.

    Not FieldValueDuplicate, with which the server leaves the message out.
    """

    INVALID = "FieldValueInvalid"
    FORBIDDEN = "FieldValueForbidden"
    REQUIRED = "FieldValueRequired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a model, in both languages."""

    cel: str
    message: str
    field: str
    """The field to blame, relative to the model, as `.failover.mode`."""
    reason: RuleReason = RuleReason.INVALID
    holds: Callable[[Any], bool] | None = None
    """The same in Python; None where CEL compares with the stored object, which only the
    server has."""

    def document(self) -> JsonDict:
        """Return the rule as an entry of `x-kubernetes-validations`."""
        return {
            "rule": self.cel,
            "message": self.message,
            "fieldPath": self.field,
            "reason": self.reason.value,
        }


def refuse_broken_rule(model: BaseModel, rules: tuple[Rule, ...]) -> None:
    """Raise pydantic's own error for the first rule that the model breaks."""
    for rule in rules:
        if rule.holds is not None and not rule.holds(model):
            # Braces in a message would be read as placeholders, so it travels as a value.
            context = {"message": rule.message, "field": rule.field}
            raise PydanticCustomError("rule", "{message}", context)


def attach_rules(schema: JsonDict, model: type[BaseModel]) -> None:
    """Write a model's rules into its JSON schema."""
    rules: tuple[Rule, ...] = getattr(model, "rules", ())
    if rules:
        schema[VALIDATIONS] = [rule.document() for rule in rules]


class ApiModel(BaseModel):
    """Part of a spec: frozen, unknown fields refused, camelCase in Kubernetes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        json_schema_extra=attach_rules,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        refuse_broken_rule(self, self.rules)
        return self


class StatusModel(ApiModel):
    """Part of a status: what a newer operator added is passed over."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class ListType:
    """How the API server merges a list and which entries it takes for the same one."""

    kind: str
    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Refuse double entries the way the API server does."""
        return core_schema.no_info_after_validator_function(self._check_unique, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say the list type in the schema."""
        document = handler(schema)
        document["x-kubernetes-list-type"] = self.kind
        if self.keys:
            document["x-kubernetes-list-map-keys"] = [to_camel(key) for key in self.keys]
        return document

    def _check_unique(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.kind == "atomic":
            return entries
        identities = [self._identity(entry) for entry in entries]
        if len(set(identities)) < len(identities):
            raise PydanticCustomError("duplicate", "{message}", {"message": self._message()})
        return entries

    def _identity(self, entry: Any) -> Hashable:
        if self.keys:
            return tuple(getattr(entry, key) for key in self.keys)
        return str(entry)

    def _message(self) -> str:
        return f"entries must differ in {' and '.join(self.keys) or 'value'}"


SET = ListType("set")
ATOMIC = ListType("atomic")


def listed_by(*keys: str) -> ListType:
    """Return the type of a list whose entries are told apart by the given fields."""
    return ListType("map", keys)


def _quantity_text(value: object) -> object:
    # `cpu: 1` is a number in YAML and the same quantity as "1".
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


DnsLabel = Annotated[str, Field(pattern=DNS_LABEL, min_length=1, max_length=63)]
ObjectName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", min_length=1, max_length=253)
]
Time = AwareDatetime
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
SmallCount = Annotated[int, Field(ge=0, le=2**31 - 1)]
Percent = Annotated[int, Field(ge=0, le=100)]
StreamUrl = Annotated[str, Field(pattern=r"^(wss?|https?|tcp)://[^\s]+$", max_length=512)]
WebUrl = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=512)]
VenueUrl = Annotated[str, Field(pattern=r"^(https?|tcp)://[^\s]+$", max_length=512)]
ShortText = Annotated[str, Field(max_length=256)]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    Field(pattern=QUANTITY, max_length=32),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY,
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
        }
    ),
]


class SecretRef(ApiModel):
    """A Secret in the namespace of the resource."""

    name: ObjectName
    """Name of the Secret."""


class Metadata(BaseModel):
    """What we use of an object's metadata; all the rest is passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
