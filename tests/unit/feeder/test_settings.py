from pathlib import Path

from feedplane_feeder.settings import read_settings


def test_settings_outside_a_cluster_have_defaults() -> None:
    settings = read_settings({})
    assert settings.pod_name == "local"
    assert settings.kubernetes_host == ""
    assert settings.termination_log == Path("/dev/termination-log")


def test_settings_of_a_pod_come_from_its_environment() -> None:
    settings = read_settings(
        {
            "POD_NAME": "demo-main-0-abc",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "KUBERNETES_SERVICE_PORT": "6443",
            "FEEDPLANE_TERMINATION_LOG": "/tmp/words",  # noqa: S108 - only a name
            "FEEDPLANE_SERVICE_ACCOUNT_DIR": "/account",
        }
    )
    assert settings.pod_name == "demo-main-0-abc"
    assert (settings.kubernetes_host, settings.kubernetes_port) == ("10.96.0.1", "6443")
    assert settings.service_account == Path("/account")
