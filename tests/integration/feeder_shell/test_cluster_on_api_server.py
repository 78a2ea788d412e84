from pathlib import Path

import pytest
from support_feeder_cluster import Line, Place

from feedplane_feeder.cluster import ClusterAddress, ClusterApi
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError

# Real servers on a busy machine take their time.
pytestmark = pytest.mark.timeout(120)


async def test_api_within_its_rights_reads_and_writes(place: Place) -> None:
    api = ClusterApi(place.address)
    try:
        lease = await api.get(place.lease_path)
        lease["spec"] = {"holderIdentity": "main/p1"}
        written = await api.put(place.lease_path, lease)
        assert written["spec"]["holderIdentity"] == "main/p1"
        with pytest.raises(ClusterRefusedError) as refused:
            await api.put(place.lease_path, lease)
        assert refused.value.status == 409
    finally:
        await api.close()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/{namespace}/configmaps/another",
        "/api/v1/namespaces/{namespace}/configmaps",
        "/api/v1/namespaces/{namespace}/secrets",
        "/api/v1/namespaces/{namespace}/pods",
        "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
        "/api/v1/namespaces/kube-system/configmaps",
    ],
)
async def test_api_beyond_its_rights_is_refused(place: Place, path: str) -> None:
    api = ClusterApi(place.address)
    try:
        with pytest.raises(ClusterRefusedError) as refused:
            await api.get(path.format(namespace=place.namespace))
        assert refused.value.status == 403
    finally:
        await api.close()


async def test_api_token_renewed_on_disk_is_used_next(place: Place) -> None:
    token = place.address.token_path.read_text()
    api = ClusterApi(place.address)
    try:
        place.address.token_path.write_text("expired")
        with pytest.raises(ClusterRefusedError) as refused:
            await api.get(place.lease_path)
        assert refused.value.status == 401
        place.address.token_path.write_text(token)
        assert (await api.get(place.lease_path))["kind"] == "Lease"
    finally:
        await api.close()


async def test_api_on_a_line_that_fails_says_unavailable(place: Place, line: Line) -> None:
    api = ClusterApi(place.address)
    try:
        assert (await api.get(place.lease_path))["kind"] == "Lease"
        line.mute = True
        with pytest.raises(ClusterUnavailableError):
            await api.get(place.lease_path)
        line.mute = False
        line.break_off()
        with pytest.raises(ClusterUnavailableError):
            await api.get(place.lease_path)
        line.cut = False
        assert (await api.get(place.lease_path))["kind"] == "Lease"
    finally:
        await api.close()


async def test_api_behind_a_foreign_certificate_is_not_trusted(
    place: Place, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.crt"
    foreign.write_text("")
    address = ClusterAddress(
        server=place.address.server, token_path=place.address.token_path, ca_path=foreign
    )
    api = ClusterApi(address)
    try:
        with pytest.raises(ClusterUnavailableError):
            await api.get(place.lease_path)
    finally:
        await api.close()
