from typing import Any

import pytest
from support_api_rules import merge_patch

from feedplane_api.errors import InvalidSpecError
from feedplane_api.subscription import Repair, Subscription

JsonDict = dict[str, Any]

SPEC: JsonDict = {
    "feedSourceRef": {"name": "feed"},
    "instruments": ["BTCUSDT"],
    "channels": ["trade"],
}


def parse(patch: JsonDict) -> Subscription:
    return Subscription.parse({"metadata": {"name": "s"}, "spec": merge_patch(SPEC, patch)})


def test_subscription_repairs_by_itself_by_default() -> None:
    spec = parse({}).spec
    assert spec.repair is Repair.AUTOMATIC
    assert spec.selector is None


def test_selector_takes_a_thousand_by_default() -> None:
    selector = parse({"selector": {"include": ["*USDT"]}}).spec.selector
    assert selector is not None
    assert (selector.max_instruments, selector.exclude) == (1_000, ())


@pytest.mark.parametrize("channel", ["trade", "quote", "book", "metric", "bar-1m", "bar-1M"])
def test_channel_of_each_sort_is_taken(channel: str) -> None:
    assert parse({"channels": [channel]}).spec.channels == (channel,)


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"channels": []}, "spec.channels"),
        ({"channels": ["trade", "trade"]}, "spec.channels"),
        ({"channels": ["bar-7m"]}, "spec.channels[0]"),
        ({"instruments": []}, "spec.instruments"),
        ({"instruments": ["BTC USDT"]}, "spec.instruments[0]"),
        ({"instruments": [f"I{n}" for n in range(2_001)]}, "spec.instruments"),
        ({"selector": {"include": []}}, "spec.selector.include"),
        ({"selector": {"include": ["{a,b}"]}}, "spec.selector.include[0]"),
        ({"feedSourceRef": {"name": "f" * 31}}, "spec.feedSourceRef.name"),
    ],
)
def test_spec_out_of_bounds_names_its_field(patch: JsonDict, path: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse(patch)
    assert [problem.path for problem in caught.value.problems] == [path]
