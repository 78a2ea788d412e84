"""A venue, a database and a feed whose gaps are filled, each a real process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rig import Venue, venue
from trial import Trial

from feedplane_cluster.database import TimescaleServer

RATE = 2_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
EMITTED = "aggTrade,bookTicker,depth,kline"


@pytest.fixture(scope="session")
def database_server() -> Iterator[TimescaleServer]:
    with TimescaleServer() as running:
        yield running


@pytest.fixture
def dsn(database_server: TimescaleServer) -> str:
    return database_server.create_database()


@pytest.fixture
def market() -> Iterator[Venue]:
    """A venue whose spot market makes 2,000 messages a second; the other one is silent."""
    with venue(rate=0, symbols=len(SYMBOLS), args=("--channels", EMITTED)) as running:
        running.ask("/rate", {"spot": RATE})
        yield running


@pytest.fixture
def make_trial(market: Venue, dsn: str) -> Callable[..., Trial]:
    """Return a maker of feeds of that venue."""

    def make(**fields: Any) -> Trial:
        fields = {"session": {"staleAfterSeconds": 5}, "repair": True, **fields}
        return Trial(market, dsn, symbols=SYMBOLS, **fields)

    return make
