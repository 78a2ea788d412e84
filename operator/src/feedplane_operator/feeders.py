"""Questions to feeders, and the list of Leases: one loop for all FeedSources.

What comes back is kept in the Observer's memory; a reconcile is asked for only when it says
something a person would notice.
"""

import asyncio
import hashlib
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import Final

import aiohttp
from pydantic import ValidationError

from feedplane_api.feed_source import ALWAYS_OPEN
from feedplane_api.names import (
    HTTP_PORT,
    LABEL_ACCOUNT,
    LABEL_MANAGED_BY,
    LABEL_SHARD,
    MANAGED_BY,
    Kind,
    worker_name,
)
from feedplane_api.worker import FeederStatus, Listing
from feedplane_operator.cache import Cache, Feed, feed_of, parse_all
from feedplane_operator.calendars import Calendars
from feedplane_operator.clock import monotonic_seconds, utc_now
from feedplane_operator.cluster import Cluster
from feedplane_operator.controller import Controller
from feedplane_operator.core.conflicts import count_conflicts, find_conflicts
from feedplane_operator.core.observed import FeederView
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.core.pods import PodView
from feedplane_operator.errors import ClusterError
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log
from feedplane_operator.metrics import POLL_ERRORS, POLL_SECONDS
from feedplane_operator.observe import Observer, parse_lease
from feedplane_operator.worker_poller import WorkerPoller

ANSWER_SECONDS: Final = 3.0
QUESTIONS_AT_ONCE: Final = 32
MISSES_ALLOWED: Final = 2
"""So many questions in a row may stay unanswered before the last report is put aside."""
LISTING_SECONDS: Final = 60.0
FIGURES_SECONDS: Final = 30.0
"""Rate and lag alone are worth a reconcile this often."""
MOUNT_CHECK_SECONDS: Final = 15.0
MOUNT_PATIENCE_SECONDS: Final = 5.0
_LOG = get_log("feeders")


