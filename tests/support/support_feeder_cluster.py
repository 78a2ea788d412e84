"""A feeder's place in a real cluster: its namespace, objects, account and exact rights."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feedplane_api.names import WORKER_CONFIG_KEY
from feedplane_cluster.control_plane import ControlPlane
from feedplane_feeder.cluster import ClusterAddress

WORKER = "demo-main-0"
LEASE = "demo-publisher-0"
SEAT_LEASE = "demo-account-main"


@dataclass
class Place:
    """One namespace with what the operator makes for one feeder."""

    plane: ControlPlane
    namespace: str
    address: ClusterAddress

    @property
    def lease_path(self) -> str:
        """Where the Lease is."""
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{LEASE}"

    @property
    def config_map_path(self) -> str:
        """Where the ConfigMap is."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{WORKER}"

    def lease(self) -> dict[str, Any]:
        """Read the Lease as the administrator."""
        return self.plane.request("GET", self.lease_path)

    def holder(self) -> str:
        """Return who the Lease names."""
        return str((self.lease().get("spec") or {}).get("holderIdentity", ""))

    def write_config(self, text: str) -> None:
        """Put a worker configuration into the ConfigMap."""
        document: dict[str, Any] = self.plane.request("GET", self.config_map_path)
        self.plane.request(
            "PUT", self.config_map_path, {**document, "data": {WORKER_CONFIG_KEY: text}}
        )


def make_place(plane: ControlPlane, namespace: str, folder: Path) -> Place:
    """Make a namespace with a Lease, a ConfigMap and an account that may do just enough."""
    kubeconfig = json.loads(plane.service_account_kubeconfig(namespace, WORKER).read_text())
    token, ca = folder / "token", folder / "ca.crt"
    token.write_text(kubeconfig["users"][0]["user"]["token"])
    ca.write_bytes(Path(kubeconfig["clusters"][0]["cluster"]["certificate-authority"]).read_bytes())
    for path, document in _objects(namespace):
        plane.request("POST", path, document)
    address = ClusterAddress(server=plane.server, token_path=token, ca_path=ca)
    return Place(plane, namespace, address)


def _objects(namespace: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    group = "rbac.authorization.k8s.io"
    for name in (LEASE, SEAT_LEASE):
        yield (
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}},
        )
    for name in (WORKER, "another"):
        yield (
            f"/api/v1/namespaces/{namespace}/configmaps",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}},
        )
    yield (
        f"{rbac}/roles",
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": WORKER},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [WORKER],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "resources": ["leases"],
                    "resourceNames": [LEASE, SEAT_LEASE],
                    "verbs": ["get", "update", "patch"],
                },
            ],
        },
    )
    yield (
        f"{rbac}/rolebindings",
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": WORKER},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": WORKER},
            "subjects": [{"kind": "ServiceAccount", "name": WORKER, "namespace": namespace}],
        },
    )


@dataclass
class Line:
    """A TCP line to the API server that can be cut, or left open and mute."""

    target: int
    cut: bool = False
    mute: bool = False
    port: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def break_off(self) -> None:
        """Cut every connection and refuse new ones."""
        self.cut = True
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.cut:
            writer.transport.abort()
            return
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers |= {writer, upstream}
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, upstream))
                tasks.create_task(self._pump(upstream_reader, writer))
        self.writers -= {writer, upstream}
        for one in (writer, upstream):
            one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.mute:
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side is done")
