import asyncio

import pytest

from feedplane_feeder.clock import SystemClock

YEAR_2020_NS = 1_577_836_800 * 10**9


@pytest.mark.looptime
async def test_clock_sleeping_waits_on_the_loop() -> None:
    before = asyncio.get_running_loop().time()
    await SystemClock().sleep(3_600)
    assert asyncio.get_running_loop().time() - before == pytest.approx(3_600, abs=1)


def test_clock_read_twice_never_runs_backwards() -> None:
    clock = SystemClock()
    first, second = clock.now_ns(), clock.now_ns()
    assert YEAR_2020_NS < first <= second
