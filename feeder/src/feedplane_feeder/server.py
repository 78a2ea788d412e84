"""The feeder's HTTP side: /healthz, /readyz, /status, /instruments and /metrics.

Answers from what the pipeline reports at that moment and keeps nothing. Must not know venues,
sinks or Kubernetes.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from feedplane_api.worker import FeederStatus, Listing

BACKLOG: Final = 128
SHUTDOWN_SECONDS: Final = 2.0

Handler = Callable[[web.Request], Awaitable[web.Response]]


class StatusSource(Protocol):
    """What the server answers from."""

    def status(self) -> FeederStatus:
        """Return the feeder's status now."""

    def listing(self) -> Listing | None:
        """Return the venue's instrument list, None before it was read."""


class Server:
    """Serves one feeder on one port; 0 picks a free one."""

    def __init__(self, source: StatusSource, registry: CollectorRegistry, port: int) -> None:
        self._source = source
        self._registry = registry
        self._wanted_port = port
        self._runner: web.AppRunner | None = None
        self.port = port
        """The port in use, once started."""

    async def start(self) -> None:
        """Open the port and answer from now on."""
        listener = _listen(self._wanted_port)
        self.port = listener.getsockname()[1]
        self._runner = web.AppRunner(
            self.build_app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Finish the requests under way and close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def build_app(self) -> web.Application:
        """Return the application: five paths to read, nothing to change."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status),
                web.get("/instruments", self._instruments),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        # To answer at all is the proof: the event loop runs. A venue or a database that is away
        # is no reason to be restarted.
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        status = self._source.status()
        text = f"{status.health.reason}: {status.health.message or 'no further detail'}\n"
        return web.Response(text=text, status=200 if status.ready else 503)

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._source.status().model_dump_json(by_alias=True))

    async def _instruments(self, _request: web.Request) -> web.Response:
        listing = self._source.listing()
        if listing is None:
            return web.Response(
                text="the venue's instrument list has not been read yet\n", status=503
            )
        return _json(listing.model_dump_json(by_alias=True))

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json", charset="utf-8")


def _listen(port: int) -> socket.socket:
    # One socket for both address families, so that port 0 gives one number.
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:  # IPv6 is compiled in and switched off on this host
            pass
    return socket.create_server(("", port))
