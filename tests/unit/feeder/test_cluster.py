from pathlib import Path

import pytest

from feedplane_feeder.cluster import find_address
from feedplane_feeder.errors import ClusterUnavailableError


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_address_of_a_pod_names_its_account_files(host: str, expected: str) -> None:
    address = find_address(host, "443", Path("/account"))
    assert address.server == expected
    assert address.token_path == Path("/account/token")
    assert address.ca_path == Path("/account/ca.crt")


def test_address_outside_a_pod_is_not_found() -> None:
    with pytest.raises(ClusterUnavailableError, match="KUBERNETES_SERVICE_HOST"):
        find_address("", "443", Path("/account"))
