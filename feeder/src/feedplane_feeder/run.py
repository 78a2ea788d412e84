"""One feeder process from its configuration to its end: wiring, signals, orderly stop.

Must not know venues or stores by name, nor what a record is.
"""

import asyncio
import gc
import random  # noqa: TID251 - made here, passed on as an argument
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from feedplane_api.worker import WorkerConfig, config_hash
from feedplane_feeder.allowance import LocalAllowance, build_allowance
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.cluster import ClusterApi, find_address
from feedplane_feeder.config_watch import ConfigGate, ConfigMapWatch, FileWatch
from feedplane_feeder.core.budget import Priority
from feedplane_feeder.core.config_diff import adopt_live, compare_configs
from feedplane_feeder.core.ports import Adapter
from feedplane_feeder.election import LeaseElection, SoloElection
from feedplane_feeder.events import Event
from feedplane_feeder.lease_object import LeaseContext
from feedplane_feeder.live import Live, Outside
from feedplane_feeder.log import FieldLog, get_log
from feedplane_feeder.loop_lag import LoopLag
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.peer_watch import build_peer_watches
from feedplane_feeder.registry import HISTORIES, find_adapter
from feedplane_feeder.seat import LeaseSeat, OpenSeat
from feedplane_feeder.server import Server
from feedplane_feeder.settings import Settings
from feedplane_feeder.sinks.factory import build_budgets, build_housekeepers, build_ledgers
from feedplane_feeder.status_line import render_status_line
from feedplane_feeder.tape_watch import TapeWatch, build_tape_watch
from feedplane_feeder.transport import Engine, build_transport
from feedplane_feeder.writer import build_writers

