"""Entry: settings, logging, watches, leader election, and the loops of the replica that acts."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial

import kopf
import uvloop

from feedplane_api.names import API_VERSION, PLURALS, ExitCode, Kind
from feedplane_operator.apply import Applier
from feedplane_operator.cache import Cache
from feedplane_operator.clock import utc_now
from feedplane_operator.cluster import Cluster, connect
from feedplane_operator.controller import Controller
from feedplane_operator.errors import ClusterError, SettingsError
from feedplane_operator.events import LogEvent
from feedplane_operator.feeders import Poller
from feedplane_operator.handlers import build_registry, build_settings
from feedplane_operator.health import Health
from feedplane_operator.leader import Election
from feedplane_operator.lister import Lister
from feedplane_operator.log import get_log, setup_logging
from feedplane_operator.metrics import LEADER
from feedplane_operator.notify import Notifier
from feedplane_operator.observe import Observer
from feedplane_operator.recorder import Recorder
from feedplane_operator.server import serve
from feedplane_operator.settings import Settings, read_settings
from feedplane_operator.workqueue import WorkQueue

HELP = """Usage: feedplane-operator

Turns FeedSources, Subscriptions and Backfills into feeders and backfill workers, and reports what
they do. Ends on SIGTERM. Takes no options; the environment has its settings, of which POD_NAME,
POD_NAMESPACE and FEEDPLANE_FEEDER_IMAGE are required: docs/reference/operator.md has all of them.
The chart in charts/feedplane sets them.
"""
_KINDS_RETRY_SECONDS = 2.0
_LOG = get_log("operator")


class _Stopped(Exception):  # noqa: N818 - no error, but how a TaskGroup is left
    """The operator was asked to stop."""


def main() -> None:
    """Run the operator until a signal comes or something it cannot do without is lost."""
    if not {"-h", "--help"}.isdisjoint(sys.argv[1:]):
        sys.stdout.write(HELP)
        return
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(ExitCode.USAGE)
    setup_logging(settings.log_format, settings.log_level)
    try:
        uvloop.run(run(settings))
    except BaseExceptionGroup as group:
        for cause in _leaves(group):
            _LOG.error(LogEvent.OPERATOR_FAILED, error=cause)
        sys.exit(ExitCode.FAILURE)
    except Exception as error:  # noqa: BLE001 - the one place where everything ends
        _LOG.error(LogEvent.OPERATOR_FAILED, error=error)
        sys.exit(ExitCode.FAILURE)
    _LOG.info(LogEvent.OPERATOR_STOPPED)


async def run(settings: Settings) -> None:
    """Watch everything, and act while this replica holds the Lease.

    Both replicas watch, so that the one that takes over has nothing to read first.

    Raises:
        ExceptionGroup: the Lease or the watches were lost.
    """
    state = _make_state(settings)
    health = state.health
    async with connect() as cluster, serve(settings.http_port, health, state.cache) as port:
        _LOG.info(LogEvent.OPERATOR_STARTED, pod=settings.pod_name, http_port=port)
        election = Election(
            cluster,
            namespace=settings.pod_namespace,
            name=settings.lease_name,
            identity=settings.pod_name,
            beat=partial(health.beat, "leader election"),
        )
        acting = _Acting(settings, cluster, state)
        lister = Lister(cluster, state.cache, state.controller, state.observer, settings.namespaces)
        registry = build_registry(state.cache, state.controller, lister)
        await _await_kinds(cluster)
        try:
            async with asyncio.TaskGroup() as group:
                leading = group.create_task(_lead(settings, election, acting))
                stop = asyncio.Event()
                _stop_on_signals(stop)
                group.create_task(lister.run(state.listed))
                group.create_task(_watch(settings, registry, state, stop))
                group.create_task(_stop_in_order(stop, leading, election))
        except* _Stopped:
            pass
        finally:
            LEADER.set(0)
            await election.release()


@dataclass(frozen=True, slots=True)
class _State:
    # What both replicas keep, whether they act or not.
    cache: Cache
    queue: WorkQueue
    health: Health
    observer: Observer
    controller: Controller
    listed: asyncio.Event


def _make_state(settings: Settings) -> _State:
    # Thousands of Backfills may be made at once, and none is as urgent as a feed.
    cache, queue = Cache(), WorkQueue(patient=frozenset({Kind.BACKFILL.value}))
    observer = Observer(
        cache,
        settings.defaults,
        rollout_feeders=settings.rollout_feeders,
        backfill_workers=settings.backfill_workers,
    )
    controller = Controller(cache, queue, observer)
    return _State(cache, queue, Health(), observer, controller, asyncio.Event())


class _Acting:
    # The loops of the replica that holds the Lease.

    def __init__(self, settings: Settings, cluster: Cluster, state: _State) -> None:
        self._state = state
        self._every_seconds = settings.poll_seconds
        self._recorder = Recorder(cluster, settings.pod_name, utc_now)
        self._notifier = Notifier(cluster, utc_now, self._recorder.post)
        self._applier = Applier(cluster, state.cache, self._recorder, self._notifier)
        self._poller = Poller(
            cluster,
            state.cache,
            state.observer,
            state.controller,
            namespaces=settings.namespaces,
            url_template=settings.feeder_url_template,
        )

    async def run(self) -> None:
        LEADER.set(1)
        state = self._state
        # Before everything was listed, what is not known yet would look deleted.
        await state.listed.wait()
        beat = partial(state.health.beat, "poller")
        state.health.watch_queue(state.queue.age_seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(state.controller.run(self._applier))
            group.create_task(self._recorder.run())
            group.create_task(self._notifier.run())
            group.create_task(self._poller.run(self._every_seconds, beat))


async def _lead(settings: Settings, election: Election, acting: _Acting) -> None:
    if not settings.leader_election:
        await acting.run()
        return
    await election.acquire()
    async with asyncio.TaskGroup() as group:
        group.create_task(election.hold())
        group.create_task(acting.run())


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _stop_in_order(
    stop: asyncio.Event, leading: asyncio.Task[None], election: Election
) -> None:
    # Writes end before the Lease is given up, and it is given up before anything slow is closed.
    await stop.wait()
    leading.cancel()
    await asyncio.wait([leading])
    await election.release()
    raise _Stopped


async def _watch(
    settings: Settings,
    registry: kopf.OperatorRegistry,
    state: _State,
    stop: asyncio.Event,
) -> None:
    # The watches begin where the lists end; what they list again is known already.
    await state.listed.wait()
    ready = asyncio.Event()

    async def say_ready() -> None:
        await ready.wait()
        state.health.ready = True
        # kopf has its own handlers by now, which would end the watches first and the writes last.
        _stop_on_signals(stop)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(say_ready())
        await kopf.operator(
            registry=registry,
            settings=build_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            ready_flag=ready,
        )
        waiting.cancel()
    # kopf raises when a watch died; it comes back after a signal that came before it was ready.
    raise _Stopped


async def _await_kinds(cluster: Cluster) -> None:
    # kopf would pass over kinds that are not served yet, and never look again.
    while True:
        try:
            missing = set(PLURALS.values()) - await cluster.serves(API_VERSION)
        except ClusterError as error:
            _LOG.warning(LogEvent.KINDS_AWAITED, error=error)
        else:
            if not missing:
                return
            _LOG.warning(LogEvent.KINDS_AWAITED, missing=",".join(sorted(missing)))
        await asyncio.sleep(_KINDS_RETRY_SECONDS)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    main()
