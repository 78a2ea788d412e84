"""Simulated fronts on loopback, met by the real binding in its own process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from feedplane_simulator import ctp_shim
from feedplane_simulator.admission import Terms
from feedplane_simulator.ctp import CtpVenue
from feedplane_simulator.faults import FaultBook
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.truth import Truth
from feedplane_simulator.violations import ViolationLog

Begin = Callable[..., Awaitable[CtpVenue]]


@pytest.fixture(scope="session")
def native() -> dict[str, str]:
    return ctp_shim.environment()


@pytest.fixture
def shim(native: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in native.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def begin(shim: None) -> AsyncIterator[Begin]:
    """Start fronts; each call gives another one."""
    running: list[CtpVenue] = []

    async def start(rate: float = 200, symbols: int = 6, **options: str) -> CtpVenue:
        setup = VenueSetup(
            name="ctp",
            host="127.0.0.1",
            port=0,
            seed=7,
            symbols=symbols,
            rate=lambda: rate,
            truth=Truth(64 * 1024 * 1024),
            violations=ViolationLog(),
            faults=FaultBook(7),
            terms=Terms(),
            options=options,
        )
        front = CtpVenue(setup)
        await front.start()
        running.append(front)
        return front

    yield start
    await asyncio.gather(*(front.stop() for front in running))
