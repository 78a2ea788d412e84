"""Workers that take resources off the queue: observe, reconcile, apply.

Whatever the trigger - an event, a child's event, a poll, the passing of time - it is this one
path. Must not know kopf.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from feedplane_api.names import Kind
from feedplane_operator.apply import Applier
from feedplane_operator.cache import Cache, Feed, Owner, backfill_of, feed_of
from feedplane_operator.clock import monotonic_seconds, utc_now
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.core.reconcile_backfill import reconcile_backfill
from feedplane_operator.core.reconcile_feed_source import reconcile_feed_source
from feedplane_operator.core.reconcile_subscription import reconcile_subscription
from feedplane_operator.errors import ClusterError, UnreachableError
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log
from feedplane_operator.metrics import RECONCILE_ERRORS, RECONCILE_SECONDS, RECONCILES
from feedplane_operator.observe import Observer
from feedplane_operator.workqueue import Key, WorkQueue

WORKERS: Final = 8
RECONCILE_DEADLINE_SECONDS: Final = 60.0
CHILD_EVENT_PAUSE_SECONDS: Final = 0.2
"""Children's events come in swarms, most of them the echo of our own writes."""

Reconcile = Callable[[Manifest, Observed, datetime], Plan]
RECONCILERS: Final[dict[str, Reconcile]] = {
    Kind.FEED_SOURCE.value: reconcile_feed_source,
    Kind.SUBSCRIPTION.value: reconcile_subscription,
    Kind.BACKFILL.value: reconcile_backfill,
}
_LOG = get_log("controller")


