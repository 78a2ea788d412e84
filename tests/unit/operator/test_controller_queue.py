"""Many Backfills at once, with a Job controller in memory: in line, and all of them end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from support_plans import stored
from support_resources import BACKFILL, JsonDict, condition, feed_source

from feedplane_api.backfill_worker import BackfillReport, render_termination
from feedplane_operator.cache import Cache
from feedplane_operator.controller import Controller
from feedplane_operator.core.observed import Defaults, Observed
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.observe import Observer
from feedplane_operator.workqueue import WorkQueue

pytestmark = pytest.mark.looptime
PLACES = 8
JOB_SECONDS = 10.0


class Cluster:
    """Keeps what is applied, and ends each Job after a while."""

    def __init__(self) -> None:
        self.cache, queue = Cache(), WorkQueue()
        observer = Observer(self.cache, Defaults(), backfill_workers=PLACES)
        self.controller = Controller(self.cache, queue, observer)
        self.running = self.most = self.jobs = 0
        self._version = 0
        self._ends: list[asyncio.TimerHandle] = []

    def put(self, manifest: Manifest) -> JsonDict:
        self._version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
        made = {**manifest, "metadata": metadata}
        self.cache.put(made)
        return made

    async def apply_plan(
        self, resource: Manifest, plan: Plan, observed: Observed, memory: object
    ) -> bool:
        await asyncio.sleep(0.01)
        for manifest in plan.apply:
            made = self.put(manifest)
            if made["kind"] == "Job":
                self.jobs += 1
                self.running += made["spec"]["parallelism"]
                self.most = max(self.most, self.running)
                loop = asyncio.get_running_loop()
                self._ends.append(loop.call_later(JOB_SECONDS, self._end, ref_of(made)))
        for ref in plan.delete:
            self.cache.drop(ref)
        if plan.status is not None:
            self.put({**resource, "status": plan.status})
        return False

    def _end(self, ref: Ref) -> None:
        job = self.cache.get(ref)
        assert job is not None
        workers = job["spec"]["completions"]
        self.running -= job["spec"]["parallelism"]
        labels = job["metadata"]["labels"] | {"batch.kubernetes.io/job-name": ref.name}
        for index in range(workers):
            words = render_termination(
                BackfillReport(worker=index, chunks_total=1, chunks_done=1, ended=True)
            )
            state = {"terminated": {"exitCode": 0, "message": words}}
            status = {"containerStatuses": [{"name": "feeder", "state": state}]}
            annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
            metadata = {
                "name": f"{ref.name}-{index}",
                "namespace": "default",
                "labels": labels,
                "annotations": annotations,
            }
            pod = {"kind": "Pod", "metadata": metadata}
            self.put({**pod, "status": {"phase": "Succeeded", **status}})
        finished = {
            "succeeded": workers,
            "conditions": [{"type": "Complete", "status": "True"}],
            "completionTime": datetime(2026, 11, 21, tzinfo=UTC).isoformat(),
        }
        self.controller.saw(self.put({**job, "status": finished}))

    def create(self, number: int, **spec: Any) -> None:
        body: JsonDict = {**BACKFILL["spec"], **spec}  # type: ignore[dict-item]
        metadata = {
            "name": f"history-{number:04}",
            "creationTimestamp": f"2026-11-21T08:{number // 60:02}:{number % 60:02}Z",
        }
        made = stored({**BACKFILL, "metadata": metadata, "spec": body}, uid=f"{number:08}")
        made["metadata"]["namespace"] = "default"
        self.controller.saw(self.put(made))

    def states(self) -> list[str]:
        return [
            condition(dict(self.cache.get(ref) or {}), "Running").get("reason", "")
            for ref in self.cache.refs("Backfill")
        ]


async def _run(cluster: Cluster, seconds: float) -> None:
    task = asyncio.create_task(cluster.controller.run(cluster))  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_many_backfills_at_once_wait_in_line_and_all_end() -> None:
    cluster = Cluster()
    cluster.put(stored(feed_source("spot")))
    for number in range(100):
        cluster.create(number, parallelism=2)
    await _run(cluster, 5)
    assert cluster.jobs == PLACES // 2
    assert cluster.states().count("Queued") == 100 - PLACES // 2
    await _run(cluster, 100 / (PLACES / 2) * (JOB_SECONDS + 2))
    assert cluster.states() == ["ChunksDone"] * 100
    assert cluster.jobs == 100
    assert cluster.most <= PLACES


async def test_large_backfill_is_not_starved_by_small_ones() -> None:
    cluster = Cluster()
    cluster.put(stored(feed_source("spot")))
    cluster.create(0, parallelism=PLACES - 1)
    cluster.create(1, parallelism=20)
    for number in range(2, 6):
        cluster.create(number, parallelism=1)
    await _run(cluster, 5)
    # One place is free, and the large one is next: nobody overtakes it.
    assert cluster.jobs == 1
    await _run(cluster, 15)
    assert cluster.jobs == 2
    assert cluster.most <= PLACES
