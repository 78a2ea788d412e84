"""A node that is none: it has Pods' logs to show, and Pods that answer over HTTP."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from support_operator import Server

JsonDict = dict[str, Any]
NODE = "paper-node"


class FakeNode:
    """Answers as a kubelet would for logs, and as every Pod would on its HTTP port."""

    def __init__(self) -> None:
        self.kubelet_port = 0
        self.pod_port = 0
        self.address = own_address()
        self.logs: dict[str, str] = {}
        """By Pod name, and `<name>/previous` for the container before."""
        self.answers: dict[str, str] = {}
        """By path."""
        self.queries: list[dict[str, str]] = []

    async def show_log(self, request: web.Request) -> web.StreamResponse:
        """Answer as a kubelet; a followed log stays open until the node goes away."""
        self.queries.append(dict(request.query))
        name = request.match_info["pod"]
        text = self.logs.get(f"{name}/previous" if request.query.get("previous") else name, "")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(text.encode())
        while request.query.get("follow"):
            await asyncio.sleep(0.05)
            grown = self.logs.get(name, "")
            if grown != text:
                await response.write(grown[len(text) :].encode())
                text = grown
        return response

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a Pod."""
        text = self.answers.get(request.path)
        if text is None:
            raise web.HTTPServiceUnavailable
        return web.Response(text=text)


def own_address() -> str:
    """Return an address of this machine that is not the loopback's: the API server proxies none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
        prober.connect(("192.0.2.1", 9))  # sends nothing; the kernel only picks a route
        address: str = prober.getsockname()[0]
        return address


@contextmanager
def run_node(server: Server, folder: Path) -> Iterator[FakeNode]:
    """Serve a node from a thread of its own, and tell the API server of it."""
    node, loop, started = FakeNode(), asyncio.new_event_loop(), threading.Event()
    tls = _certificate(folder)

    async def serve() -> list[web.AppRunner]:
        kubelet, pods = web.Application(), web.Application()
        path = "/containerLogs/{namespace}/{pod}/{container}"
        kubelet.add_routes([web.get(path, node.show_log)])
        pods.add_routes([web.get("/{tail:.*}", node.answer)])
        runners = [web.AppRunner(kubelet, shutdown_timeout=0.1), web.AppRunner(pods)]
        for runner in runners:
            await runner.setup()
        await web.TCPSite(runners[0], "127.0.0.1", 0, ssl_context=tls).start()
        await web.TCPSite(runners[1], node.address, 0).start()
        node.kubelet_port = runners[0].addresses[0][1]
        node.pod_port = runners[1].addresses[0][1]
        return runners

    def work() -> None:
        runners = loop.run_until_complete(serve())
        started.set()
        loop.run_forever()
        for runner in runners:
            loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    _register(server, node)
    try:
        yield node
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _certificate(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "kubelet.key", folder / "kubelet.crt"
    subject = ["-subj", "/CN=paper-node", "-days", "2", "-nodes"]
    made = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *made]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _register(server: Server, node: FakeNode) -> None:
    server.call(
        "POST",
        "/api/v1/nodes",
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}},
    )
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": node.kubelet_port}},
    }
    server.call("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, "merge-patch+json")


def run_pod(server: Server, node: FakeNode, pod: JsonDict, *, restarts: int = 0) -> None:
    """Create a Pod that runs on the node."""
    container = {"name": "main", "image": "feedplane/feeder:0.1.0", **pod.pop("container", {})}
    container["ports"] = [{"name": "http", "containerPort": node.pod_port}]
    server.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            **pod,
            "spec": {"nodeName": NODE, "containers": [container]},
        }
    )
    running = {
        "phase": "Running",
        "podIP": node.address,
        "podIPs": [{"ip": node.address}],
        "containerStatuses": [
            {
                "name": "main",
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "restartCount": restarts,
                "state": {"running": {}},
            }
        ],
    }
    metadata = pod["metadata"]
    server.merge("Pod", metadata["namespace"], metadata["name"], {"status": running}, "/status")


def end_pod(server: Server, namespace: str, name: str, words: str, code: int = 0) -> None:
    """Do what a kubelet does when the container of a Backfill's worker ends."""
    ended = {"name": "feeder", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    state = {"terminated": {"exitCode": code, "message": words, "reason": "Completed"}}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{**ended, "state": state}],
    }
    server.merge("Pod", namespace, name, {"status": status}, "/status")
