"""A venue and a database for the lines of one feed."""

import gc
import warnings
from collections.abc import Iterator

import pytest
from lines import SYMBOLS, Feed
from rig import Venue, venue
from trial import DSN_ENV

from feedplane_cluster.database import TimescaleServer

RATE = 2_000
EMITTED = "aggTrade,bookTicker,depth,kline"


@pytest.fixture(scope="session")
def database_server() -> Iterator[TimescaleServer]:
    with TimescaleServer() as running:
        yield running


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Let go, within the test they belong to, of the sockets that killed lines left."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def market() -> Iterator[Venue]:
    """A venue whose spot market makes 2,000 messages a second; the other one is silent."""
    with venue(rate=0, symbols=len(SYMBOLS), args=("--channels", EMITTED)) as running:
        running.ask("/rate", {"spot": RATE})
        yield running


@pytest.fixture
def feed(
    market: Venue, database_server: TimescaleServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Feed]:
    """A feed of two accounts."""
    dsn = database_server.create_database()
    monkeypatch.setenv(DSN_ENV, dsn)

    yield Feed(market, dsn)
    database_server.drop_database(dsn.rpartition("/")[2])
