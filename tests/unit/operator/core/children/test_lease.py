from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed


def test_lease_leaves_its_holder_to_the_feeders() -> None:
    assert "spec" not in children_of(parse_feed(), Observed())["Lease/spot-publisher-0"]


def test_single_session_gives_each_account_a_lease() -> None:
    accounts = [{"name": "a"}, {"name": "b"}]
    feed = parse_feed(accounts=accounts, limits={"sessionsPerAccount": 1})
    children = children_of(feed, Observed())
    lease = children["Lease/spot-account-b"]
    assert "spec" not in lease
    assert lease["metadata"]["labels"]["feedplane.dev/account"] == "b"
    assert "feedplane.dev/shard" not in lease["metadata"]["labels"]
    assert "accountLeaseName: spot-account-b" in str(children["ConfigMap/spot-b-0"]["data"])
    several = parse_feed(accounts=accounts, limits={"sessionsPerAccount": 2})
    assert "Lease/spot-account-b" not in children_of(several, Observed())
