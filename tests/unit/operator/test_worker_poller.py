from typing import Any, Self

import pytest
from support_backfills import JOB

from feedplane_api.backfill_worker import BackfillReport
from feedplane_operator.cache import Cache
from feedplane_operator.controller import Controller
from feedplane_operator.core.observed import Defaults
from feedplane_operator.observe import Observer
from feedplane_operator.worker_poller import WorkerPoller
from feedplane_operator.workqueue import WorkQueue

OWNER = ("default", "history")
BACKFILL = ("Backfill", *OWNER)


class FakeAnswer:
    def __init__(self, text: str | None) -> None:
        self._text = text

    async def __aenter__(self) -> Self:
        if self._text is None:
            raise OSError("nobody is there")
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def raise_for_status(self) -> None:
        return

    async def read(self) -> bytes:
        return (self._text or "").encode()


class FakeSession:
    """Workers by URL, each with what it answers."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []

    def get(self, url: str) -> FakeAnswer:
        self.asked.append(url)
        return FakeAnswer(self.answers.get(url))


class Parts:
    """A poller and what it reads and writes."""

    def __init__(self, url_template: str = "") -> None:
        self.cache, self.queue = Cache(), WorkQueue()
        self.observer = Observer(self.cache, Defaults())
        controller = Controller(self.cache, self.queue, self.observer)
        self.session = FakeSession()
        self.poller = WorkerPoller(self.cache, self.observer, controller, url_template)

    def put_pod(self, name: str = "history-0-x", address: str = "10.0.0.7", **status: Any) -> None:
        labels = {
            "feedplane.dev/backfill": "history",
            "feedplane.dev/feed-source": "spot",
            "batch.kubernetes.io/job-name": JOB.name,
        }
        metadata = {"name": name, "namespace": "default", "resourceVersion": "1", "labels": labels}
        body = {"phase": "Running", "podIP": address, **status}
        self.cache.put({"kind": "Pod", "metadata": metadata, "status": body})

    async def look(self) -> int:
        """Look once; how many Backfills are asked for."""
        session: Any = self.session
        await self.poller.look(session)
        return len(self.queue)


def said(**changes: Any) -> str:
    return BackfillReport(chunks_total=4, **changes).model_dump_json(by_alias=True)


async def test_worker_that_moved_asks_for_its_backfill() -> None:
    parts = Parts()
    parts.put_pod()
    parts.session.answers["http://10.0.0.7:8000/status"] = said(chunks_done=1)
    assert await parts.look() == 1
    assert tuple(await parts.queue.take()) == BACKFILL
    reports = parts.observer.backfill_memory(OWNER).reports
    assert reports["history-0-x"].chunks_done == 1


async def test_worker_that_did_not_move_asks_for_nothing() -> None:
    parts = Parts()
    parts.put_pod()
    parts.session.answers["http://10.0.0.7:8000/status"] = said()
    await parts.look()
    parts.queue.done(await parts.queue.take(), failed=False)
    assert await parts.look() == 0


@pytest.mark.parametrize("answer", [None, "", "{}{", '{"unknown": 1}'], ids=str)
async def test_worker_that_cannot_be_read_is_asked_again(answer: str | None) -> None:
    parts = Parts()
    parts.put_pod()
    if answer is not None:
        parts.session.answers["http://10.0.0.7:8000/status"] = answer
    assert await parts.look() == 0
    parts.session.answers["http://10.0.0.7:8000/status"] = said(chunks_done=2)
    assert await parts.look() == 1


async def test_worker_that_does_not_run_is_not_asked() -> None:
    parts = Parts()
    parts.put_pod("history-0-a", phase="Pending")
    parts.put_pod("history-0-b", phase="Succeeded")
    parts.put_pod("history-0-c", address="")
    await parts.look()
    assert parts.session.asked == []


async def test_template_leads_elsewhere() -> None:
    parts = Parts("http://proxy/{namespace}/{service}")
    parts.put_pod()
    await parts.look()
    assert parts.session.asked == ["http://proxy/default/history-0-x/status"]


async def test_new_job_forgets_the_last_ones_reports() -> None:
    parts = Parts()
    parts.put_pod()
    parts.session.answers["http://10.0.0.7:8000/status"] = said()
    await parts.look()
    memory = parts.observer.backfill_memory(OWNER)
    memory.job = "history-0"
    await parts.look()
    assert memory.job == JOB.name
    assert list(memory.reports) == ["history-0-x"]