class Controller:
    """Everything between an event and a write."""

    def __init__(self, cache: Cache, queue: WorkQueue, observer: Observer) -> None:
        self._cache = cache
        self._queue = queue
        self._observer = observer
        self._generations: dict[Ref, tuple[object, object]] = {}

    def saw(self, obj: Manifest) -> None:
        """Ask for all that an object's change can matter to."""
        ref = ref_of(obj)
        feed = feed_of(obj)
        if ref.kind in RECONCILERS:
            self._queue.add(Key(ref.kind, ref.namespace, ref.name))
        owner = backfill_of(obj)
        if owner is not None:
            self._queue.add(Key(Kind.BACKFILL.value, *owner), CHILD_EVENT_PAUSE_SECONDS)
            self.ask_next_backfill()
        if ref.kind == Kind.FEED_SOURCE.value:
            self.ask_dependents((ref.namespace, ref.name))
        referred = (ref.namespace, ref.name) if ref.kind == Kind.FEED_SOURCE.value else feed
        if referred is not None and self._is_news(obj):
            self.ask_referring(referred, Kind.BACKFILL)
        if ref.kind == Kind.SUBSCRIPTION.value and feed is not None:
            self._queue.add(Key(Kind.FEED_SOURCE.value, *feed))
        elif ref.kind not in RECONCILERS and feed is not None:
            self._queue.add(Key(Kind.FEED_SOURCE.value, *feed), CHILD_EVENT_PAUSE_SECONDS)

    def _is_news(self, obj: Manifest) -> bool:
        # Whether the spec of what Backfills refer to changed: there may be thousands of them, and
        # the status of a FeedSource is written every half minute.
        ref = ref_of(obj)
        if ref.kind not in (Kind.FEED_SOURCE.value, Kind.SUBSCRIPTION.value):
            return False
        generation = (obj["metadata"].get("uid"), obj["metadata"].get("generation"))
        if self._cache.get(ref) is None:
            self._generations.pop(ref, None)
            return True
        news = self._generations.get(ref) != generation
        self._generations[ref] = generation
        return news

    def ask_feed(self, feed: Feed) -> None:
        """Ask for a FeedSource and what refers to it."""
        self._queue.add(Key(Kind.FEED_SOURCE.value, *feed))
        self.ask_dependents(feed)

    def ask_dependents(self, feed: Feed) -> None:
        """Ask for what refers to a FeedSource and has to do with its feeders."""
        self.ask_referring(feed, Kind.SUBSCRIPTION)

    def ask_referring(self, feed: Feed, kind: Kind) -> None:
        """Ask for what refers to a FeedSource."""
        for obj in self._cache.referring(feed, kind):
            metadata = obj["metadata"]
            key = Key(kind.value, metadata["namespace"], metadata["name"])
            self._queue.add(key, CHILD_EVENT_PAUSE_SECONDS)

    def ask_backfill(self, backfill: Owner) -> None:
        """Ask for a Backfill whose workers said something new."""
        self._queue.add(Key(Kind.BACKFILL.value, *backfill))

    def ask_next_backfill(self) -> None:
        """Ask for the Backfill whose turn it may be."""
        waiting = self._observer.admissions.next(self._cache.running_workers())
        if waiting is not None:
            self._queue.add(Key(Kind.BACKFILL.value, *waiting))

    async def run(self, applier: Applier) -> None:
        """Work off the queue, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(applier))

    async def _work(self, applier: Applier) -> None:
        while True:
            key = await self._queue.take()
            failed, again = True, None
            started = monotonic_seconds()
            try:
                async with asyncio.timeout(RECONCILE_DEADLINE_SECONDS):
                    again = await self._reconcile(key, applier)
                failed = False
                RECONCILES.labels(key.kind).inc()
                RECONCILE_SECONDS.labels(key.kind).observe(monotonic_seconds() - started)
            except (ClusterError, TimeoutError) as error:
                again = error.after_seconds if isinstance(error, UnreachableError) else None
                self._report(key, error)
            except Exception as error:  # noqa: BLE001 - one broken resource must not stop the others
                self._report(key, error)
            finally:
                self._queue.done(key, failed=failed, after_seconds=again)

    async def _reconcile(self, key: Key, applier: Applier) -> float | None:
        resource = self._cache.get(Ref(key.kind, key.namespace, key.name))
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            self._queue.forget(key)
            if key.kind == Kind.BACKFILL.value:
                self._observer.admissions.leave((key.namespace, key.name))
                self.ask_next_backfill()
            return None
        if key.kind == Kind.BACKFILL.value:
            return await self._reconcile_backfill(key, resource, applier)
        is_feed = key.kind == Kind.FEED_SOURCE.value
        feed = (key.namespace, key.name) if is_feed else feed_of(resource)
        observed = self._observe(key, resource, feed)
        plan = RECONCILERS[key.kind](resource, observed, utc_now())
        if is_feed and feed is not None:
            # At once, so that no other reconcile takes the same places.
            self._observer.note_replacing(feed, plan.replacing)
        memory = self._observer.memory(feed) if feed is not None else None
        if await applier.apply_plan(resource, plan, observed, memory):
            return 0.0
        for made in plan.apply:
            # The watch brings only an echo of it.
            if made["kind"] == Kind.BACKFILL.value:
                self.ask_backfill((key.namespace, made["metadata"]["name"]))
        if is_feed and plan.writes_children and feed is not None:
            self.ask_dependents(feed)
            _LOG.info(
                LogEvent.FEED_RECONCILED,
                namespace=key.namespace,
                feed=key.name,
                applied_count=len(plan.apply),
                deleted_count=len(plan.delete),
            )
        return plan.requeue_after_seconds

    def _observe(self, key: Key, resource: Manifest, feed: Feed | None) -> Observed:
        if feed is None:
            return Observed()
        if key.kind == Kind.SUBSCRIPTION.value:
            return self._observer.observe_subscription(resource, feed)
        return self._observer.observe(feed)

    async def _reconcile_backfill(
        self, key: Key, resource: Manifest, applier: Applier
    ) -> float | None:
        owner, admissions = (key.namespace, key.name), self._observer.admissions
        observed = self._observer.observe_backfill(resource)
        plan = RECONCILERS[key.kind](resource, observed, utc_now())
        # At once, so that no other reconcile takes the same places.
        if plan.starting:
            admissions.start(owner, plan.starting)
        elif plan.waiting:
            admissions.wait(resource)
        else:
            admissions.leave(owner)
        try:
            memory = self._observer.backfill_memory(owner)
            again = await applier.apply_plan(resource, plan, observed, memory)
        finally:
            admissions.started(owner)
        self.ask_next_backfill()
        return 0.0 if again else plan.requeue_after_seconds

    def _report(self, key: Key, error: BaseException) -> None:
        RECONCILE_ERRORS.labels(key.kind, type(error).__name__).inc()
        _LOG.warning(
            LogEvent.RECONCILE_FAILED,
            error=error,
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
        )
