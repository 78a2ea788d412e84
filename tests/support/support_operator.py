"""A real operator process on a real API server, with feeders that say what a test tells them to."""

import asyncio
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import yaml
from aiohttp import web
from support_resources import JsonDict, utc

from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.crd import KINDS, build_crd
from feedplane_api.names import API_VERSION, PLURALS
from feedplane_api.worker import FeederStatus, ListedInstrument, Listing
from feedplane_cluster.control_plane import ControlPlane, free_ports
from feedplane_operator.cluster import PATHS
from feedplane_operator.rights import ELECTION_RIGHTS, RIGHTS, Right

T = TypeVar("T")
IMAGE = "feedplane/feeder:test"
OPERATOR_NAMESPACE = "feedplane-system"
CHILD_KINDS = (
    "ConfigMap",
    "Deployment",
    "Job",
    "Lease",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
)


def wait_for(question: Callable[[], T | None], seconds: float = 10.0) -> T:
    """Ask until the answer is true; the answer, or AssertionError with the last one."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < end, f"still {answer!r} after {seconds} s"
        time.sleep(0.05)


class Server:
    """Requests to an API server as whoever a kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self._host = cluster["server"].removeprefix("https://")
        # One connection per thread, kept: shaking hands anew costs more than most requests.
        self._local = threading.local()
        self._token = document["users"][0]["user"]["token"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def call(
        self, method: str, path: str, body: JsonDict | None = None, content: str = "json"
    ) -> JsonDict:
        """Send one request; urllib.error.HTTPError on a refusal."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": f"application/{content}",
        }
        text = json.dumps(body) if body is not None else None
        try:
            answer = self._send(method, path, text, headers)
        except (http.client.HTTPException, OSError):
            # The server closes connections that were idle for long.
            self.close()
            answer = self._send(method, path, text, headers)
        received = answer.read()
        if answer.status >= 400:
            raise urllib.error.HTTPError(
                path, answer.status, received.decode(), answer.headers, None
            )
        document: JsonDict = json.loads(received)
        return document

    def close(self) -> None:
        """Close the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=30)
            self._local.connection = connection
        connection.request(method, path, body, headers)
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer

    def get(self, kind: str, namespace: str, name: str) -> JsonDict | None:
        """Return an object, or None."""
        try:
            return self.call("GET", path_of(kind, namespace, name))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "", query: str = "") -> list[JsonDict]:
        """Return the objects of a kind."""
        items: list[JsonDict] = self.call("GET", path_of(kind, namespace) + query)["items"]
        return items

    def create(self, manifest: JsonDict) -> JsonDict:
        """Create an object."""
        namespace = manifest["metadata"].get("namespace", "")
        return self.call("POST", path_of(manifest["kind"], namespace), manifest)

    def merge(
        self, kind: str, namespace: str, name: str, patch: JsonDict, sub: str = ""
    ) -> JsonDict:
        """Merge a change into an object."""
        path = path_of(kind, namespace, name) + sub
        return self.call("PATCH", path, patch, "merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object."""
        self.call("DELETE", path_of(kind, namespace, name))

    def make_namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        with suppress(urllib.error.HTTPError):
            self.call("POST", "/api/v1/namespaces", body)

    def children(self, namespace: str) -> dict[tuple[str, str], JsonDict]:
        """Return everything the operator keeps in a namespace."""
        query = "?labelSelector=app.kubernetes.io/managed-by=feedplane"
        return {
            (kind, item["metadata"]["name"]): item
            for kind in CHILD_KINDS
            for item in self.list(kind, namespace, query)
        }

    def versions(self, namespace: str) -> dict[tuple[str, str], str]:
        """Return the versions of the children, the numbers that any write moves."""
        return {
            key: item["metadata"]["resourceVersion"]
            for key, item in self.children(namespace).items()
            if key[0] not in ("Deployment", "PodDisruptionBudget")  # controllers write their status
        } | {
            key: str(item["metadata"]["generation"])
            for key, item in self.children(namespace).items()
            if key[0] in ("Deployment", "PodDisruptionBudget")
        }


def path_of(kind: str, namespace: str = "", name: str = "") -> str:
    """Return the path of an object or a list."""
    if kind == "ClusterRole":
        api_version, plural = "rbac.authorization.k8s.io/v1", "clusterroles"
    elif kind == "ClusterRoleBinding":
        api_version, plural = "rbac.authorization.k8s.io/v1", "clusterrolebindings"
    else:
        api_version, plural = PATHS[kind]
    root = "api" if "/" not in api_version else "apis"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/{root}/{api_version}{scope}/{plural}" + (f"/{name}" if name else "")


def define_kinds(server: Server) -> None:
    """Give the server our definitions and wait until it serves them."""
    for kind in KINDS:
        body = json.loads(json.dumps(build_crd(kind)))
        server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)

    def served() -> bool:
        try:
            for plural in PLURALS.values():
                server.call("GET", f"/apis/{API_VERSION}/{plural}")
        except urllib.error.HTTPError:
            return False
        return True

    wait_for(served, 30)


