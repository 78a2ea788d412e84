from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from support_api_rules import RuleCase, load_rule_cases

from feedplane_api.crd import KINDS
from feedplane_api.errors import InvalidSpecError
from feedplane_api.schema import (
    ATOMIC,
    SET,
    ApiModel,
    Quantity,
    Rule,
    StatusModel,
    cel_same,
    listed_by,
)

MODELS = {kind.kind.value: kind for kind in KINDS}
# A rule about changes compares with the stored object, which only the API server has.
CASES = [case for case in load_rule_cases() if case.before is None]


class Entry(ApiModel):
    name: str
    value: int = 0


@pytest.mark.parametrize("case", [case for case in CASES if case.accepted], ids=lambda c: c.id)
def test_rule_holds_for_what_it_accepts(case: RuleCase) -> None:
    assert MODELS[case.kind].parse(case.manifest).metadata.name == case.manifest["metadata"]["name"]


@pytest.mark.parametrize("case", [case for case in CASES if not case.accepted], ids=lambda c: c.id)
def test_rule_refuses_with_its_own_message(case: RuleCase) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        MODELS[case.kind].parse(case.manifest)
    assert [problem.rule for problem in caught.value.problems] == [case.message]


def test_rule_message_may_hold_braces() -> None:
    class Model(ApiModel):
        rules = (Rule(cel="false", message="not {a}", field=".a", holds=lambda model: False),)

    with pytest.raises(ValidationError, match=r"not \{a\}"):
        Model()


def test_set_refuses_the_same_entry_twice() -> None:
    adapter = TypeAdapter(Annotated[tuple[str, ...], SET])
    assert adapter.validate_python(["a", "b"]) == ("a", "b")
    with pytest.raises(ValidationError, match="entries must differ in value"):
        adapter.validate_python(["a", "a"])
    assert adapter.json_schema()["x-kubernetes-list-type"] == "set"


def test_map_refuses_the_same_key_twice() -> None:
    adapter = TypeAdapter(Annotated[tuple[Entry, ...], listed_by("name", "value")])
    same = [{"name": "a", "value": 1}, {"name": "a", "value": 1}]
    other = [{"name": "a", "value": 1}, {"name": "a", "value": 2}]
    assert len(adapter.validate_python(other)) == 2
    with pytest.raises(ValidationError, match="entries must differ in name and value"):
        adapter.validate_python(same)


def test_atomic_list_takes_the_same_entry_twice() -> None:
    adapter = TypeAdapter(Annotated[tuple[str, ...], ATOMIC])
    assert adapter.validate_python(["a", "a"]) == ("a", "a")


@pytest.mark.parametrize(
    ("written", "read"), [(1, "1"), ("1", "1"), ("500m", "500m"), ("1.5Gi", "1.5Gi")]
)
def test_quantity_is_kept_as_text(written: object, read: str) -> None:
    assert TypeAdapter(Quantity).validate_python(written) == read


@pytest.mark.parametrize("written", [True, -1, "1 GB", "fast", None, 1.5])
def test_quantity_refuses_what_is_none(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Quantity).validate_python(written)


def test_spec_refuses_and_status_ignores_unknown_fields() -> None:
    class Report(StatusModel):
        count: int = 0

    assert Report.model_validate({"count": 1, "newer": 2}) == Report(count=1)
    with pytest.raises(ValidationError):
        Entry.model_validate({"name": "a", "newer": 2})


def test_models_speak_camel_case_outside() -> None:
    class Timing(ApiModel):
        lease_duration_seconds: int = Field(default=6)

    assert Timing(lease_duration_seconds=7).model_dump() == {"leaseDurationSeconds": 7}


def test_same_field_is_compared_or_absent_twice() -> None:
    assert cel_same("x", "a", "b") == "has(a.x) == has(b.x) && (!has(a.x) || a.x == b.x)"
