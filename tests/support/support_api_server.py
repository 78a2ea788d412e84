"""A real API server that knows the three kinds, and the calls tests make on it."""

import json
import urllib.error
from collections.abc import Mapping
from typing import Any

from feedplane_api.crd import KINDS, build_crd
from feedplane_api.names import GROUP, PLURALS, VERSION, Kind
from feedplane_cluster.cache import default_cache
from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.process import run, wait_until
from feedplane_cluster.toolchain import Toolchain

NAMESPACE = "api-rules"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

JsonDict = dict[str, Any]


class RefusedError(Exception):
    """The API server's refusal, one cause per broken rule."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__(status["message"])
        self.causes: list[JsonDict] = status.get("details", {}).get("causes", [])


class Api:
    """The calls these tests make; nothing is stored that is not asked for."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._kubectl = Toolchain(default_cache()).kubectl()

    def define(self) -> None:
        """Give the server our definitions and wait until it serves them."""
        for kind in KINDS:
            self._call("POST", DEFINITIONS, build_crd(kind))
        self._control_plane.ensure(f"/api/v1/namespaces/{NAMESPACE}", "v1", "Namespace", NAMESPACE)
        wait_until(self._served, "our kinds served", seconds=30)

    def definition(self, name: str) -> JsonDict:
        """Return a definition as the server has it."""
        return self._call("GET", f"{DEFINITIONS}/{name}")

    def create(self, manifest: JsonDict, *, store: bool = False) -> JsonDict:
        """Create an object, by default only to see what the server says."""
        return self._call("POST", f"{_path(manifest)}?{_query(store)}", manifest)

    def update(self, stored: JsonDict, manifest: JsonDict) -> JsonDict:
        """Replace a stored object to see what the server says."""
        version = stored["metadata"]["resourceVersion"]
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
        return self._call("PUT", f"{_path(manifest)}/{_name(manifest)}?{_query(False)}", body)

    def report(self, stored: JsonDict, status: JsonDict) -> JsonDict:
        """Write an object's status."""
        path = f"{_path(stored)}/{_name(stored)}/status?fieldValidation=Strict"
        return self._call("PUT", path, {**stored, "status": status})

    def delete(self, manifest: JsonDict) -> None:
        """Delete a stored object."""
        self._call("DELETE", f"{_path(manifest)}/{_name(manifest)}")

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl says."""
        kubeconfig = self._control_plane.kubeconfig
        return run(self._kubectl, "--kubeconfig", kubeconfig, "-n", NAMESPACE, *arguments)

    def _served(self) -> bool:
        try:
            for plural in PLURALS.values():
                self._call("GET", f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{plural}")
        except RefusedError:
            return False
        return True

    def _call(self, method: str, path: str, body: JsonDict | None = None) -> JsonDict:
        try:
            return self._control_plane.request(method, path, body)
        except urllib.error.HTTPError as error:
            text = error.read()
            status = json.loads(text) if text.startswith(b"{") else {"message": text.decode()}
            raise RefusedError(status) from error


def _name(manifest: JsonDict) -> str:
    return str(manifest["metadata"]["name"])


def _path(manifest: JsonDict) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURALS[Kind(manifest['kind'])]}"


def _query(store: bool) -> str:
    return "fieldValidation=Strict" if store else "fieldValidation=Strict&dryRun=All"
