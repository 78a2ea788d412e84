"""Questions to backfill workers: how far each is, every few seconds while it runs.

What comes back is kept in the Observer's memory; a reconcile is asked for whenever it moved.
"""

import asyncio
from typing import Final

import aiohttp
from pydantic import ValidationError

from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.names import HTTP_PORT
from feedplane_operator.cache import Cache, Owner
from feedplane_operator.controller import Controller
from feedplane_operator.core.backfill_pods import BackfillPod
from feedplane_operator.metrics import POLL_ERRORS
from feedplane_operator.observe import Observer

QUESTIONS_AT_ONCE: Final = 16


class WorkerPoller:
    """Looks at every backfill worker that runs."""

    def __init__(
        self, cache: Cache, observer: Observer, controller: Controller, url_template: str
    ) -> None:
        self._cache = cache
        self._observer = observer
        self._controller = controller
        self._url_template = url_template
        self._slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Ask each worker once, and ask for the Backfills of those that moved."""
        async with asyncio.TaskGroup() as group:
            for owner, pods in self._cache.backfill_pods().items():
                running = [pod for pod in pods if pod.running and pod.view.address]
                if running:
                    group.create_task(self._look_at(session, owner, running))

    async def _look_at(
        self, session: aiohttp.ClientSession, owner: Owner, pods: list[BackfillPod]
    ) -> None:
        memory = self._observer.backfill_memory(owner)
        reports = await asyncio.gather(*(self._ask(session, owner, pod) for pod in pods))
        moved = False
        for pod, report in zip(pods, reports, strict=True):
            if report is not None and memory.hear(pod, report):
                moved = True
        if moved:
            self._controller.ask_backfill(owner)

    async def _ask(
        self, session: aiohttp.ClientSession, owner: Owner, pod: BackfillPod
    ) -> BackfillReport | None:
        url = f"http://{pod.view.url_host}:{HTTP_PORT}"
        if self._url_template:
            url = self._url_template.format(service=pod.name, namespace=owner[0])
        try:
            async with self._slots, session.get(f"{url}/status") as answer:
                answer.raise_for_status()
                return BackfillReport.model_validate_json(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError):
            # A worker answers only once its database let it in, and not after its end.
            POLL_ERRORS.inc()
            return None
