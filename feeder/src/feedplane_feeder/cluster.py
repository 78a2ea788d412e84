"""The few Kubernetes API calls a feeder makes: read, write and watch one named object.

Plain HTTP on the client the feeder has anyway; `kubernetes.aio` costs more memory than the rest
of the feeder together (docs/decisions). Must not know Leases or configurations.
"""

import json
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError

Document = dict[str, Any]
"""A Kubernetes object or watch event as decoded JSON."""

SERVICE_ACCOUNT_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
REQUEST_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 300
# Bookmarks come about once a minute, so a watch that is silent for longer is dead.
WATCH_SILENCE_SECONDS: Final = 90.0
LINE_BYTES: Final = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAddress:
    """Where the API server is and how this pod proves itself."""

    server: str
    """Base URL."""
    token_path: Path
    """Read for every request, since the kubelet renews it."""
    ca_path: Path


def find_address(host: str, port: str, service_account: Path) -> ClusterAddress:
    """Return the API server's address from what a pod is given.

    Raises:
        ClusterUnavailableError: this is not a pod.
    """
    if not host:
        raise ClusterUnavailableError("no KUBERNETES_SERVICE_HOST in the environment")
    name = f"[{host}]" if ":" in host else host
    return ClusterAddress(
        server=f"https://{name}:{port}",
        token_path=service_account / "token",
        ca_path=service_account / "ca.crt",
    )


class ClusterApi:
    """A client for single named objects; every call is one request."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Document:
        """Read an object or a list.

        Raises:
            ClusterUnavailableError: no answer.
            ClusterRefusedError: an answer that is not 200.
        """
        return await self._request("GET", path, params=params)

    async def put(self, path: str, document: Document) -> Document:
        """Replace an object; its resourceVersion guards against a change in between.

        Raises:
            ClusterUnavailableError: no answer.
            ClusterRefusedError: an answer that is not 200; status 409 means it had changed.
        """
        return await self._request("PUT", path, body=document)

    async def merge(self, path: str, changes: Document) -> Document:
        """Merge changes into an object, whatever became of it since; the object after that.

        Raises:
            ClusterUnavailableError: no answer.
            ClusterRefusedError: an answer that is not 200.
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        return await self._request("PATCH", path, body=changes, headers=headers)

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncGenerator[Document, None]:
        """Yield watch events until the server ends the watch.

        Raises:
            ClusterUnavailableError: no answer, or silence.
            ClusterRefusedError: an answer that is not 200, or an ERROR event.
        """
        query = {
            **params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=REQUEST_SECONDS, sock_read=WATCH_SILENCE_SECONDS
        )
        with _foreign_errors(path):
            async with self._open().get(
                self._address.server + path, params=query, headers=self._headers(), timeout=timeout
            ) as answer:
                await _check(path, answer)
                async for line in answer.content:
                    yield _event(path, line)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Document | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        with _foreign_errors(path):
            async with self._open().request(
                method,
                self._address.server + path,
                params=params,
                json=body,
                headers=self._headers() | dict(headers or {}),
                timeout=timeout,
            ) as answer:
                await _check(path, answer)
                return _object(await answer.json())

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls(), limit=4),
                read_bufsize=LINE_BYTES,
            )
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        if not self._address.server.startswith("https:"):
            return False
        return ssl.create_default_context(cafile=str(self._address.ca_path))

    def _headers(self) -> dict[str, str]:
        token = self._address.token_path.read_text().strip()
        return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


@contextmanager
def _foreign_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # ValueError: a body that is no JSON, or a line longer than any object may be.
        reason = f"{type(error).__name__} {error}".strip()
        raise ClusterUnavailableError(f"{reason} at {path}") from error


async def _check(path: str, answer: aiohttp.ClientResponse) -> None:
    if answer.status == 200:
        return
    text = (await answer.text())[:300]
    if answer.status >= 500:
        raise ClusterUnavailableError(f"{answer.status} {text} at {path}")
    raise ClusterRefusedError(path, answer.status, text)


def _object(document: object) -> Document:
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - mapped with the other bad bodies
    return document


def _event(path: str, line: bytes) -> Document:
    event = _object(json.loads(line))
    if event.get("type") == "ERROR":
        status = event.get("object", {})
        raise ClusterRefusedError(path, int(status.get("code", 0)), str(status.get("message", "")))
    return event
