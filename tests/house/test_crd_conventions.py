"""The definitions against the Kubernetes API conventions, as a linter would read them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from feedplane_api import names
from feedplane_api.conditions import ConditionType, Reason
from feedplane_api.crd import KINDS, build_crd, build_root_schema
from feedplane_api.resource import Resource

JsonDict = dict[str, Any]
Node = tuple[str, JsonDict]

CAMEL_CASE = re.compile(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)*")
WORD = re.compile(r"[A-Z][A-Za-z]*")
# Moments of a range are called what they are; every other moment ends in Time.
MOMENTS = {"start", "end"}
ABBREVIATIONS = re.compile(r"(?i)^(cfg|conf|num|msg|desc|addr|src|dst|tz|ns|cnt|max|min)$")
DURATION = re.compile(r"(?i)(timeout|period|deadline|duration|interval|delay|cooldown)$")


def nodes(schema: JsonDict, path: str = "") -> Iterator[Node]:
    """Yield each part of a schema with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def own_nodes(kind: type[Resource]) -> list[Node]:
    """Return the parts of spec and status; the rest of an object is Kubernetes' own."""
    root = build_root_schema(kind)["properties"]
    return [node for part in ("spec", "status") for node in nodes(root[part], f".{part}")]


EVERYWHERE = [
    pytest.param(path, schema, id=f"{kind.kind}{path}")
    for kind in KINDS
    for path, schema in own_nodes(kind)
]


def field_name(path: str) -> str:
    return path.rsplit(".", 1)[-1]


@pytest.mark.parametrize(("path", "schema"), EVERYWHERE)
def test_field_follows_the_api_conventions(path: str, schema: JsonDict) -> None:
    assert [broken for check in CHECKS for broken in check(field_name(path), schema)] == []


def check_name(name: str, schema: JsonDict) -> Iterator[str]:
    if not CAMEL_CASE.fullmatch(name.removesuffix("[]")):
        yield "a field's name is camelCase"
    if name in ("phase", "lastHeartbeatTime"):
        yield "a state is a condition, and a status does not tick"
    if ABBREVIATIONS.search(name):
        yield "a name is written out"
    if name.endswith("Timestamp"):
        yield "a moment is called somethingTime"


def check_description(name: str, schema: JsonDict) -> Iterator[str]:
    text = schema.get("description", "")
    # An entry of a list of plain values is described by the list.
    plain = name.endswith("[]") and "properties" not in schema
    if not plain and not text.endswith("."):
        yield "a field has a description in sentences"


def check_type(name: str, schema: JsonDict) -> Iterator[str]:
    kind = schema.get("type")
    if kind in ("number", "boolean"):
        yield "no fractions, and a word instead of a yes or no"
    if kind is None and not schema.get("x-kubernetes-int-or-string"):
        yield "a field has a type"
    if "x-kubernetes-preserve-unknown-fields" in schema or schema.get("properties") == {}:
        yield "a field's content is known"
    if "nullable" in schema or "title" in schema or "$ref" in schema:
        yield "nothing a structural schema does not need"


def check_integer(name: str, schema: JsonDict) -> Iterator[str]:
    if schema.get("type") != "integer":
        return
    if not {"minimum", "maximum", "format"} <= schema.keys():
        yield "a number has bounds and a format"
    elif not -(2**53) < schema["minimum"] <= schema["maximum"] < 2**53:
        yield "a number is one that JSON carries exactly"
    if DURATION.search(name):
        yield "a duration says its unit"


def check_string(name: str, schema: JsonDict) -> Iterator[str]:
    if schema.get("type") != "string":
        return
    if "enum" in schema:
        wrong = [word for word in schema["enum"] if not WORD.fullmatch(word)]
        if wrong:
            yield f"words to choose from are CamelCase: {wrong}"
        return
    if schema.get("format") == "date-time":
        if not name.endswith("Time") and name not in MOMENTS:
            yield "a moment is called somethingTime"
        return
    if "maxLength" not in schema:
        yield "a text has a longest length"


def check_list(name: str, schema: JsonDict) -> Iterator[str]:
    if schema.get("type") != "array":
        return
    if "maxItems" not in schema:
        yield "a list has a longest length"
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("map", "set", "atomic"):
        yield "a list says how it is merged"
    keys = schema.get("x-kubernetes-list-map-keys", [])
    if (kind == "map") != bool(keys):
        yield "a list map names its keys"
    if not set(keys) <= set(schema["items"].get("required", [])):
        yield "a key of a list map is required"


def check_map(name: str, schema: JsonDict) -> Iterator[str]:
    values = schema.get("additionalProperties")
    if values is None:
        return
    if values.get("type") != "string" or "maxLength" not in values:
        yield "a map is one of short texts"
    if "maxProperties" not in schema:
        yield "a map has a largest size"


