from typing import Any

import pytest
from support_api_rules import merge_patch

from feedplane_api.backfill import IMMUTABLE, Backfill, BackfillMode, BackfillSource, BackfillSpec
from feedplane_api.errors import InvalidSpecError
from feedplane_api.schema import VALIDATIONS

JsonDict = dict[str, Any]

SPEC: JsonDict = {
    "feedSourceRef": {"name": "feed"},
    "instruments": ["BTCUSDT"],
    "channels": ["bar-1m"],
    "range": {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
}


def parse(patch: JsonDict) -> Backfill:
    return Backfill.parse({"metadata": {"name": "b"}, "spec": merge_patch(SPEC, patch)})


def test_backfill_fetches_what_is_missing_by_default() -> None:
    spec = parse({}).spec
    assert spec.mode is BackfillMode.MISSING_ONLY
    assert spec.sources == (BackfillSource.ARCHIVE, BackfillSource.REST)
    assert spec.parallelism == 2


def test_everything_but_three_fields_is_immutable() -> None:
    fields = {field.alias for field in BackfillSpec.model_fields.values()}
    assert fields - set(IMMUTABLE) == {"parallelism", "state", "schedule"}
    rule = BackfillSpec.model_json_schema()[VALIDATIONS][0]["rule"]
    assert all(f"self.{field} == oldSelf.{field}" in rule for field in IMMUTABLE)


def test_range_is_dumped_as_kubernetes_writes_times() -> None:
    dumped = parse({}).spec.model_dump(mode="json", exclude_none=True)
    assert dumped["range"] == SPEC["range"]


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"range": {"start": "2026-10-01T00:00:00"}}, "spec.range.start"),
        ({"range": {"start": "yesterday"}}, "spec.range.start"),
        ({"range": None, "window": {"lastDays": 0}}, "spec.window.lastDays"),
        ({"parallelism": 65}, "spec.parallelism"),
        ({"sources": []}, "spec.sources"),
        ({"sources": ["Rest", "Rest"]}, "spec.sources"),
        ({"schedule": {"cron": "daily"}}, "spec.schedule.cron"),
        ({"suspend": True}, "spec.suspend"),
    ],
)
def test_spec_out_of_bounds_names_its_field(patch: JsonDict, path: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse(patch)
    assert [problem.path for problem in caught.value.problems] == [path]
