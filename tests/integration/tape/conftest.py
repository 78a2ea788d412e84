"""A venue, a database that may be crashed, and a feed between them, each a real process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Venue, venue
from trial import SYMBOLS, Trial

from feedplane_cluster.database import TimescaleServer

RATE = 2_000
EMITTED = "aggTrade,bookTicker,depth,kline"


@pytest.fixture(scope="session")
def server() -> Iterator[TimescaleServer]:
    """A database server of our own: these tests crash it."""
    with TimescaleServer() as running:
        yield running


@pytest.fixture
def dsn(server: TimescaleServer) -> str:
    return server.create_database()


@pytest.fixture
def market() -> Iterator[Venue]:
    """A venue whose spot market makes 2,000 messages a second; the other one is silent."""
    with venue(rate=0, symbols=len(SYMBOLS), args=("--channels", EMITTED)) as running:
        running.ask("/rate", {"spot": RATE})
        yield running


@pytest.fixture
def trial(market: Venue, dsn: str, tmp_path: Path) -> Trial:
    """A feed with a spill folder that a restart finds again."""
    return Trial(market, dsn, **build_fields(tmp_path))


@pytest.fixture
def make_trial(market: Venue, dsn: str, tmp_path: Path) -> Callable[..., Trial]:
    """Return a maker of feeds with other settings."""

    def make(**fields: Any) -> Trial:
        return Trial(market, dsn, **{**build_fields(tmp_path), **fields})

    return make


def build_fields(folder: Path) -> dict[str, Any]:
    """Return the settings all these feeds share."""
    return {
        "session": {"staleAfterSeconds": 5},
        "buffer": {"spillPath": str(folder / "spill"), "spillMebibytes": 256},
    }