class Poller:
    """Looks at every feeder and every Lease, every few seconds."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        observer: Observer,
        controller: Controller,
        *,
        namespaces: tuple[str, ...],
        url_template: str,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._observer = observer
        self._controller = controller
        self._scopes = namespaces or ("",)
        self._url_template = url_template
        self._slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._misses: dict[tuple[Feed, str], int] = {}
        self._signatures: dict[Feed, Hashable] = {}
        self._listed: dict[Feed, float] = {}
        self._figured: dict[Feed, float] = {}
        self._mounts: dict[str, float] = {}
        self._calendars = Calendars()
        self._workers = WorkerPoller(cache, observer, controller, url_template)

    async def run(self, every_seconds: float, beat: Callable[[], None]) -> None:
        """Look at everything, for ever."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(limit=QUESTIONS_AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while True:
                started = monotonic_seconds()
                await self.look(session)
                POLL_SECONDS.observe(monotonic_seconds() - started)
                beat()
                await asyncio.sleep(max(0.0, started + every_seconds - monotonic_seconds()))

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Look at everything once."""
        try:
            await self._list_leases()
        except ClusterError as error:
            _LOG.warning(LogEvent.POLL_FAILED, error=error)
        feeds = [
            (obj["metadata"]["namespace"], obj["metadata"]["name"])
            for obj in self._cache.resources(Kind.FEED_SOURCE)
        ]
        self._forget_others(set(feeds))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._workers.look(session))
            for feed in feeds:
                if self._cache.children(feed):
                    group.create_task(self._look_at(session, feed))

    async def _list_leases(self) -> None:
        labels = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        for scope in self._scopes:
            found, version = await self._cluster.list("Lease", scope, labels=labels)
            leases = parse_all(found, "Lease", "coordination.k8s.io/v1")
            for lease in leases:
                self._take_lease(lease)
            listed = {ref_of(lease) for lease in leases}
            for gone in self._cache.drop_missing("Lease", scope, listed, int(version)):
                self._controller.saw(gone)

    def _take_lease(self, lease: Manifest) -> None:
        known = self._cache.get(ref_of(lease))
        if not self._cache.put(lease) or known is None:
            return
        before, after = parse_lease(known), parse_lease(lease)
        feed = feed_of(lease)
        moved = (before.holder, before.epoch) != (after.holder, after.epoch)
        relabelled = known["metadata"].get("labels") != lease["metadata"].get("labels")
        if feed is not None and (moved or relabelled):
            self._controller.ask_feed(feed)

    async def _look_at(self, session: aiohttp.ClientSession, feed: Feed) -> None:
        pods = self._cache.pods(feed)
        await self._find_mount_failures(feed, pods)
        urls = self._urls(feed, pods)
        memory = self._observer.memory(feed)
        for worker in [worker for worker in memory.feeders if worker not in urls]:
            del memory.feeders[worker]
        async with asyncio.TaskGroup() as group:
            for worker, url in urls.items():
                group.create_task(self._ask(session, feed, worker, url))
        if urls and self._listing_due(feed):
            await self._ask_listing(session, feed, urls.values())
        reports = [view.report for view in memory.feeders.values() if view.report is not None]
        memory.conflicts = count_conflicts(memory.conflicts, reports)
        await self._ask_calendar(feed)
        self._tell(feed)

    async def _ask_calendar(self, feed: Feed) -> None:
        memory = self._observer.memory(feed)
        found = self._cache.get(Ref(Kind.FEED_SOURCE.value, *feed))
        session = ((found or {}).get("spec") or {}).get("session") or {}
        name, minutes = session.get("calendar"), session.get("restartBeforeOpenMinutes")
        memory.restart_due, memory.calendar_missing = None, False
        if not name or name == ALWAYS_OPEN:
            memory.hours = None
            return
        now = utc_now()
        memory.hours = await self._calendars.hours(name, now)
        memory.calendar_missing = memory.hours is None
        if not minutes:
            return
        # From so many minutes before the market opens until it does, sessions have to be newer.
        opening = await self._calendars.next_open(name, now)
        if opening is not None and opening - timedelta(minutes=minutes) <= now:
            memory.restart_due = opening - timedelta(minutes=minutes)

    def _urls(self, feed: Feed, pods: dict[str, tuple[PodView, ...]]) -> dict[str, str]:
        if self._url_template:
            return {
                worker: self._url_template.format(service=worker, namespace=feed[0])
                for worker in self._running_workers(feed)
            }
        living = {
            worker: next((pod for pod in found if pod.address and not pod.deleting), None)
            for worker, found in pods.items()
        }
        return {
            worker: f"http://{pod.url_host}:{HTTP_PORT}"
            for worker, pod in living.items()
            if pod is not None and pod.phase == "Running"
        }

    def _running_workers(self, feed: Feed) -> list[str]:
        workers = []
        for ref, child in self._cache.children(feed).items():
            labels = child["metadata"].get("labels", {})
            if ref.kind == "Deployment" and child["spec"].get("replicas"):
                shard = int(labels.get(LABEL_SHARD, "0"))
                workers.append(worker_name(feed[1], labels.get(LABEL_ACCOUNT, ""), shard))
        return workers

    async def _ask(self, session: aiohttp.ClientSession, feed: Feed, worker: str, url: str) -> None:
        memory = self._observer.memory(feed)
        key = (feed, worker)
        try:
            text = await self._fetch(session, f"{url}/status")
            report = FeederStatus.model_validate_json(text)
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            POLL_ERRORS.inc()
            misses = self._misses[key] = self._misses.get(key, 0) + 1
            known = memory.feeders.get(worker, FeederView())
            ready = any(pod.ready for pod in self._cache.pods(feed).get(worker, ()))
            news = known.error is None and (misses > MISSES_ALLOWED or known.report is None)
            if news or (known.early and ready):
                memory.feeders[worker] = FeederView(error=_say(error), early=not ready)
                _LOG.info(LogEvent.FEEDER_UNREACHABLE, worker=worker, error=_say(error))
            return
        if self._misses.pop(key, 0) > MISSES_ALLOWED:
            _LOG.info(LogEvent.FEEDER_REACHED, worker=worker)
        memory.feeders[worker] = FeederView(report=report)

    async def _fetch(self, session: aiohttp.ClientSession, url: str) -> bytes:
        async with self._slots, session.get(url) as answer:
            answer.raise_for_status()
            return await answer.read()

    def _listing_due(self, feed: Feed) -> bool:
        globs = any(
            "selector" in (obj.get("spec") or {})
            for kind in (Kind.SUBSCRIPTION, Kind.BACKFILL)
            for obj in self._cache.referring(feed, kind)
        )
        since = self._listed.get(feed)
        return globs and (since is None or monotonic_seconds() - since >= LISTING_SECONDS)

    async def _ask_listing(
        self, session: aiohttp.ClientSession, feed: Feed, urls: Iterable[str]
    ) -> None:
        memory = self._observer.memory(feed)
        for url in urls:
            try:
                listing = Listing.model_validate_json(
                    await self._fetch(session, f"{url}/instruments")
                )
            except (aiohttp.ClientError, TimeoutError, OSError, ValidationError):
                continue
            # A feeder that has no list yet answers with an empty one.
            if not listing.instruments:
                continue
            found = {entry.symbol: entry.trading for entry in listing.instruments}
            self._listed[feed] = monotonic_seconds()
            if found != memory.listing:
                memory.listing = found
                self._controller.ask_feed(feed)
                self._controller.ask_referring(feed, Kind.BACKFILL)
            return

    async def _find_mount_failures(self, feed: Feed, pods: dict[str, tuple[PodView, ...]]) -> None:
        # The one place where Kubernetes says that a Secret is missing without reading Secrets.
        memory = self._observer.memory(feed)
        stuck = [pod for found in pods.values() for pod in found if _is_stuck(pod)]
        names = {pod.name for pod in stuck}
        for gone in [name for name in memory.mount_failures if name not in names]:
            del memory.mount_failures[gone]
            self._mounts.pop(gone, None)
        now = monotonic_seconds()
        for name in names:
            first = self._mounts.setdefault(name, now + MOUNT_PATIENCE_SECONDS)
            if now < first:
                continue
            self._mounts[name] = now + MOUNT_CHECK_SECONDS
            fields = f"involvedObject.name={name},reason=FailedMount"
            try:
                events, _ = await self._cluster.list("CoreEvent", feed[0], fields=fields)
            except ClusterError as error:
                _LOG.warning(LogEvent.POLL_FAILED, error=error)
                continue
            if events:
                memory.mount_failures[name] = str(events[-1].get("message", ""))

    def _tell(self, feed: Feed) -> None:
        memory = self._observer.memory(feed)
        signature = (
            tuple((name, sign(view)) for name, view in sorted(memory.feeders.items())),
            tuple(sorted(memory.mount_failures.items())),
            find_conflicts(memory.conflicts),
            (memory.restart_due, memory.calendar_missing),
            (memory.hours.since, memory.hours.until) if memory.hours else None,
        )
        now = monotonic_seconds()
        if self._signatures.get(feed) != signature:
            self._signatures[feed] = signature
            self._figured[feed] = now
            self._controller.ask_feed(feed)
        elif memory.feeders and now - self._figured.get(feed, 0.0) >= FIGURES_SECONDS:
            self._figured[feed] = now
            self._controller.ask_feed(feed)

    def _forget_others(self, feeds: set[Feed]) -> None:
        for gone in [feed for feed in self._signatures if feed not in feeds]:
            del self._signatures[gone]
            self._listed.pop(gone, None)
            self._figured.pop(gone, None)
        for key in [key for key in self._misses if key[0] not in feeds]:
            del self._misses[key]


def sign(view: FeederView) -> Hashable:
    """Return what of a report a person would notice, as one value that can be compared."""
    report = view.report
    if report is None:
        return view.error, view.early
    election = report.election
    # Thousands of them may be missing after an outage, and all that counts is whether they changed.
    named = repr([(p.symbol, p.channel, p.state, p.reason) for p in report.problems])
    problems = hashlib.sha256(named.encode()).digest()
    return (
        report.session,
        report.health.healthy,
        report.health.reason,
        report.ready,
        report.config_hash,
        (report.coverage.wanted, report.coverage.live),
        problems,
        tuple(
            (gap.symbol, gap.channel, gap.open, gap.filled, gap.unfillable, gap.missing)
            for gap in report.gaps
        ),
        report.repair.pending,
        report.large_gaps,
        report.missing_days,
        tuple((sink.name, sink.connected) for sink in report.sinks),
        (election.active, election.holder, election.epoch, election.last_failover_milliseconds),
        report.pod,
        report.banned_until_time,
    )


def _is_stuck(pod: PodView) -> bool:
    waiting = pod.waiting_reason in ("", "ContainerCreating")
    return pod.phase == "Pending" and waiting and not pod.unscheduled and not pod.deleting


def _say(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        return f"its status cannot be read at {path}: {first['msg']}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status}"
    return type(error).__name__
