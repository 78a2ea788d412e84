import asyncio

import pytest
from prometheus_client import CollectorRegistry

from feedplane_feeder.loop_lag import LoopLag
from feedplane_feeder.metrics import Metrics


async def test_loop_kept_busy_shows_the_delay() -> None:
    registry = CollectorRegistry()
    gauge = Metrics(registry).event_loop_lag_seconds.labels("some-venue")
    lag = LoopLag(gauge, beat_seconds=0.01)
    assert lag.worst_seconds == 0.0
    async with asyncio.TaskGroup() as tasks:
        beat = tasks.create_task(lag.run())
        await asyncio.sleep(0)
        deadline = asyncio.get_running_loop().time() + 0.06
        while asyncio.get_running_loop().time() < deadline:
            pass
        await asyncio.sleep(0.02)
        beat.cancel()
    assert lag.worst_seconds >= 0.04
    shown = registry.get_sample_value(
        "feedplane_feeder_event_loop_lag_seconds", {"venue": "some-venue"}
    )
    assert shown == pytest.approx(lag.worst_seconds)
