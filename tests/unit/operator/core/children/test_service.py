from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed


def test_service_answers_for_a_feeder_that_is_not_ready() -> None:
    spec = children_of(parse_feed(), Observed())["Service/spot-a-0"]["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert spec["ports"][0]["port"] == 8000
    assert spec["selector"]["feedplane.dev/account"] == "a"
