from typing import Any

import pytest
from support_plans import children_of, parse_feed

from feedplane_operator.core.children.network_policy import egress_ports
from feedplane_operator.core.observed import Defaults, Observed


def _policy(defaults: Defaults | None = None, **spec: Any) -> Any:
    observed = Observed(defaults=defaults or Defaults())
    return children_of(parse_feed(**spec), observed)["NetworkPolicy/spot-feeders"]["spec"]


def test_policy_refuses_whatever_it_does_not_name() -> None:
    policy = _policy()
    assert policy["policyTypes"] == ["Egress", "Ingress"]
    assert policy["podSelector"]["matchLabels"] == {"feedplane.dev/feed-source": "spot"}


def test_policy_is_for_feeders_and_backfill_workers() -> None:
    (rule,) = _policy()["podSelector"]["matchExpressions"]
    assert (rule["key"], rule["operator"]) == ("app.kubernetes.io/component", "In")
    assert rule["values"] == ["backfill", "feeder"]


def test_policy_lets_operator_and_scrapers_in_on_one_port() -> None:
    (rule,) = _policy(Defaults(operator_namespace="ops"))["ingress"]
    assert rule["ports"] == [{"port": 8000, "protocol": "TCP"}]
    operator, scraper = rule["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ops"}
    assert operator["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"
    assert scraper == {"namespaceSelector": {"matchLabels": {"feedplane.dev/metrics": "allowed"}}}


def test_policy_lets_names_be_looked_up() -> None:
    dns = _policy()["egress"][0]["ports"]
    assert {(port["port"], port["protocol"]) for port in dns} == {(53, "TCP"), (53, "UDP")}


@pytest.mark.parametrize(
    ("spec", "port"),
    [
        pytest.param({}, 443, id="venue and API server"),
        pytest.param({}, 9443, id="venue"),
        pytest.param({}, 6443, id="API server"),
        pytest.param({}, 5432, id="database"),
        pytest.param({"endpoints": {"stream": "ws://sim:9001"}}, 9001, id="endpoint with port"),
        pytest.param({"endpoints": {"rest": "http://sim"}}, 80, id="endpoint without port"),
        pytest.param(
            {"accounts": [{"name": "a", "endpoints": {"archive": "https://x:444"}}]},
            444,
            id="endpoint of an account",
        ),
        pytest.param(
            {"accounts": [{"name": "a", "fronts": ["tcp://192.0.2.1:41213"]}]}, 41213, id="front"
        ),
    ],
)
def test_policy_lets_feeders_out_where_the_spec_points(spec: dict[str, Any], port: int) -> None:
    ports = [entry["port"] for entry in _policy(**spec)["egress"][1]["ports"]]
    assert port in ports
    assert ports == sorted(ports)


def test_ports_of_the_operators_settings_are_added() -> None:
    assert 6432 in egress_ports(parse_feed(), Defaults(egress_ports=(6432,)))


def test_port_that_is_none_opens_nothing() -> None:
    sinks = [{"name": "disk", "file": {"path": "/data"}}]
    feed = parse_feed(sinks=sinks, endpoints={"stream": "tcp://x", "rest": "http://x:99999"})
    assert egress_ports(feed, Defaults()) == (443, 6443, 9443)


def test_policy_can_be_left_out() -> None:
    children = children_of(parse_feed(), Observed(defaults=Defaults(network_policy=False)))
    assert "NetworkPolicy/spot-feeders" not in children
