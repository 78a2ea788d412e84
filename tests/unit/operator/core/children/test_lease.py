from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed


def test_lease_leaves_its_holder_to_the_feeders() -> None:
    assert "spec" not in children_of(parse_feed(), Observed())["Lease/spot-publisher-0"]
