"""When retention has its turn, in virtual time; what it does to tables needs real ones."""

import asyncio
import logging
from collections import Counter
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from support_sinks import LoopClock

from feedplane_feeder.core.retention import Terms
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks.postgres_retention import (
    Housekeeper,
    PostgresRetention,
    render_compression,
)
from feedplane_feeder.sinks.postgres_schema import BARS, TRADES

pytestmark = pytest.mark.looptime


class FakeStore:
    """A store that notes its turns."""

    name, venue = "tape", "some-venue"
    features = None
    can_compress = False

    def __init__(self) -> None:
        self.terms = Terms(retention_days=30)
        self.turns: list[float] = []
        self.closed = 0
        self.away = False
        self.ended = True
        self.removed: Counter[str] = Counter()

    async def open(self) -> None:
        self.turns.append(asyncio.get_running_loop().time())
        if self.away:
            raise SinkUnavailableError(self.name, "away")

    async def keep(self) -> bool:
        self.removed.update(rows=5, chunks=2)
        return self.ended

    async def close(self) -> None:
        self.closed += 1


class House:
    """A housekeeper with everything around it."""

    def __init__(self) -> None:
        self.store, self.active, self.registry = FakeStore(), True, CollectorRegistry()
        store = cast("PostgresRetention", self.store)
        metrics, log = Metrics(self.registry), get_log("test")
        self.keeper = Housekeeper(store, lambda: self.active, LoopClock(), metrics, log)

    async def live(self, seconds: float) -> None:
        """Let it keep house for a while."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.keeper.run())
            await asyncio.sleep(seconds)
            task.cancel()

    def counted(self, result: str) -> float | None:
        """Return what the metric says."""
        labels = {"venue": "some-venue", "sink": "tape", "result": result}
        name = "feedplane_feeder_retention_removed_total"
        return self.registry.get_sample_value(name, labels)


async def test_housekeeper_works_soon_and_then_hourly() -> None:
    house = House()
    await house.live(7_300)
    assert house.store.turns == [60, 3_660, 7_260]
    assert house.store.closed == 3
    assert (house.counted("rows"), house.counted("chunks")) == (15, 6)


async def test_housekeeper_standing_by_touches_nothing() -> None:
    house = House()
    house.active = False
    await house.live(7_200)
    assert house.store.turns == []


async def test_housekeeper_with_work_left_comes_back_soon() -> None:
    house = House()
    house.store.ended = False
    await house.live(200)
    assert house.store.turns == [60, 120, 180]


async def test_housekeeper_outlives_a_database_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.store.away = True
    await house.live(3_700)
    assert house.store.turns == [60, 3_660]
    assert house.store.closed == 2
    assert [record.message for record in caplog.records] == [Event.RETENTION_FAILED] * 2


async def test_housekeeper_tells_once_that_compression_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.store.terms = Terms(compress_after_days=7)
    with caplog.at_level(logging.WARNING):
        await house.live(7_300)
    assert [record.message for record in caplog.records] == [Event.COMPRESSION_REFUSED]


@pytest.mark.parametrize(
    ("table", "segments", "order"),
    [
        (TRADES, '"instrument_id"', '"ts_event" desc, "trade_id"'),
        (BARS, '"instrument_id", "interval"', '"ts_open" desc'),
    ],
    ids=["trades", "bars"],
)
def test_compression_names_every_column_of_the_key(
    table: object, segments: str, order: str
) -> None:
    statement = render_compression("tape", table)  # type: ignore[arg-type]  # a Table
    assert statement.startswith('alter table "tape".')
    assert f"timescaledb.compress_segmentby = '{segments}'" in statement
    assert f"timescaledb.compress_orderby = '{order}'" in statement
