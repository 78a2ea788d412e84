import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from support_plans import NOW, stored
from support_resources import feed_source

from feedplane_operator.core.plan import Manifest, Note, Ref
from feedplane_operator.errors import NotFoundError, RefusedError
from feedplane_operator.events import EventReason
from feedplane_operator.recorder import QUEUED, REPEAT_WINDOW, Recorder

RESOURCE = stored(feed_source("spot"))
NOTE = Note(reason=EventReason.BECAME_READY, message="all is well")


class FakeCluster:
    """Takes events in; refuses them when told to."""

    def __init__(self) -> None:
        self.created: list[Manifest] = []
        self.patched: list[tuple[Ref, Manifest]] = []
        self.gone = False
        self.refuses = False

    async def create(self, manifest: Manifest) -> Manifest:
        if self.refuses:
            raise RefusedError("POST", 403, "no")
        self.created.append(manifest)
        return manifest

    async def patch(self, ref: Ref, body: Manifest) -> Manifest:
        if self.gone:
            raise NotFoundError("PATCH", 404, "gone")
        self.patched.append((ref, body))
        return body


async def _post(cluster: FakeCluster, *notes: tuple[Note, datetime]) -> None:
    now = [NOW]
    recorder = Recorder(cluster, "op-0", lambda: now[0])  # type: ignore[arg-type]
    task = asyncio.create_task(recorder.run())
    for note, moment in notes:
        now[0] = moment
        recorder.post(RESOURCE, note)
        for _ in range(5):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_event_names_resource_reason_and_words() -> None:
    cluster = FakeCluster()
    await _post(cluster, (NOTE, NOW))
    (event,) = cluster.created
    assert (event["reason"], event["note"], event["type"]) == (
        "BecameReady",
        "all is well",
        "Normal",
    )
    assert event["regarding"]["name"] == "spot"
    assert event["metadata"]["namespace"] == "default"


async def test_repeat_is_counted_on_the_first_event() -> None:
    cluster = FakeCluster()
    later = NOW + timedelta(minutes=1)
    await _post(cluster, (NOTE, NOW), (NOTE, later), (NOTE, later))
    assert len(cluster.created) == 1
    counts = [body["series"]["count"] for _, body in cluster.patched]
    assert counts == [2, 3]


async def test_repeat_after_long_is_a_new_event() -> None:
    cluster = FakeCluster()
    await _post(cluster, (NOTE, NOW), (NOTE, NOW + REPEAT_WINDOW))
    names = {event["metadata"]["name"] for event in cluster.created}
    assert len(names) == 2


async def test_repeat_of_an_event_that_is_gone_is_posted_anew() -> None:
    cluster = FakeCluster()
    cluster.gone = True
    await _post(cluster, (NOTE, NOW), (NOTE, NOW + timedelta(seconds=1)))
    assert len(cluster.created) == 2


async def test_refused_event_does_not_stop_the_next() -> None:
    cluster = FakeCluster()
    cluster.refuses = True
    await _post(cluster, (NOTE, NOW))
    cluster.refuses = False
    await _post(cluster, (NOTE, NOW))
    assert len(cluster.created) == 1


async def test_secret_in_words_is_blanked() -> None:
    cluster = FakeCluster()
    leaky = Note(reason=EventReason.DEGRADED, message="postgresql://u:pw@db", warning=True)
    await _post(cluster, (leaky, NOW))
    assert "pw" not in cluster.created[0]["note"]
    assert cluster.created[0]["type"] == "Warning"


@pytest.mark.parametrize("extra", [0, 3])
def test_full_queue_drops_events_and_goes_on(extra: int) -> None:
    cluster: Any = FakeCluster()
    recorder = Recorder(cluster, "op-0", lambda: NOW)
    for _ in range(QUEUED + extra):
        recorder.post(RESOURCE, NOTE)
    assert recorder._queue.qsize() == QUEUED