COLLECTOR_THRESHOLDS: Final = (20_000, 20, 50)
# Together below the pod's grace period of 30 seconds.
STOP_SECONDS: Final = 22.0
HANDOVER_SECONDS: Final = 7.0
"""Part of STOP_SECONDS in which another account may take over before this one ends."""
RELEASE_SECONDS: Final = 3.0
STATUS_LINE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line adds to the configuration."""

    config_path: Path
    engine: Engine = Engine.PICOWS
    duration_seconds: float | None = None
    """Stop by itself after this time."""
    print_line: Callable[[str], None] | None = None
    """Takes a status line every few seconds."""


class Beside(Protocol):
    """Work of its own beside the tape; it cures its own troubles."""

    def run(self) -> Coroutine[None, None, None]:
        """Work until cancelled."""
        ...


@dataclass(slots=True, kw_only=True)
class Process:
    """The parts of one running feeder."""

    config: WorkerConfig
    options: RunOptions
    live: Live
    election: LeaseElection | SoloElection
    seat: LeaseSeat | OpenSeat
    server: Server
    loop_lag: LoopLag
    changes: AsyncIterator[WorkerConfig]
    api: ClusterApi | None
    log: FieldLog
    tape_watch: TapeWatch | None = None
    """Looks at the days before the start, where there is a database to look at."""
    beside: Sequence[Beside] = ()
    """More work that ends with the process."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once another account has taken over, or none can."""

    async def run(self) -> None:
        """Run until told to stop, then end in good order.

        Raises:
            ExceptionGroup: something failed that waiting cannot cure.
        """
        try:
            await self.server.start()
            self.log.info(Event.FEEDER_STARTED, port=self.server.port, error=None, **self._names())
            async with asyncio.TaskGroup() as tasks:
                live = tasks.create_task(self.live.run(self.ending), name="live")
                beside = [tasks.create_task(work) for work in self._beside()]
                await self._until_stopped(live)
                for task in beside:
                    task.cancel()
        finally:
            await self._close()
        self.log.info(Event.FEEDER_STOPPED)

    def _beside(self) -> list[Coroutine[None, None, None]]:
        work = [self.election.run(), self.seat.run(), self.loop_lag.run(), self._follow_config()]
        work += [each.run() for each in self.beside]
        if self.tape_watch is not None:
            work.append(self.tape_watch.run())
        if self.options.print_line is not None:
            work.append(self._print_status(self.options.print_line))
        return work

    async def _until_stopped(self, live: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({live, stopping}, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(STOP_SECONDS):
                if not live.done():
                    await self._hand_over()
                self.ending.set()
                await live
        except TimeoutError:
            # What was not written by now is in the spill, or will be a restart gap.
            self.log.error(  # noqa: TRY400 - the traceback of a deadline says nothing
                Event.FEEDER_FAILED, reason="StopDeadline", stop_seconds=STOP_SECONDS
            )
        finally:
            stopping.cancel()

    async def _hand_over(self) -> None:
        # Where another account can publish it takes over first, and the tape does not stop.
        if not any(peer.fresh and peer.healthy for peer in self.election.peers()):
            return
        try:
            async with asyncio.timeout(HANDOVER_SECONDS):
                await self.election.release()
        except TimeoutError as error:
            self.log.warning(Event.ELECTION_UNREACHABLE, error=error)

    async def _close(self) -> None:
        # Where nobody took over the Lease goes last: until here records may still have been
        # written under it. The seat goes when the last connection is closed.
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await asyncio.gather(self.election.release(), self.seat.release())
        except TimeoutError as error:
            self.log.warning(Event.ELECTION_UNREACHABLE, error=error)
        await self.server.stop()
        if self.api is not None:
            await self.api.close()

    async def _follow_config(self) -> None:
        async for new in self.changes:
            difference = compare_configs(self.config, new)
            if difference.restart:
                # The operator rolls the pod for these; the process goes on as it is.
                self.log.warning(Event.CONFIG_DEFERRED, fields=difference.restart)
            if difference.live:
                self.config = adopt_live(self.config, new)
                self.live.reconfigure(self.config)
                if self.tape_watch is not None:
                    self.tape_watch.adopt(self.config)
                self.log.info(
                    Event.CONFIG_CHANGED,
                    fields=difference.live,
                    added_count=len(difference.added),
                    removed_count=len(difference.removed),
                    config_hash=config_hash(self.config),
                )

    async def _print_status(self, print_line: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(STATUS_LINE_SECONDS)
            print_line(render_status_line(self.live.status()))

    def _names(self) -> dict[str, str | int]:
        return {
            "namespace": self.config.feed_source.namespace,
            "account": self.config.account.name,
            "shard": self.config.shard,
            "config_hash": config_hash(self.config),
            "transport": self.options.engine.value,
        }


def build_process(config: WorkerConfig, options: RunOptions, settings: Settings) -> Process:
    """Put one feeder together; called inside its event loop.

    Raises:
        UnknownVenueError: no adapter of that name.
        ClusterUnavailableError: the configuration asks for a cluster and this is not a pod.
    """
    adapter = find_adapter(config.venue)
    log = get_log("run", venue=config.venue, feed=config.feed_source.name)
    clock = SystemClock()
    metrics = Metrics(build_registry())
    api = _build_api(config, settings)
    context = _build_context(config, settings, api, metrics)
    election, seat = _build_election(config, context), _build_seat(config, context)
    rng = random.Random()  # noqa: S311 - jitter, not a secret
    loop_lag = LoopLag(metrics.event_loop_lag_seconds.labels(config.venue))
    history = HISTORIES.get(config.venue)
    tape_watch = build_tape_watch(config, history, clock, log)
    outside = Outside(
        transport=adapter.transport(clock, lambda: build_transport(options.engine, clock)),
        election=election,
        seat=seat,
        clock=clock,
        rng=rng,
        metrics=metrics,
        pod=settings.pod_name,
        version=_version(),
        loop_lag_seconds=lambda: loop_lag.worst_seconds,
        ledgers=build_ledgers(config),
        history=history,
        missing_days=tape_watch.missing if tape_watch is not None else tuple,
        allowance=_build_allowance(config, adapter, metrics),
    )
    writers = build_writers(config, clock=clock, metrics=metrics)
    live = Live(config, adapter, writers, outside)
    gate = ConfigGate(config, log=log, refused=metrics.config_refused_total.labels(config.venue))
    return Process(
        config=config,
        options=options,
        live=live,
        election=election,
        seat=seat,
        server=Server(live, metrics.registry, config.http_port),
        loop_lag=loop_lag,
        changes=_build_changes(config, options, gate, api, rng),
        api=api,
        log=log,
        tape_watch=tape_watch,
        beside=(
            *build_housekeepers(config, live.is_publishing, clock, metrics, log),
            *build_peer_watches(config, adapter.capabilities, writers, clock, metrics, log),
        ),
    )


def build_registry() -> CollectorRegistry:
    """Return a registry with the process's own figures: memory, CPU, descriptors, collections."""
    # A second series per counter that nobody reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def tune_collector() -> None:
    """Let the collector of cycles look rarely, and never at what a process starts with.

    Records and levels hold no cycles; to look for some among them took a tenth of the time.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


async def run_feeder(config: WorkerConfig, options: RunOptions, settings: Settings) -> None:
    """Run one feeder until a signal, or for as long as the options say."""
    tune_collector()
    process = build_process(config, options, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _ask_to_stop, process.stop, loop)
    if options.duration_seconds is not None:
        loop.call_later(options.duration_seconds, process.stop.set)
    await process.run()


def _version() -> str:
    # An image may carry the package without its metadata.
    try:
        return version("feedplane-feeder")
    except PackageNotFoundError:
        return ""


def _ask_to_stop(stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    # A second signal ends the process at once, as a person who presses Ctrl-C twice expects.
    stop.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def _build_api(config: WorkerConfig, settings: Settings) -> ClusterApi | None:
    if config.election is None and config.config_map is None:
        return None
    return ClusterApi(
        find_address(settings.kubernetes_host, settings.kubernetes_port, settings.service_account)
    )


def _build_context(
    config: WorkerConfig, settings: Settings, api: ClusterApi | None, metrics: Metrics
) -> LeaseContext | None:
    if config.election is None or api is None:
        return None
    return LeaseContext(
        api=api,
        clock=SystemClock(),
        log=get_log("election", venue=config.venue, feed=config.feed_source.name),
        pod=settings.pod_name,
        on_renewed=metrics.lease_renew_seconds.labels(config.venue).observe,
        on_unreachable=metrics.lease_unreachable_seconds_total.labels(config.venue).inc,
    )


def _build_allowance(config: WorkerConfig, adapter: Adapter, metrics: Metrics) -> LocalAllowance:
    allowance = build_allowance(
        adapter.capabilities.limits.request_weight_per_minute,
        SystemClock(),
        build_budgets(config),
        config.endpoints.rest or adapter.endpoints.rest,
    )

    def count(priority: Priority, seconds: float) -> None:
        labels = (config.venue, priority.name.lower())
        metrics.request_wait_seconds_total.labels(*labels).inc(seconds)

    allowance.on_wait = count
    return allowance


def _build_election(
    config: WorkerConfig, context: LeaseContext | None
) -> LeaseElection | SoloElection:
    if config.election is None or context is None:
        return SoloElection(config.account.name, clock=SystemClock())
    return LeaseElection(config.election, config.account.name, config.policy, context)


def _build_seat(config: WorkerConfig, context: LeaseContext | None) -> LeaseSeat | OpenSeat:
    election = config.election
    if election is None or election.account_lease_name is None or context is None:
        return OpenSeat()
    return LeaseSeat(election, election.account_lease_name, config.account.name, context)


def _build_changes(
    config: WorkerConfig,
    options: RunOptions,
    gate: ConfigGate,
    api: ClusterApi | None,
    rng: random.Random,
) -> AsyncIterator[WorkerConfig]:
    clock, log = SystemClock(), get_log("config_watch", venue=config.venue)
    if config.config_map is None or api is None:
        return FileWatch(options.config_path, gate, clock=clock).changes()
    watch = ConfigMapWatch(config.config_map, gate, api=api, clock=clock, rng=rng, log=log)
    return watch.changes()
