import asyncio

import pytest

from feedplane_operator.workqueue import BACKOFF_SECONDS, Key, WorkQueue

pytestmark = pytest.mark.looptime
A, B = Key("FeedSource", "n", "a"), Key("FeedSource", "n", "b")


async def _take_at(queue: WorkQueue) -> tuple[Key, float]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    key = await queue.take()
    return key, round(loop.time() - start, 3)


async def test_key_asked_for_twice_is_worked_on_once() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert [await queue.take(), await queue.take()] == [A, B]
    assert len(queue) == 0


async def test_key_asked_for_while_in_hand_comes_again() -> None:
    queue = WorkQueue()
    queue.add(A)
    key = await queue.take()
    queue.add(A)
    assert len(queue) == 0
    queue.done(key, failed=False)
    assert len(queue) == 1


async def test_key_given_back_in_peace_stays_away() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.done(await queue.take(), failed=False)
    assert len(queue) == 0


async def test_key_asked_for_later_comes_at_the_earliest_time() -> None:
    queue = WorkQueue()
    queue.add(A, 10)
    queue.add(A, 3)
    queue.add(A, 7)
    assert await _take_at(queue) == (A, 3.0)


async def test_key_asked_for_now_need_not_come_later() -> None:
    queue = WorkQueue()
    queue.add(A, 5)
    queue.add(A)
    assert await _take_at(queue) == (A, 0.0)
    queue.done(A, failed=False)
    queue.add(B, 20)
    assert await _take_at(queue) == (B, 20.0)


async def test_key_ready_already_is_not_put_off() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(A, 60)
    assert await _take_at(queue) == (A, 0.0)


async def test_failed_key_waits_longer_each_time() -> None:
    queue = WorkQueue()
    queue.add(A)
    await queue.take()
    waited = []
    for _ in range(len(BACKOFF_SECONDS) + 1):
        queue.done(A, failed=True)
        waited.append((await _take_at(queue))[1])
    assert waited == [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]]
    queue.done(A, failed=False)
    queue.add(A)
    await queue.take()
    queue.done(A, failed=True)
    assert await _take_at(queue) == (A, BACKOFF_SECONDS[0])


async def test_failed_key_waits_as_long_as_the_server_asks() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.done(await queue.take(), failed=True, after_seconds=4.0)
    assert await _take_at(queue) == (A, 4.0)


async def test_good_key_is_looked_at_again_in_time() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.done(await queue.take(), failed=False, after_seconds=300.0)
    assert await _take_at(queue) == (A, 300.0)


async def test_forgotten_key_does_not_come_again() -> None:
    queue = WorkQueue()
    queue.add(A, 5)
    queue.forget(A)
    await asyncio.sleep(10)
    assert len(queue) == 0
    assert queue.age_seconds() == 0.0


async def test_what_can_wait_comes_after_what_cannot() -> None:
    queue = WorkQueue(patient=frozenset({"Backfill"}))
    patient = [Key("Backfill", "n", name) for name in "ab"]
    for key in (*patient, A):
        queue.add(key)
    queue.add(patient[0], 5.0)
    assert len(queue) == 3
    assert [await queue.take() for _ in range(3)] == [A, *patient]
    assert queue.age_seconds() == 0.0


async def test_age_is_that_of_the_one_that_waits_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("feedplane_operator.workqueue.monotonic_seconds", lambda: now[0])
    queue = WorkQueue(patient=frozenset({"Backfill"}))
    queue.add(Key("Backfill", "n", "a"))
    now[0] = 103.0
    queue.add(A)
    now[0] = 105.0
    assert queue.age_seconds() == 5.0
    await queue.take()
    assert queue.age_seconds() == 5.0
