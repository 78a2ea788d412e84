"""The operator's own HTTP port: /healthz, /readyz, /metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from feedplane_operator.cache import RESOURCE_KINDS, Cache
from feedplane_operator.health import Health
from feedplane_operator.metrics import CHILDREN, RESOURCES

UNAVAILABLE: Final = 503


@asynccontextmanager
async def serve(port: int, health: Health, cache: Cache) -> AsyncIterator[int]:
    """Serve while the block runs; the value is the port, of use where 0 was asked for."""

    async def healthz(_: web.Request) -> web.Response:
        complaints = health.complaints()
        return web.Response(
            text="\n".join(complaints) or "ok", status=UNAVAILABLE if complaints else 200
        )

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(
            text="ok" if health.ready else "listing", status=200 if health.ready else UNAVAILABLE
        )

    async def metrics(_: web.Request) -> web.Response:
        for kind, count in cache.counts().items():
            (RESOURCES if kind in RESOURCE_KINDS else CHILDREN).labels(kind).set(count)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(application, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port, shutdown_timeout=1.0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
