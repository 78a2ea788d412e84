"""A database of each kind, and sinks on it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from feedplane_api.worker import PostgresSinkConfig
from feedplane_cluster.database import TimescaleServer
from feedplane_feeder.sinks.postgres import PostgresSink


@dataclass(frozen=True)
class Database:
    """A database of its own for one test."""

    server: TimescaleServer
    timescale: bool
    dsn: str
    make_sink: Callable[..., PostgresSink]
    ask: asyncpg.Connection
    """A second connection, to see what the sink's own left behind."""


@pytest.fixture(params=["timescale", "plain"])
async def database(
    request: pytest.FixtureRequest,
    timescale: TimescaleServer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Database]:
    """A database with TimescaleDB, and one without."""
    dsn = timescale.create_database(timescale=request.param == "timescale")
    monkeypatch.setenv("FEEDPLANE_TEST_DSN", dsn)

    def make_sink(**terms: int) -> PostgresSink:
        return PostgresSink(
            PostgresSinkConfig(dsn_env="FEEDPLANE_TEST_DSN", **terms),
            venue="binance-spot",
            feed_source="default/spot",
            account="first",
        )

    ask = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    yield Database(timescale, request.param == "timescale", dsn, make_sink, ask)
    # The server may have been stopped and started: a graceful goodbye has nobody to talk to.
    ask.terminate()
    timescale.drop_database(dsn.rpartition("/")[2])


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[PostgresSink]:
    """An open sink on the database."""
    sink = database.make_sink()
    await sink.open()
    yield sink
    await sink.close()
