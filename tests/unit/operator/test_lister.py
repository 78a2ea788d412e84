import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support_plans import stored
from support_resources import JsonDict, feed_source, subscription

from feedplane_api.names import Kind
from feedplane_operator.cache import Cache
from feedplane_operator.controller import Controller
from feedplane_operator.core.observed import Defaults, FeederView
from feedplane_operator.core.plan import Ref
from feedplane_operator.errors import UnreachableError
from feedplane_operator.lister import RELIST_SECONDS, Lister
from feedplane_operator.observe import Observer
from feedplane_operator.workqueue import WorkQueue

pytestmark = pytest.mark.looptime
FEED = ("default", "spot")


class FakeCluster:
    """Lists what a test put there, one object to a page."""

    def __init__(self) -> None:
        self.objects: dict[str, list[JsonDict]] = {}
        self.labels: dict[str, str] = {}
        self.reachable = True
        self.version = "10"

    async def pages(
        self, kind: str, namespace: str = "", *, labels: str = ""
    ) -> AsyncIterator[tuple[list[JsonDict], str]]:
        if not self.reachable:
            raise UnreachableError("GET", 0, "timeout")
        self.labels[kind] = labels
        found = self.objects.get(kind, [])
        for obj in found:
            bare = {key: obj[key] for key in obj if key not in ("kind", "apiVersion")}
            yield [bare], self.version
        if not found:
            yield [], self.version


class Parts:
    """A lister and what it writes to."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cache = Cache()
        self.queue = WorkQueue()
        self.observer = Observer(self.cache, Defaults())
        controller = Controller(self.cache, self.queue, self.observer)
        fake: Any = self.cluster
        self.lister = Lister(fake, self.cache, controller, self.observer, ())

    def put(self, manifest: JsonDict, version: int = 1) -> JsonDict:
        made = stored(manifest)
        made["metadata"]["resourceVersion"] = str(version)
        self.cluster.objects.setdefault(manifest["kind"], []).append(made)
        return made

    async def taken(self) -> list[str]:
        await asyncio.sleep(1)
        return [(await self.queue.take()).name for _ in range(len(self.queue))]


async def test_everything_listed_is_known_and_asked_for() -> None:
    parts = Parts()
    parts.put(feed_source("spot"))
    parts.put(subscription("majors", "spot"))
    await parts.lister.list_all()
    assert parts.cache.get(Ref("FeedSource", *FEED)) is not None
    assert sorted(await parts.taken()) == ["majors", "spot"]
    assert parts.cluster.labels["Deployment"] == "app.kubernetes.io/managed-by=feedplane"
    assert parts.cluster.labels["FeedSource"] == ""


async def test_list_of_nothing_new_asks_for_nothing() -> None:
    parts = Parts()
    parts.put(feed_source("spot"))
    await parts.lister.list_all()
    await parts.taken()
    await parts.lister.list_all()
    assert await parts.taken() == []


async def test_object_deleted_unseen_is_found_gone() -> None:
    parts = Parts()
    parts.put(feed_source("spot"))
    parts.put(subscription("majors", "spot"))
    await parts.lister.list_all()
    parts.observer.memory(FEED).feeders["spot-a-0"] = FeederView(error="x")
    await parts.taken()
    parts.cluster.objects = {}
    await parts.lister.list_all()
    assert parts.cache.resources(Kind.SUBSCRIPTION) == ()
    assert parts.cache.resources(Kind.FEED_SOURCE) == ()
    assert parts.observer.memory(FEED).feeders == {}


async def test_object_younger_than_the_list_is_kept() -> None:
    parts = Parts()
    young = stored(feed_source("spot"))
    young["metadata"]["resourceVersion"] = "11"
    parts.cache.put(young)
    await parts.lister.list_all()
    assert parts.cache.get(Ref("FeedSource", *FEED)) is not None


async def test_nothing_counts_as_listed_before_all_was() -> None:
    parts = Parts()
    parts.cluster.reachable = False
    listed = asyncio.Event()
    task = asyncio.create_task(parts.lister.run(listed))
    await asyncio.sleep(5)
    assert not listed.is_set()
    parts.cluster.reachable = True
    await asyncio.sleep(2)
    assert listed.is_set()
    parts.put(feed_source("late"))
    await asyncio.sleep(RELIST_SECONDS + 1)
    assert parts.cache.get(Ref("FeedSource", "default", "late")) is not None
    task.cancel()
    await asyncio.wait([task])


async def test_pod_that_is_gone_is_forgotten() -> None:
    parts = Parts()
    labels = {
        "feedplane.dev/feed-source": "spot",
        "feedplane.dev/account": "a",
        "feedplane.dev/shard": "0",
    }
    pod = {"kind": "Pod", "metadata": {"name": "x", "namespace": "default", "labels": labels}}
    parts.put(pod)
    await parts.lister.list_all()
    assert set(parts.cache.pods(FEED)) == {"spot-a-0"}
    parts.lister.forget(pod)
    assert parts.cache.pods(FEED) == {}
