import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from feedplane_api.worker import (
    Coverage,
    FeederStatus,
    FeedSourceIdentity,
    HealthReport,
    ListedInstrument,
    Listing,
    SessionState,
)
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.server import Server

NOON = "2026-11-21T12:00:00Z"


class Source:
    """A pipeline that reports what it is told to."""

    def __init__(self) -> None:
        self.ready = True
        self.listed: Listing | None = None

    def status(self) -> FeederStatus:
        return FeederStatus.model_validate(
            {
                "feed_source": FeedSourceIdentity(),
                "venue": "some-venue",
                "account": "main",
                "shard": 0,
                "start_time": NOON,
                "time": NOON,
                "session": SessionState.STREAMING,
                "health": HealthReport(
                    healthy=self.ready, reason="Healthy" if self.ready else "Stale", message="why"
                ),
                "ready": self.ready,
                "coverage": Coverage(wanted=2, live=2),
            }
        )

    def listing(self) -> Listing | None:
        return self.listed


async def test_server_over_a_socket_answers_every_path() -> None:
    source, registry = Source(), CollectorRegistry()
    Metrics(registry).records_total.labels("some-venue", "trade").inc(3)
    server = Server(source, registry, 0)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
            async with client.get("/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.text()) == (200, "Healthy: why\n")
            source.ready = False
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.text()) == (503, "Stale: why\n")
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            async with client.get("/status") as answer:
                assert answer.content_type == "application/json"
                status = FeederStatus.model_validate_json(await answer.read())
                assert status == source.status()
            async with client.get("/instruments") as answer:
                assert answer.status == 503
            source.listed = Listing.model_validate(
                {
                    "venue": "some-venue",
                    "time": NOON,
                    "instruments": [ListedInstrument(symbol="BTCUSDT", trading=True)],
                }
            )
            async with client.get("/instruments") as answer:
                assert Listing.model_validate_json(await answer.read()) == source.listed
            async with client.get("/metrics") as answer:
                assert answer.content_type == "text/plain"
                text = await answer.text()
                assert (
                    'feedplane_feeder_records_total{channel="trade",venue="some-venue"} 3' in text
                )
            async with client.get(
                "/metrics", headers={"Accept": "application/openmetrics-text"}
            ) as answer:
                assert answer.content_type == "application/openmetrics-text"
            async with client.get("/secrets") as answer:
                assert answer.status == 404
            async with client.post("/status") as answer:
                assert answer.status == 405
    finally:
        await server.stop()


async def test_server_stopped_frees_its_port() -> None:
    first = Server(Source(), CollectorRegistry(), 0)
    await first.start()
    taken = Server(Source(), CollectorRegistry(), first.port)
    with pytest.raises(OSError, match="in use"):
        await taken.start()
    await taken.stop()
    await first.stop()
    await first.stop()
    again = Server(Source(), CollectorRegistry(), first.port)
    await again.start()
    assert again.port == first.port
    await again.stop()
