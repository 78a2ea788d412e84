import asyncio
from datetime import datetime
from typing import Any

import pytest
from support_plans import stored
from support_resources import JsonDict, feed_source, subscription

from feedplane_operator import controller as module
from feedplane_operator.cache import Cache
from feedplane_operator.controller import Controller
from feedplane_operator.core.observed import Defaults, Observed
from feedplane_operator.core.plan import Manifest, Plan
from feedplane_operator.observe import Observer
from feedplane_operator.workqueue import Key, WorkQueue

pytestmark = pytest.mark.looptime


class Applied:
    """Notes the names of what would be applied."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def apply_plan(
        self, resource: Manifest, plan: Plan, observed: Observed, memory: object
    ) -> bool:
        self.names.append(resource["metadata"]["name"])
        return False


def _parts() -> tuple[Cache, WorkQueue, Controller]:
    cache, queue = Cache(), WorkQueue()
    return cache, queue, Controller(cache, queue, Observer(cache, Defaults()))


def _put(cache: Cache, manifest: JsonDict, **metadata: Any) -> JsonDict:
    made = stored(manifest)
    made["metadata"] |= {"resourceVersion": "1", **metadata}
    cache.put(made)
    return made


async def _run(controller: Controller, applied: Applied, seconds: float) -> None:
    task = asyncio.create_task(controller.run(applied))  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_event_asks_for_all_it_matters_to() -> None:
    cache, queue, controller = _parts()
    feed = _put(cache, feed_source("spot"))
    _put(cache, subscription("majors", "spot"))
    controller.saw(feed)
    applied = Applied()
    await _run(controller, applied, 1)
    assert applied.names == ["spot", "majors"]
    assert len(queue) == 0


async def test_changed_subscription_asks_for_its_feed() -> None:
    cache, _, controller = _parts()
    _put(cache, feed_source("spot"))
    controller.saw(_put(cache, subscription("majors", "spot"), generation=1))
    controller.saw(_put(cache, subscription("majors", "spot"), generation=2))
    applied = Applied()
    await _run(controller, applied, 1)
    assert set(applied.names) == {"majors", "spot"}


async def test_childs_event_asks_for_its_owner() -> None:
    cache, _, controller = _parts()
    _put(cache, feed_source("spot"))
    labels = {"feedplane.dev/feed-source": "spot"}
    metadata = {"name": "spot-a-0", "namespace": "default", "labels": labels}
    controller.saw({"kind": "Service", "metadata": metadata})
    applied = Applied()
    await _run(controller, applied, 1)
    assert applied.names == ["spot"]


async def test_resource_gone_or_going_is_left_alone() -> None:
    cache, queue, controller = _parts()
    going = _put(cache, feed_source("spot"), deletionTimestamp="now")
    controller.saw(going)
    queue.add(Key("FeedSource", "default", "never"))
    applied = Applied()
    await _run(controller, applied, 1)
    assert applied.names == []


async def test_broken_resource_does_not_stop_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reconcile(resource: Manifest, observed: Observed, now: datetime) -> Plan:
        if resource["metadata"]["name"] == "broken":
            raise KeyError("a bug of ours")
        return Plan()

    monkeypatch.setitem(module.RECONCILERS, "FeedSource", reconcile)
    cache, _, controller = _parts()
    for name in ("broken", "one", "two"):
        controller.saw(_put(cache, feed_source(name)))
    applied = Applied()
    await _run(controller, applied, 5)
    assert applied.names == ["one", "two"]
