"""The pace: how many events fall due, whatever the loop was late by."""

import asyncio
from typing import Protocol

from feedplane_simulator.clock import now_ms
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.market import LiveMarket

CATCH_UP_SECONDS = 1.0
BARREN_STEPS_MAX = 200


class Paced(Protocol):
    """Whose settings the pace follows; rates may change while it runs."""

    config: SimulatorConfig
    rates: dict[str, float]


class Budget:
    """Turns a rate into whole events owed, and forgives what is more than a second late."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._owed = 0.0

    def earn(self, rate: float, now: float) -> None:
        """Let time pass at a rate."""
        self._owed = min(self._owed + rate * (now - self._last), rate * CATCH_UP_SECONDS)
        self._last = now

    def spend(self, count: int) -> None:
        """Count events that were emitted; more than owed is paid back by later silence."""
        self._owed -= count

    @property
    def left(self) -> bool:
        """Whether at least one event is owed."""
        return self._owed >= 1.0


def emit_due(market: LiveMarket, budget: Budget, at_ms: int) -> None:
    """Emit what is due by time and then what the budget still owes."""
    events = market.source.poll(at_ms)
    budget.spend(len(events))
    market.emit(events)
    barren = 0
    while budget.left and barren < BARREN_STEPS_MAX:
        events = market.source.step(at_ms)
        # Some steps only change what a later depth event will carry; all may, if told to.
        barren = 0 if events else barren + 1
        budget.spend(len(events))
        market.emit(events)


async def drive(paced: Paced, market: LiveMarket) -> None:
    """Emit a market's events at its rate until cancelled."""
    loop = asyncio.get_running_loop()
    budget = Budget(loop.time())
    while True:
        await asyncio.sleep(paced.config.tick_seconds)
        rate = 0.0 if market.halted else paced.rates[market.name]
        budget.earn(rate, loop.time())
        if not market.halted:
            emit_due(market, budget, now_ms())
        market.flush()
