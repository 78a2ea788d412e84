"""The look at the tape when a feeder starts, and which of the days it lacks are still to fetch.

Fetches nothing: the operator makes Backfills of what is told here, and their rows in the table of
chunks tell which days somebody has tried. Must not know venues or tables.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from feedplane_api.worker import MissingDays, PostgresSinkConfig, Wanted, WorkerConfig
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.core.history import History
from feedplane_feeder.core.integrity import (
    MissingDay,
    RepairGroup,
    Tried,
    drop_tried,
    group_repairs,
    plan_repairs,
)
from feedplane_feeder.core.intervals import SECOND_NS, next_open_ns
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.errors import FeederError, SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres_days import PostgresDays
from feedplane_feeder.tape_check import DayCounts, Look, TapeCheck, check_tape
from feedplane_feeder.tape_check_process import list_symbols, makes_dense_bars

ASK_SECONDS: Final = 60.0
"""Between two looks at what is left."""
WANTED_SECONDS: Final = 30.0
AWAY_SECONDS: Final = 60.0
SETTLED_NS: Final = 600 * SECOND_NS
"""A day that ended less long ago may still be on its way to the database."""
NAMED: Final = 20
"""Missing parts that one line names."""
MOST_GROUPS: Final = 32
MOST_NAMED: Final = 1_000
"""Instruments that a status names in all groups together."""
T = TypeVar("T")


class DayStore(DayCounts, Protocol):
    """The tape of a database, and what backfills did about it."""

    async def open(self) -> None:
        """Connect; may be called again after a failure."""

    async def close(self) -> None:
        """Release the connection."""

    async def tried(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Sequence[Tried]:
        """Return what backfills did about a channel between two moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchScene:
    """What a watch is given from outside."""

    store: DayStore
    history: History | None
    clock: Clock
    log: FieldLog


