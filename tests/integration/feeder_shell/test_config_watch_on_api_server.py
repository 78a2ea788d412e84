import asyncio
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from support_feeder_cluster import WORKER, Line, Place

from feedplane_api.worker import (
    ConfigMapRef,
    FileSinkConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.cluster import ClusterApi
from feedplane_feeder.config_watch import ConfigGate, ConfigMapWatch
from feedplane_feeder.log import get_log
from feedplane_feeder.metrics import Metrics

# Real servers on a busy machine take their time.
pytestmark = pytest.mark.timeout(120)

BASE = WorkerConfig(venue="some-venue", sinks=(FileSinkConfig(path="-"),))


def wanting(*symbols: str) -> WorkerConfig:
    wanted = tuple(Wanted(symbol=symbol, channels=("trade",)) for symbol in symbols)
    return BASE.model_copy(update={"wanted": wanted})


@asynccontextmanager
async def watching(place: Place) -> AsyncIterator[AsyncIterator[WorkerConfig]]:
    api = ClusterApi(place.address)
    log = get_log("config_watch")
    refused = Metrics(CollectorRegistry()).config_refused_total.labels("some-venue")
    watch = ConfigMapWatch(
        ConfigMapRef(namespace=place.namespace, name=WORKER),
        ConfigGate(BASE, log=log, refused=refused),
        api=api,
        clock=SystemClock(),
        rng=random.Random(1),  # noqa: S311 - jitter
        log=log,
    )
    changes = watch.changes()
    yield changes
    await api.close()


async def test_config_map_edited_arrives_within_a_second(place: Place) -> None:
    place.write_config(render_worker_config(wanting("BTCUSDT")))
    async with watching(place) as changes, asyncio.timeout(30):
        assert await anext(changes) == wanting("BTCUSDT")
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(1)
        place.write_config("venue: [broken")
        await asyncio.sleep(0.5)
        assert not following.done()
        place.write_config(render_worker_config(wanting("BTCUSDT", "ETHUSDT")))
        async with asyncio.timeout(2):
            assert await following == wanting("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize("when", ["cut before the edit", "cut while idle"])
async def test_config_map_edited_during_an_outage_arrives_after_it(
    place: Place, line: Line, when: str
) -> None:
    place.write_config(render_worker_config(BASE))
    async with watching(place) as changes, asyncio.timeout(60):
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(1)
        line.break_off()
        await asyncio.sleep(2)
        if when == "cut before the edit":
            place.write_config(render_worker_config(wanting("BTCUSDT")))
            line.cut = False
        else:
            line.cut = False
            await asyncio.sleep(3)
            place.write_config(render_worker_config(wanting("BTCUSDT")))
        assert await following == wanting("BTCUSDT")