def grant(server: Server, namespace: str, account: str, *, watched: tuple[str, ...] = ()) -> None:
    """Grant a ServiceAccount what the operator may do: cluster-wide, or in namespaces alone."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    rules = [right.rule() for right in RIGHTS]
    if not watched:
        _bind(server, "ClusterRole", "", f"{namespace}-{account}", rules, subject)
    for name in watched:
        _bind(server, "Role", name, account, rules, subject)
    create, hold = ELECTION_RIGHTS
    election = [create.rule(), {**_named(hold), "resourceNames": ["feedplane-operator"]}]
    _bind(server, "Role", namespace, f"{account}-election", election, subject)


def _named(right: Right) -> JsonDict:
    return right.rule()


def _bind(
    server: Server, kind: str, namespace: str, name: str, rules: list[JsonDict], subject: JsonDict
) -> None:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    server.create(role)
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [subject],
    }
    server.create(binding)


class OperatorProcess:
    """One operator, as its image starts it."""

    def __init__(self, kubeconfig: Path, log: Path, name: str, **environment: str) -> None:
        self.port = free_ports(1)[0]
        self.log = log
        variables = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": name,
            "POD_NAMESPACE": OPERATOR_NAMESPACE,
            "FEEDPLANE_FEEDER_IMAGE": IMAGE,
            "FEEDPLANE_HTTP_PORT": str(self.port),
            "FEEDPLANE_POLL_SECONDS": "1",
            "FEEDPLANE_LOG_LEVEL": "DEBUG",
            **environment,
        }
        with log.open("wb") as lines:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "feedplane_operator"],
                env=variables,
                stdout=lines,
                stderr=lines,
            )

    def get(self, path: str) -> str:
        """Return what the operator's own port answers; empty while it does not."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def wait_ready(self) -> None:
        """Wait until it has listed everything."""
        wait_for(lambda: self.alive() and self.get("/readyz") == "ok", 30)

    def alive(self) -> bool:
        """Return True; AssertionError with the log when it has ended."""
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return True

    def total(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = self.get("/metrics").splitlines()
        found = (line for line in lines if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def rss_mebibytes(self) -> float:
        """Return the memory the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def kill(self) -> None:
        """End it without a chance to say anything."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class FakeFeeders:
    """Feeders by `<namespace>/<worker>`, each answering with the status a test put there."""

    def __init__(self) -> None:
        self.port = 0
        self.statuses: dict[str, FeederStatus] = {}
        self.listing: tuple[ListedInstrument, ...] = ()
        self.reports: dict[str, BackfillReport] = {}
        """Of backfill workers, by `<namespace>/<pod>`."""

    @property
    def url_template(self) -> str:
        """The template that leads the operator here."""
        return f"http://127.0.0.1:{self.port}/{{namespace}}/{{service}}"

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one question."""
        key = f"{request.match_info['namespace']}/{request.match_info['worker']}"
        report = self.reports.get(key)
        if report is not None:
            return web.Response(text=report.model_dump_json(by_alias=True))
        status = self.statuses.get(key)
        if status is None:
            raise web.HTTPServiceUnavailable
        if request.match_info["what"] == "instruments":
            listing = Listing(venue="binance-spot", time=utc(), instruments=self.listing)
            return web.Response(text=listing.model_dump_json(by_alias=True))
        return web.Response(text=status.model_dump_json(by_alias=True))


@contextmanager
def run_feeders() -> Iterator[FakeFeeders]:
    """Serve fake feeders from a thread of their own."""
    feeders, loop, started = FakeFeeders(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> web.AppRunner:
        application = web.Application()
        application.add_routes([web.get("/{namespace}/{worker}/{what}", feeders.answer)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        feeders.port = runner.addresses[0][1]
        return runner

    def work() -> None:
        runner = loop.run_until_complete(serve())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        yield feeders
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def make_operator_account(plane: ControlPlane, server: Server, account: str) -> Path:
    """Return the kubeconfig of a ServiceAccount in the operator's namespace."""
    server.make_namespace(OPERATOR_NAMESPACE)
    return plane.service_account_kubeconfig(OPERATOR_NAMESPACE, account)