class TapeWatch:
    """Looks once, as soon as it is asked to; then tells what is left of what it found."""

    def __init__(self, config: WorkerConfig, scene: WatchScene) -> None:
        self._config = config
        self._scene = scene
        self._symbols: dict[str, str] = {}
        self._left: tuple[MissingDay, ...] = ()
        self._told: tuple[MissingDays, ...] = ()

    def adopt(self, config: WorkerConfig) -> None:
        """Take over another configuration; it matters until the tape was looked at."""
        self._config = config

    def missing(self) -> tuple[MissingDays, ...]:
        """Return what nobody has tried to fetch, the oldest first, as much as a status holds."""
        return self._told

    async def run(self) -> None:
        """Look, and follow what becomes of it, until nothing is left or cancelled."""
        try:
            await self._watch(self._scene.clock.now_ns())
        except FeederError as error:
            self._told = ()
            self._scene.log.warning(Event.TAPE_CHECKED, error=error)

    async def _watch(self, since_ns: int) -> None:
        clock = self._scene.clock
        while not self._config.session.check_days:
            await clock.sleep(WANTED_SECONDS)
        found = await self._patiently(lambda: self._look(self._judged()))
        self._tell(found)
        self._left = self._fetchable(found)
        if not self._left:
            return
        # What the ledger knows of is being filled; only what is left then is worth a Backfill.
        await clock.sleep(ASK_SECONDS)
        again = await self._patiently(lambda: self._look(self._narrow()))
        self._left = self._fetchable(again)
        while self._left:
            left = drop_tried(self._left, await self._patiently(self._ask), since_ns)
            if len(left) < len(self._left) or not self._told:
                self._left = left
                self._told = describe(group_repairs(plan_repairs(left)), self._symbols)
            if self._left:
                await clock.sleep(ASK_SECONDS)

    def _fetchable(self, found: TapeCheck) -> tuple[MissingDay, ...]:
        manual = {
            (line.symbol, channel) for line in self._config.wanted for channel in line.manual_repair
        }
        return tuple(
            day
            for day in found.missing
            if self._can_fetch(day.channel)
            and (self._symbols[day.instrument_id], day.channel) not in manual
        )

    # To find no quote of a day, all quotes are read; that is not worth a line in the log.
    def _judged(self) -> WorkerConfig:
        dear = ChannelKind.QUOTE.value
        wanted = tuple(
            Wanted(
                symbol=line.symbol,
                channels=tuple(
                    channel
                    for channel in line.channels
                    if channel != dear or self._can_fetch(channel)
                ),
            )
            for line in self._config.wanted
        )
        return self._config.model_copy(update={"wanted": wanted})

    def _narrow(self) -> WorkerConfig:
        lacking: dict[str, set[str]] = {}
        for day in self._left:
            lacking.setdefault(self._symbols[day.instrument_id], set()).add(day.channel)
        wanted = tuple(
            Wanted(symbol=symbol, channels=tuple(sorted(channels)))
            for symbol, channels in sorted(lacking.items())
        )
        return self._config.model_copy(update={"wanted": wanted})

    # A start does not wait for it, so it can wait for a database that is away.
    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        scene, told = self._scene, False
        while True:
            try:
                await scene.store.open()
                return await ask()
            except SinkUnavailableError as error:
                if not told:
                    scene.log.warning(Event.TAPE_CHECKED, error=error)
                told = True
            finally:
                await scene.store.close()
            await scene.clock.sleep(AWAY_SECONDS)

    async def _look(self, config: WorkerConfig) -> TapeCheck:
        symbols = list_symbols(config)
        self._symbols = {instrument_id: symbol for symbol, instrument_id in symbols.items()}
        look = Look(
            days=config.session.check_days,
            now_ns=self._scene.clock.now_ns() - SETTLED_NS,
            dense=makes_dense_bars(config.venue),
            from_first_row=True,
        )
        return await check_tape(config, symbols, self._scene.store, look)

    async def _ask(self) -> list[Tried]:
        start_ns = min(day.day_ns for day in self._left)
        end_ns = max(day.day_ns for day in self._left) + DAY_NS
        lacking: dict[str, set[str]] = {}
        for day in self._left:
            lacking.setdefault(day.channel, set()).add(day.instrument_id)
        return [
            tried
            for channel, ids in sorted(lacking.items())
            for tried in await self._scene.store.tried(channel, sorted(ids), start_ns, end_ns)
        ]

    # The chunk of a longer bar ends after a day's end, and is not whole while its own time is not.
    def _can_fetch(self, channel: str) -> bool:
        history = self._scene.history
        if history is None or not history.carries(channel):
            return False
        kind, _, interval = channel.partition("-")
        return kind != ChannelKind.BAR or (
            interval[-1] != "M" and next_open_ns(0, interval) <= DAY_NS
        )

    def _tell(self, found: TapeCheck) -> None:
        tell = self._scene.log.warning if found.missing else self._scene.log.info
        tell(
            Event.TAPE_CHECKED,
            missing_count=len(found.missing),
            days_count=len(found.days),
            series_count=found.series,
            first=[f"{each.instrument_id} {each.channel}" for each in found.repairs[:NAMED]],
        )


def describe(groups: Iterable[RepairGroup], symbols: Mapping[str, str]) -> tuple[MissingDays, ...]:
    """Return the first groups as a status tells them; `symbols` holds them by instrument_id."""
    told: list[MissingDays] = []
    room = MOST_NAMED
    for group in groups:
        if not room or len(told) == MOST_GROUPS:
            break
        named = group.instrument_ids[:room]
        room -= len(named)
        told.append(
            MissingDays(
                symbols=tuple(symbols[instrument_id] for instrument_id in named),
                channels=group.channels,
                start=datetime.fromtimestamp(group.start_ns // SECOND_NS, UTC),
                end=datetime.fromtimestamp(group.end_ns // SECOND_NS, UTC),
            )
        )
    return tuple(told)


def build_tape_watch(
    config: WorkerConfig, history: History | None, clock: Clock, log: FieldLog
) -> TapeWatch | None:
    """Return the watch of a configuration's first database; None where there is none to look at."""
    sinks = [sink for sink in config.sinks if isinstance(sink, PostgresSinkConfig)]
    if not sinks:
        return None
    store = PostgresDays(sinks[0], venue=config.venue, feed_source="", account="check")
    return TapeWatch(config, WatchScene(store=store, history=history, clock=clock, log=log))
