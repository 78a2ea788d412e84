from enum import StrEnum
from typing import Annotated

from pydantic import Field

from feedplane_api.schema import SET, ApiModel, Count, Percent, Time
from feedplane_api.structural import build_structural_schema


class Speed(StrEnum):
    FAST = "Fast"
    SLOW = "Slow"


class Inner(ApiModel):
    """A part."""

    speed: Speed = Speed.FAST
    """How fast
    it goes."""
    extra: str | None = None
    """More."""


class Outer(ApiModel):
    """A whole."""

    inner: Inner = Inner()
    """The part of it."""
    other: Inner | None = None
    """Another part."""
    names: Annotated[tuple[str, ...], SET] = ()
    """Names."""
    labels: Annotated[dict[Annotated[str, Field(pattern="^a")], str], Field(max_length=2)] = Field(
        default_factory=dict
    )
    """Labels."""
    plain: dict[str, int] = Field(default_factory=dict)
    """A map with any keys."""
    small: Percent = 5
    """A small number."""
    large: Count
    """A large number."""
    since: Time | None = None
    """A moment."""


FIELDS = build_structural_schema(Outer)["properties"]


def test_schema_has_nothing_a_server_would_drop() -> None:
    text = str(build_structural_schema(Outer))
    for word in ("$ref", "$defs", "title", "anyOf", "null", "propertyNames", "patternProperties"):
        assert word not in text


def test_nested_model_is_written_in_place() -> None:
    assert FIELDS["inner"] == {
        "description": "The part of it.",
        "type": "object",
        "default": {"speed": "Fast"},
        "properties": {
            "speed": {
                "description": "How fast it goes.",
                "type": "string",
                "default": "Fast",
                "enum": ["Fast", "Slow"],
            },
            "extra": {"description": "More.", "type": "string"},
        },
    }


def test_optional_model_is_absent_and_never_null() -> None:
    assert FIELDS["other"]["description"] == "Another part."
    assert FIELDS["other"]["properties"] == FIELDS["inner"]["properties"]
    assert "default" not in FIELDS["other"]


def test_empty_list_is_no_default() -> None:
    assert FIELDS["names"] == {
        "description": "Names.",
        "type": "array",
        "x-kubernetes-list-type": "set",
        "items": {"type": "string"},
    }


def test_map_describes_its_values_only() -> None:
    assert FIELDS["labels"]["additionalProperties"] == {"type": "string"}
    assert FIELDS["labels"]["maxProperties"] == 2
    assert FIELDS["plain"]["additionalProperties"] == {"type": "integer", "format": "int64"}


def test_integers_get_the_format_that_holds_them() -> None:
    assert FIELDS["small"]["format"] == "int32"
    assert FIELDS["large"]["format"] == "int64"


def test_optional_moment_is_a_date_time() -> None:
    assert FIELDS["since"] == {
        "description": "A moment.",
        "type": "string",
        "format": "date-time",
    }


def test_required_fields_are_named() -> None:
    assert build_structural_schema(Outer)["required"] == ["large"]
