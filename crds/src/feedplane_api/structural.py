"""JSON schema as pydantic writes it -> structural schema as the API server keeps it.

The result is what the server gives back for it, to the letter, so that a tool which compares the
two finds no difference. Must not know any kind.
"""

from typing import Any

from pydantic import BaseModel

from feedplane_api.schema import JsonDict

# Keys that a structural schema does not have, or that the server would drop.
_FOREIGN = ("title", "$defs", "propertyNames", "discriminator")
_NULL: JsonDict = {"type": "null"}


def build_structural_schema(model: type[BaseModel]) -> JsonDict:
    """Return the structural schema of a model with everything written in place."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}))


def _convert(node: JsonDict, definitions: JsonDict) -> JsonDict:
    schema = _without_null(_inline(node, definitions), definitions)
    for key in _FOREIGN:
        schema.pop(key, None)
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if schema.get("type") == "object":
        _convert_object(schema, definitions)
    if "items" in schema:
        schema["items"] = _convert(schema["items"], definitions)
    if schema.get("type") == "integer":
        schema["format"] = "int32" if schema.get("maximum", 2**63) < 2**31 else "int64"
    _simplify_default(schema)
    return _ordered(schema)


def _inline(node: JsonDict, definitions: JsonDict) -> JsonDict:
    if "$ref" not in node:
        return dict(node)
    target = definitions[node["$ref"].rsplit("/", 1)[-1]]
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**target, **beside}


def _without_null(schema: JsonDict, definitions: JsonDict) -> JsonDict:
    # `X | None` is an optional field: absent, never null.
    choices = schema.get("anyOf", [])
    if _NULL not in choices:
        return schema
    (choice,) = (choice for choice in choices if choice != _NULL)
    beside = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**_inline(choice, definitions), **beside}


def _convert_object(schema: JsonDict, definitions: JsonDict) -> None:
    # Keys of a map with a pattern: the server knows the values' schema only.
    (keyed,) = schema.pop("patternProperties", {"": False}).values()
    values: Any = schema.pop("additionalProperties", False) or keyed
    if isinstance(values, dict):
        schema["additionalProperties"] = _convert(values, definitions)
    if "properties" in schema:
        schema["properties"] = {
            name: _convert(field, definitions) for name, field in schema["properties"].items()
        }


def _simplify_default(schema: JsonDict) -> None:
    if "default" in schema:
        schema["default"] = _without_empty(schema["default"])
        # An empty list is the same as none.
        if schema["default"] == []:
            del schema["default"]


def _without_empty(value: Any) -> Any:
    # Rules are tried on an object's default before its fields get theirs, so it is written out.
    if not isinstance(value, dict):
        return value
    cleaned = {name: _without_empty(entry) for name, entry in value.items()}
    return {name: entry for name, entry in cleaned.items() if entry not in (None, [], {})}


def _ordered(schema: JsonDict) -> JsonDict:
    # What a reader looks for first comes first; the nested part last.
    first = [key for key in ("description", "type", "format", "default") if key in schema]
    last = [key for key in ("required", "properties", "items") if key in schema]
    middle = sorted(key for key in schema if key not in (*first, *last))
    return {key: schema[key] for key in (*first, *middle, *last)}
