import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from support_sinks import START_NS, LoopClock

from feedplane_api.worker import (
    FileSinkConfig,
    MissingDays,
    PostgresSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.core.integrity import RepairGroup, Tried
from feedplane_feeder.errors import SinkRefusedError, SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log
from feedplane_feeder.registry import HISTORIES
from feedplane_feeder.tape_watch import (
    ASK_SECONDS,
    MOST_GROUPS,
    MOST_NAMED,
    TapeWatch,
    WatchScene,
    build_tape_watch,
    describe,
)

pytestmark = pytest.mark.looptime

VENUE = "binance-spot"
TODAY_NS = START_NS // DAY_NS * DAY_NS
DAYS = [TODAY_NS - number * DAY_NS for number in (3, 2, 1)]
IDS = ("BTCUSDT.BINANCE-SPOT", "ETHUSDT.BINANCE-SPOT")
WHOLE = dict.fromkeys(DAYS, 1_440)


def moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // 10**9, UTC)


class Days:
    """A tape of bars as it is told, and what backfills did about it."""

    def __init__(self, held: Mapping[str, Mapping[int, int]]) -> None:
        self.held = held
        self.first: dict[str, int] = dict.fromkeys(IDS, DAYS[0])
        self.done: list[Tried] = []
        self.asked: set[str] = set()
        self.away = 0
        self.refuses = False
        self.opened = 0

    async def open(self) -> None:
        if self.refuses:
            raise SinkRefusedError("db", "too old")
        if self.away:
            self.away -= 1
            raise SinkUnavailableError("db", "away")
        self.opened += 1

    async def close(self) -> None:
        return

    async def count_days(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, Mapping[int, int]]:
        assert (start_ns, end_ns) == (DAYS[0], TODAY_NS)
        self.asked.add(channel)
        return self.held if channel == "bar-1m" else {}

    async def first_rows(self, channel: str, instrument_ids: Sequence[str]) -> Mapping[str, int]:
        return {each: at for each, at in self.first.items() if each in instrument_ids}

    async def tried(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Sequence[Tried]:
        return [each for each in self.done if each.channel == channel]


def config(*channels: str, days: int = 3, manual: tuple[str, ...] = ()) -> WorkerConfig:
    wanted = tuple(
        Wanted(symbol=symbol, channels=channels or ("bar-1m",), manual_repair=manual)
        for symbol in ("BTCUSDT", "ETHUSDT")
    )
    return WorkerConfig(
        venue=VENUE,
        wanted=wanted,
        sinks=(PostgresSinkConfig(dsn_env="DSN"),),
        session=SessionConfig(check_days=days),
    )


def make_watch(store: Days, asked: WorkerConfig | None = None, **scene: Any) -> TapeWatch:
    fields = {"store": store, "history": HISTORIES[VENUE], "clock": LoopClock(), **scene}
    return TapeWatch(asked or config(), WatchScene(log=get_log("test"), **fields))


def tried(instrument_id: str, day_ns: int, **fields: Any) -> Tried:
    known: dict[str, Any] = {
        "instrument_id": instrument_id,
        "channel": "bar-1m",
        "start_ns": day_ns,
        "end_ns": day_ns + DAY_NS,
        "held": 0,
        "finished_ns": START_NS - 1,
    }
    return Tried(**{**known, **fields})


def holed() -> Days:
    return Days({IDS[0]: {**WHOLE, DAYS[1]: 7}, IDS[1]: {**WHOLE, DAYS[1]: 8}})


async def test_missing_day_is_told_until_somebody_tried() -> None:
    store = holed()
    watch = make_watch(store)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(ASK_SECONDS / 2)
    # The feeder fills by itself what it can.
    assert watch.missing() == ()
    await asyncio.sleep(ASK_SECONDS)
    assert watch.missing() == (
        MissingDays(
            symbols=("BTCUSDT", "ETHUSDT"),
            channels=("bar-1m",),
            start=moment(DAYS[1]),
            end=moment(DAYS[2]),
        ),
    )
    store.done = [tried(IDS[0], DAYS[1], held=None, finished_ns=LoopClock().now_ns())]
    await asyncio.sleep(ASK_SECONDS)
    assert [each.symbols for each in watch.missing()] == [("ETHUSDT",)]
    store.done.append(tried(IDS[1], DAYS[1], held=8))
    await asyncio.wait_for(running, 2 * ASK_SECONDS)
    assert watch.missing() == ()


async def test_day_that_the_feeder_filled_meanwhile_is_not_told() -> None:
    store = holed()
    watch = make_watch(store)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(ASK_SECONDS / 2)
    store.held = dict.fromkeys(IDS, WHOLE)
    await asyncio.wait_for(running, ASK_SECONDS)
    assert (watch.missing(), store.opened) == ((), 2)


async def test_day_that_was_proven_empty_is_never_told() -> None:
    store = holed()
    store.done = [tried(IDS[0], DAYS[1], held=7), tried(IDS[1], DAYS[1], held=8)]
    watch = make_watch(store)
    await asyncio.wait_for(watch.run(), 2 * ASK_SECONDS)
    assert watch.missing() == ()


@pytest.mark.parametrize(
    ("asked", "history"),
    [
        pytest.param(config(manual=("bar-1m",)), HISTORIES[VENUE], id="left to a person"),
        pytest.param(config("book", "bar-1w", "bar-1M"), HISTORIES[VENUE], id="not to be had"),
        pytest.param(config(), None, id="a venue without a past"),
    ],
)
async def test_day_that_nobody_fetches_is_only_logged(
    asked: WorkerConfig, history: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watch = make_watch(Days({}), asked, history=history)
    with caplog.at_level(logging.INFO):
        await asyncio.wait_for(watch.run(), 1)
    (told,) = [each for each in caplog.records if each.message == Event.TAPE_CHECKED]
    assert told.levelno == logging.WARNING


async def test_quotes_that_nobody_fetches_are_not_looked_for() -> None:
    store = Days(dict.fromkeys(IDS, WHOLE))
    await asyncio.wait_for(make_watch(store, config("quote", "bar-1m", "book")).run(), 1)
    assert store.asked == {"bar-1m", "book"}


async def test_tape_that_begins_today_lacks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = Days({})
    store.first = {IDS[0]: TODAY_NS + 5}
    watch = make_watch(store)
    with caplog.at_level(logging.INFO):
        await asyncio.wait_for(watch.run(), 1)
    assert [each.levelno for each in caplog.records] == [logging.INFO]


async def test_database_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Days(dict.fromkeys(IDS, WHOLE))
    store.away = 3
    with caplog.at_level(logging.INFO):
        await asyncio.wait_for(make_watch(store).run(), 600)
    assert store.opened == 1
    assert [each.levelno for each in caplog.records] == [logging.WARNING, logging.INFO]


async def test_database_that_refuses_ends_the_look(caplog: pytest.LogCaptureFixture) -> None:
    store = holed()
    watch = make_watch(store)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(1.5 * ASK_SECONDS)
    assert watch.missing()
    store.refuses = True
    await asyncio.wait_for(running, 2 * ASK_SECONDS)
    assert watch.missing() == ()
    assert caplog.records[-1].levelno == logging.WARNING


async def test_look_waits_until_it_is_asked_for() -> None:
    store = holed()
    watch = make_watch(store, config(days=0))
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(1_000)
    assert store.opened == 0
    watch.adopt(config())
    await asyncio.sleep(2 * ASK_SECONDS)
    assert watch.missing()
    running.cancel()


async def test_status_names_as_much_as_it_can_hold() -> None:
    ids = tuple(f"S{number:04d}" for number in range(MOST_NAMED - 10))
    group = RepairGroup(instrument_ids=ids, channels=("trade",), start_ns=0, end_ns=DAY_NS)
    symbols = {each: each for each in ids}
    later = replace(group, start_ns=DAY_NS, end_ns=2 * DAY_NS)
    told = describe([group, later, later], symbols)
    assert [len(each.symbols) for each in told] == [MOST_NAMED - 10, 10]
    small = replace(group, instrument_ids=ids[:1])
    assert len(describe([small] * (MOST_GROUPS + 1), symbols)) == MOST_GROUPS


def test_tape_in_files_is_not_watched() -> None:
    files = WorkerConfig(venue=VENUE, sinks=(FileSinkConfig(path="-"),))
    clock, log = LoopClock(), get_log("test")
    assert build_tape_watch(files, None, clock, log) is None
    assert build_tape_watch(config(), None, clock, log) is not None
