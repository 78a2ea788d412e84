"""The API server, by kubernetes.aio: every read and write of the command.

Objects are plain dictionaries and paths come from a table, so there is no discovery. Foreign
errors become ours here.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException
from kubernetes.aio.dynamic import DynamicClient

from feedplane_cli.core.documents import Manifest
from feedplane_cli.errors import CliError, NoClusterError, UnreachableError
from feedplane_cli.place import Place
from feedplane_cli.refusals import explain_refusal
from feedplane_cli.requests import Request

FIELD_MANAGER: Final = "feedplane-cli"
REQUEST_SECONDS: Final = 15.0
CONNECTIONS: Final = 16
PAGE: Final = 500
DEFAULT_NAMESPACE: Final = "default"
HOME_KUBECONFIG: Final = "~/.kube/config"
IN_POD: Final = "KUBERNETES_SERVICE_HOST"

Query = Sequence[tuple[str, str]]


class Cluster:
    """Requests to one API server, a few at once, each with a deadline."""

    def __init__(self, client: DynamicClient, namespace: str) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self.namespace = namespace
        """The namespace to look in, unless another is named."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """Return one object."""
        return await self._read(Request(verb="get", kind=kind, namespace=namespace, name=name))

    async def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind; an empty namespace lists all of them."""
        request = Request(verb="list", kind=kind, namespace=namespace)
        query = [("limit", str(PAGE))] + ([("labelSelector", labels)] if labels else [])
        found: list[Manifest] = []
        more = ""
        while True:
            page = await self._read(request, [*query, ("continue", more)] if more else query)
            # Entries of a list leave out what the list says of all of them.
            said = {"apiVersion": page.get("apiVersion", ""), "kind": kind}
            found += [{**said, **item} for item in page.get("items") or ()]
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    async def merge(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        """Merge a change into an object."""
        return await self._patch(kind, namespace, name, change, "merge-patch")

    async def edit(
        self, kind: str, namespace: str, name: str, steps: Sequence[Manifest]
    ) -> Manifest:
        """Change an object by JSON patch, all steps or none."""
        return await self._patch(kind, namespace, name, list(steps), "json-patch")

    async def text(self, request: Request, query: Query = ()) -> str:
        """Return what a Pod's log or proxy answers."""
        async with self._slots:
            with translated(request):
                answer = await self._send("get", request, query, REQUEST_SECONDS)
                return (await answer.read()).decode(errors="replace")

    async def lines(self, request: Request, query: Query = ()) -> AsyncIterator[str]:
        """Yield the lines of a Pod's log as they come."""
        with translated(request):
            answer = await self._send("get", request, query, None)
            try:
                async for line in answer.content:
                    yield line.decode(errors="replace").rstrip("\n")
            finally:
                answer.close()

    async def version(self) -> Manifest:
        """Return the version of the API server, which anybody may read."""
        request = Request(verb="get", kind="Pod")
        with translated(request):
            answer = await self._request("get", "/version", (), None, None, REQUEST_SECONDS)
            document: Manifest = json.loads(await answer.read())
        return document

    async def _read(self, request: Request, query: Query = ()) -> Manifest:
        async with self._slots:
            with translated(request):
                answer = await self._send("get", request, query, REQUEST_SECONDS)
                document: Manifest = await answer.json()
        return document

    async def _patch(
        self, kind: str, namespace: str, name: str, body: object, form: str
    ) -> Manifest:
        request = Request(verb="patch", kind=kind, namespace=namespace, name=name)
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        content = f"application/{form}+json"
        async with self._slots:
            with translated(request):
                answer = await self._request(
                    "patch", request.path, query, body, content, REQUEST_SECONDS
                )
                document: Manifest = await answer.json()
        return document

    async def _send(
        self, method: str, request: Request, query: Query, seconds: float | None
    ) -> aiohttp.ClientResponse:
        return await self._request(method, request.path, query, None, None, seconds)

    async def _request(
        self,
        method: str,
        path: str,
        query: Query,
        body: object,
        content: str | None,
        seconds: float | None,
    ) -> aiohttp.ClientResponse:
        answer: aiohttp.ClientResponse = await self._client.request(
            method,
            path,
            body=body,
            serialize=False,
            query_params=list(query),
            header_params={"Accept": "application/json, */*"},
            content_type=content,
            _request_timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=REQUEST_SECONDS),
        )
        return answer


@asynccontextmanager
async def connect(place: Place) -> AsyncIterator[Cluster]:
    """Connect to the cluster a person means."""
    configuration = Configuration()
    namespace = await _load(configuration, place)
    configuration.connection_pool_maxsize = 0  # followed logs hold theirs; others wait their turn
    async with ApiClient(configuration) as client:
        yield Cluster(DynamicClient(client), place.namespace or namespace)  # type: ignore[no-untyped-call]


async def _load(configuration: Configuration, place: Place) -> str:
    # The namespace the kubeconfig's context names is returned.
    named = str(place.kubeconfig) if place.kubeconfig else os.environ.get("KUBECONFIG", "")
    files = [_expand(part) for part in (named or HOME_KUBECONFIG).split(os.pathsep) if part]
    if not any(file.is_file() for file in files):
        if not named and IN_POD in os.environ:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            return DEFAULT_NAMESPACE
        raise NoClusterError(
            f"There is no kubeconfig at {' or '.join(str(file) for file in files)}.",
            "Set KUBECONFIG, or name the file with --kubeconfig.",
        )
    try:
        loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=os.pathsep.join(str(file) for file in files),
            context=place.context or None,
            client_configuration=configuration,
        )
        context: Mapping[str, Any] = loader.current_context["context"]
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        said = " ".join(str(error).split())
        raise NoClusterError(
            f"The kubeconfig cannot be used: {said}",
            "See which contexts there are with: kubectl config get-contexts",
        ) from error
    return str(context.get("namespace") or DEFAULT_NAMESPACE)


def _expand(path: str) -> Path:
    return Path(path).expanduser()


@contextmanager
def translated(request: Request) -> Iterator[None]:
    """Turn what the client raises for a request into what the command says about it."""
    try:
        yield
    except CliError:
        raise
    except ApiException as error:
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
        raise explain_refusal(request, int(error.status or 0), str(body or error.reason)) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        raise UnreachableError(
            f"The API server does not answer ({request}): {said}",
            "Check the network, and the address in: kubectl config view --minify",
        ) from error