def check_default(name: str, schema: JsonDict) -> Iterator[str]:
    if isinstance(schema.get("default"), dict) and schema.get("required"):
        yield "what has required fields has no default"


def check_reference(name: str, schema: JsonDict) -> Iterator[str]:
    if name.endswith("Ref") and "name" not in schema.get("required", []):
        yield "a reference names an object"


CHECKS = (
    check_name,
    check_description,
    check_type,
    check_integer,
    check_string,
    check_list,
    check_map,
    check_default,
    check_reference,
)


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("some_field", {"type": "string", "maxLength": 1, "description": "A."}),
        ("phase", {"type": "string", "maxLength": 1, "description": "A."}),
        ("msg", {"type": "string", "maxLength": 1, "description": "A."}),
        ("startTimestamp", {"type": "string", "format": "date-time", "description": "A."}),
        ("moment", {"type": "string", "format": "date-time", "description": "A."}),
        ("text", {"type": "string", "description": "A."}),
        ("text", {"type": "string", "maxLength": 1}),
        ("enabled", {"type": "boolean", "description": "A."}),
        ("ratio", {"type": "number", "description": "A."}),
        ("count", {"type": "integer", "description": "A."}),
        ("count", {"type": "integer", "minimum": 0, "maximum": 2**60, "format": "int64"}),
        ("timeout", {"type": "integer", "minimum": 0, "maximum": 9, "format": "int32"}),
        ("mode", {"type": "string", "enum": ["hot"], "description": "A."}),
        ("names", {"type": "array", "items": {}, "description": "A."}),
        ("accounts", {"type": "array", "items": {}, "maxItems": 1, "description": "A.",
                      "x-kubernetes-list-type": "map"}),
        ("accounts", {"type": "array", "items": {}, "maxItems": 1, "description": "A.",
                      "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ("labels", {"type": "object", "additionalProperties": {"type": "object"},
                    "maxProperties": 1, "description": "A."}),
        ("labels", {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1},
                    "description": "A."}),
        ("anything", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("untyped", {"description": "A."}),
        ("title", {"type": "string", "maxLength": 1, "title": "Title", "description": "A."}),
        ("secretRef", {"type": "object", "description": "A."}),
        ("group", {"type": "object", "default": {}, "required": ["name"], "description": "A."}),
    ],
)  # fmt: skip
def test_linter_finds_what_breaks_a_convention(name: str, schema: JsonDict) -> None:
    assert [broken for check in CHECKS for broken in check(name, schema)] != []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_default_in_a_spec_can_be_reached(kind: type[Resource]) -> None:
    # The server gives a field its default only where the object around it is there.
    unreached = [
        path
        for path, schema in own_nodes(kind)
        if path.startswith(".spec.") and not path.endswith("[]") and not schema.get("required")
        if "default" not in schema
        if any("default" in field for field in schema.get("properties", {}).values())
    ]
    assert unreached == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_definition_is_named_and_listed_like_its_kind(kind: type[Resource]) -> None:
    spec = build_crd(kind)["spec"]
    assert spec["names"]["categories"] == ["feeds"]
    assert spec["names"]["shortNames"] == [names.SHORT_NAMES[kind.kind]]
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns if column["name"] in ("Age", "Message")]
    assert all(column["description"] for column in columns)
    assert [c["name"] for c in columns if c.get("priority")][-1] == "Message"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_conditions_have_the_standard_shape(kind: type[Resource]) -> None:
    status = build_root_schema(kind)["properties"]["status"]["properties"]
    assert "observedGeneration" in status
    conditions = status["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    fields = conditions["items"]
    assert {"type", "status", "reason", "message", "lastTransitionTime"} == set(fields["required"])
    assert "observedGeneration" in fields["properties"]
    assert fields["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_kind_has_one_summary_condition(kind: type[Resource]) -> None:
    types = set(kind.condition_types)
    assert ConditionType.ACCEPTED in types
    assert len(types & {ConditionType.READY, ConditionType.SUCCEEDED}) == 1


@pytest.mark.parametrize("word", [*ConditionType, *Reason], ids=str)
def test_word_is_camel_case_with_a_sentence(word: ConditionType | Reason) -> None:
    assert WORD.fullmatch(word)
    assert word.sentence.endswith(".")
    assert word.sentence[0].isupper() or word.sentence.startswith("spec.")


def test_condition_types_say_what_is_true() -> None:
    # One that is good when False reads twice; Degraded, Paused and Failed are faults by nature.
    assert [word for word in ConditionType if word.startswith(("Not", "No", "Un"))] == []


def test_label_keys_carry_our_domain() -> None:
    keys = [value for key, value in vars(names).items() if key.startswith(("LABEL_", "ANNOTATION"))]
    assert keys
    for key in keys:
        domain, _, rest = key.partition("/")
        assert domain in (names.GROUP, "app.kubernetes.io")
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rest)
