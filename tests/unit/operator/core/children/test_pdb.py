from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed


def test_drain_takes_feeders_of_a_shard_one_at_a_time() -> None:
    two = parse_feed(accounts=[{"name": "a"}, {"name": "b"}])
    spec = children_of(two, Observed())["PodDisruptionBudget/spot-shard-0"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"]["matchLabels"]["feedplane.dev/shard"] == "0"
    assert "feedplane.dev/account" not in spec["selector"]["matchLabels"]
