import pytest

from feedplane_api.worker import LogFormat
from feedplane_operator.errors import SettingsError
from feedplane_operator.settings import read_settings

LEAST = {"POD_NAME": "op-0", "POD_NAMESPACE": "ops", "FEEDPLANE_FEEDER_IMAGE": "feeder:1"}


def test_least_environment_gets_every_default() -> None:
    settings = read_settings(LEAST)
    assert settings.namespaces == ()
    assert settings.leader_election
    assert settings.log_format is LogFormat.JSON
    assert settings.defaults.image == "feeder:1"
    assert settings.defaults.operator_namespace == "ops"


def test_lists_are_split_sorted_and_bare_of_doubles() -> None:
    settings = read_settings(
        {**LEAST, "FEEDPLANE_NAMESPACES": "b, a,,b", "FEEDPLANE_EGRESS_PORTS": "6432, 80"}
    )
    assert settings.namespaces == ("a", "b")
    assert settings.defaults.egress_ports == (80, 6432)


def test_switches_are_words() -> None:
    settings = read_settings(
        {
            **LEAST,
            "FEEDPLANE_LEADER_ELECTION": "Disabled",
            "FEEDPLANE_NETWORK_POLICY": "Disabled",
            "FEEDPLANE_LOG_FORMAT": "Plain",
        }
    )
    assert not settings.leader_election
    assert not settings.defaults.network_policy
    assert settings.log_format is LogFormat.PLAIN


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POD_NAME", ""),
        ("POD_NAMESPACE", " "),
        ("FEEDPLANE_FEEDER_IMAGE", ""),
        ("FEEDPLANE_LOG_FORMAT", "xml"),
        ("FEEDPLANE_LOG_LEVEL", "LOUD"),
        ("FEEDPLANE_LEADER_ELECTION", "true"),
        ("FEEDPLANE_HTTP_PORT", "65536"),
        ("FEEDPLANE_HTTP_PORT", "http"),
        ("FEEDPLANE_POLL_SECONDS", "0"),
        ("FEEDPLANE_EGRESS_PORTS", "80,0"),
        ("FEEDPLANE_EGRESS_PORTS", "80;90"),
        ("FEEDPLANE_NAMESPACES", "Capitals"),
        ("FEEDPLANE_FEEDER_IMAGE_PULL_POLICY", "Sometimes"),
    ],
)
def test_variable_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings({**LEAST, variable: value})
