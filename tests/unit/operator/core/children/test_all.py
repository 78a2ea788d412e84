from support_plans import children_of, parse_feed, parse_subscription
from support_resources import subscription

from feedplane_operator.core.observed import Observed


def test_deployments_come_after_all_they_need() -> None:
    kinds = [key.split("/")[0] for key in children_of(parse_feed(), Observed())]
    assert kinds[-1] == "Deployment"
    assert kinds[0] == "NetworkPolicy"


def test_every_shard_has_its_lease_and_budget() -> None:
    wanted = parse_subscription(subscription("s", "spot", instruments=["A", "B"]))
    feed = parse_feed(sharding={"maxInstrumentsPerShard": 1})
    children = children_of(feed, Observed(subscriptions=(wanted,)))
    assert {key for key in children if key.startswith(("Lease", "PodDisruption"))} == {
        "Lease/spot-publisher-0",
        "Lease/spot-publisher-1",
        "PodDisruptionBudget/spot-shard-0",
        "PodDisruptionBudget/spot-shard-1",
    }
