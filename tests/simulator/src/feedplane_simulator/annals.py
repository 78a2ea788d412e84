"""Everything that ever happened on a generated market: its past and its live tape as one.

REST and the archive both answer from here, so the same instant has the same ids and values
whichever way it is asked for.
"""

from collections.abc import Iterator

from feedplane_simulator.bars import Bar, merge_bars
from feedplane_simulator.channels import INTERVAL_MS
from feedplane_simulator.generator import Generator, InstrumentState
from feedplane_simulator.instruments import Instrument
from feedplane_simulator.past import MINUTE_MS, Metrics, Past
from feedplane_simulator.payloads import AggregateTrade

PIECE = 5_000


class Annals:
    """The whole history of a generator's instruments."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def instrument(self, symbol: str) -> Instrument:
        """Return a listed instrument."""
        return self._state(symbol).instrument

    def listed_ms(self, symbol: str) -> int | None:
        """Return the first moment there is anything of a symbol; None without history."""
        past = self._state(symbol).past
        return None if past is None else past.listed_ms

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[AggregateTrade]:
        """Yield the aggregate trades of a time window, its end not included."""
        state = self._state(symbol)
        if state.past is not None:
            yield from state.past.trades(start_ms, end_ms)
        found = state.history.between(start_ms, end_ms - 1, PIECE)
        while found:
            yield from (trade for trade in found if trade.time_ms < end_ms)
            found = state.history.from_id(found[-1].aggregate_id + 1, PIECE)
            found = [trade for trade in found if trade.time_ms < end_ms]

    def trades_from(self, symbol: str, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregate trades from an id on."""
        state = self._state(symbol)
        found = state.past.from_id(aggregate_id, limit) if state.past is not None else []
        missing = limit - len(found)
        after = found[-1].aggregate_id + 1 if found else aggregate_id
        return found + (state.history.from_id(after, missing) if missing else [])

    def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Bar]:
        """Return the bars that open in a time window and are over at its end."""
        state, length = self._state(symbol), INTERVAL_MS[interval]
        if length < MINUTE_MS:
            closed = tuple(state.bars[interval].closed)
            return [bar for bar in closed if start_ms <= bar.open_ms < end_ms]
        minutes = self._past_minutes(state, start_ms, end_ms)
        known = minutes[-1].open_ms if minutes else -1
        minutes += [
            bar
            for bar in tuple(state.bars["1m"].closed)
            if bar.open_ms > known and start_ms <= bar.open_ms < end_ms
        ]
        merged = minutes if interval == "1m" else merge_bars(minutes, length)
        return [bar for bar in merged if bar.close_ms < end_ms]

    def metrics(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Metrics]:
        """Yield the five-minute series of a time window, both ends included."""
        past = self._state(symbol).past
        return past.metrics(start_ms, end_ms) if past is not None else iter(())

    def early_minutes(self, symbol: str, start_ms: int, limit: int) -> list[Bar]:
        """Return minutes from before those the generator remembers, the oldest first."""
        state = self._state(symbol)
        return self._past_minutes(state, start_ms, start_ms + limit * MINUTE_MS)

    def _past_minutes(self, state: InstrumentState, start_ms: int, end_ms: int) -> list[Bar]:
        past: Past | None = state.past
        if past is None:
            return []
        remembered = state.bars["1m"].closed
        until = remembered[0].open_ms if remembered else past.end_ms
        return past.minutes(start_ms, min(end_ms, until))

    def _state(self, symbol: str) -> InstrumentState:
        return self._generator.states[symbol]
