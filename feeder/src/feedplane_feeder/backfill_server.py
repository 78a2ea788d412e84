"""The HTTP side of a backfill worker: /healthz, /readyz, /status and /metrics."""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from feedplane_api.backfill_worker import BackfillReport

SHUTDOWN_SECONDS: Final = 1.0


class BackfillServer:
    """Serves one worker on one port; 0 picks a free one."""

    def __init__(
        self, report: Callable[[], BackfillReport], registry: CollectorRegistry, port: int
    ) -> None:
        self._report = report
        self._registry = registry
        self._wanted_port = port
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The port in use, once started."""

    async def start(self) -> None:
        """Open the port and answer from now on."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._healthz),
                web.get("/status", self._status),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._wanted_port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Finish the requests under way and close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _status(self, _request: web.Request) -> web.Response:
        text = self._report().model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json", charset="utf-8")

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
