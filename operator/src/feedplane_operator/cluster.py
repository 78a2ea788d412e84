"""The API server, by kubernetes.aio: every read and write of the operator but kopf's watches.

Objects are plain dictionaries and paths come from a table, so there is no discovery and no model
class in between. Foreign errors become ours here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException
from kubernetes.aio.dynamic import DynamicClient

from feedplane_api.names import API_VERSION, FIELD_MANAGER, PLURALS
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from feedplane_operator.metrics import API_REQUESTS

REQUEST_SECONDS: Final = 10.0
CONNECTIONS: Final = 16
PAGE: Final = 500
TOO_MANY_REQUESTS: Final = 429
CONFLICT: Final = 409
NOT_FOUND: Final = 404
SERVER_ERRORS: Final = 500
_REFUSAL_LIMIT = 300

PATHS: Final[Mapping[str, tuple[str, str]]] = {
    **{kind.value: (API_VERSION, plural) for kind, plural in PLURALS.items()},
    "ConfigMap": ("v1", "configmaps"),
    "Deployment": ("apps/v1", "deployments"),
    "Event": ("events.k8s.io/v1", "events"),
    "CoreEvent": ("v1", "events"),
    "Job": ("batch/v1", "jobs"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Pod": ("v1", "pods"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
}
"""API version and plural of every kind the operator touches."""


class Cluster:
    """Requests to the API server, at most a few at once, each with a deadline."""

    def __init__(self, client: DynamicClient, connections: int = CONNECTIONS) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(connections)

    async def get(self, ref: Ref) -> Manifest:
        """Return one object."""
        return await self._request("get", _path(ref.kind, ref.namespace, ref.name))

    async def serves(self, api_version: str) -> frozenset[str]:
        """Return the plurals of the kinds that the API server has in a group version."""
        try:
            found = await self._request("get", f"/apis/{api_version}")
        except NotFoundError:
            return frozenset()
        return frozenset(entry["name"] for entry in found.get("resources", ()))

    async def pages(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[list[Manifest], str]]:
        """Yield the objects of a kind page by page, each with the version of the list."""
        params: dict[str, Any] = {"limit": PAGE}
        if labels:
            params["label_selector"] = labels
        if fields:
            params["field_selector"] = fields
        path = _path(kind, namespace)
        while True:
            page = await self._request("get", path, **params)
            metadata = page["metadata"]
            yield list(page.get("items") or ()), metadata.get("resourceVersion", "0")
            if not metadata.get("continue"):
                return
            params["query_params"] = [("continue", metadata["continue"])]

    async def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[list[Manifest], str]:
        """Return the objects of a kind and the version of the list.

        An empty namespace lists all of them.
        """
        found = [page async for page in self.pages(kind, namespace, labels=labels, fields=fields)]
        return [item for items, _ in found for item in items], found[0][1]

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Apply an object on the server's side under our one field manager.

        Without `force` a field that another manager owns with another value is a conflict, which
        is how an object of somebody else is found out.
        """
        ref = ref_of(manifest)
        return await self._apply(_path(ref.kind, ref.namespace, ref.name), manifest, force=force)

    async def apply_status(self, resource: Manifest, status: Manifest) -> Manifest:
        """Write the whole status of a resource of ours; an object that is gone stays gone."""
        ref = ref_of(resource)
        body = {
            "apiVersion": resource["apiVersion"],
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": status,
        }
        path = _path(ref.kind, ref.namespace, ref.name) + "/status"
        return await self._apply(path, body, force=True)

    async def delete(self, ref: Ref, uid: str) -> None:
        """Delete one object, if it is still the one with the uid."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._request("delete", _path(ref.kind, ref.namespace, ref.name), body=body)

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        ref = ref_of(manifest)
        return await self._request("post", _path(ref.kind, ref.namespace), body=manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object, if it is still of the version the manifest names."""
        ref = ref_of(manifest)
        return await self._request("put", _path(ref.kind, ref.namespace, ref.name), body=manifest)

    async def patch(self, ref: Ref, body: Manifest) -> Manifest:
        """Merge a change into an object."""
        path = _path(ref.kind, ref.namespace, ref.name)
        kind = "application/merge-patch+json"
        return await self._request("patch", path, body=body, content_type=kind)

    async def _apply(self, path: str, body: Manifest, *, force: bool) -> Manifest:
        return await self._request(
            "patch",
            path,
            body=body,
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            force_conflicts="true" if force else "false",
        )

    async def _request(self, method: str, path: str, **params: Any) -> Manifest:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        name = f"{method.upper()} {path}"
        async with self._slots:
            with _translated(name, method):
                answer = await self._client.request(
                    method, path, serialize=False, _request_timeout=timeout, **params
                )
                document: Manifest = await answer.json()
        return document


@asynccontextmanager
async def connect() -> AsyncIterator[Cluster]:
    """Connect as the Pod's ServiceAccount, or by a kubeconfig outside of a cluster."""
    configuration = Configuration()
    try:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    configuration.connection_pool_maxsize = CONNECTIONS
    async with ApiClient(configuration) as client:
        yield Cluster(DynamicClient(client))  # type: ignore[no-untyped-call]


@contextmanager
def _translated(request: str, method: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        API_REQUESTS.labels(method, str(error.status)).inc()
        raise _ours(request, error) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        API_REQUESTS.labels(method, "none").inc()
        raise UnreachableError(request, 0, f"{type(error).__name__}: {error}") from error
    else:
        API_REQUESTS.labels(method, "2xx").inc()


def _ours(request: str, error: ApiException) -> ClusterError:
    status = int(error.status or 0)
    message = _message(error)
    if status == NOT_FOUND:
        return NotFoundError(request, status, message)
    if status == CONFLICT:
        return ConflictError(request, status, message)
    if status == TOO_MANY_REQUESTS or status >= SERVER_ERRORS or status == 0:
        headers = error.headers or {}
        after = headers.get("Retry-After")
        seconds = float(after) if after and str(after).isdecimal() else None
        return UnreachableError(request, status, message, after_seconds=seconds)
    return RefusedError(request, status, message)


def _message(error: ApiException) -> str:
    # The body repeats the whole object for some refusals; its first words say enough.
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    return str(body or error.reason or "")[:_REFUSAL_LIMIT]


def _path(kind: str, namespace: str, name: str = "") -> str:
    api_version, plural = PATHS[kind]
    prefix = "api" if "/" not in api_version else "apis"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/{prefix}/{api_version}{scope}/{plural}" + (f"/{name}" if name else "")
