"""Live: one feeder at work: connections -> sessions -> tape -> writers, in one TaskGroup.

Wires what other modules decide. Must not know venues, sinks or Kubernetes.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from feedplane_api.worker import (
    ChannelState,
    ElectionReport,
    FeederStatus,
    ListedInstrument,
    Listing,
    WorkerConfig,
)
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.budget import SECOND_NS, WeightBudget, WindowBudget
from feedplane_feeder.core.coverage import Coverage
from feedplane_feeder.core.ports import Adapter, Channel, Clock, Election, Promoted, Transport
from feedplane_feeder.core.session import worst_state
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.core.wanted import build_should_list, tighten
from feedplane_feeder.errors import FeederError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher, Writer
from feedplane_feeder.records import GapCause
from feedplane_feeder.rest import RestClient
from feedplane_feeder.snapshots import Snapshots
from feedplane_feeder.status import View, build_status, count_coverage, moment
from feedplane_feeder.supervisor import Supervisor, Surroundings
from feedplane_feeder.waiting import wait_for_event

SWEEP_SECONDS: Final = 0.5
RELIST_NS: Final = 10 * SECOND_NS
VERDICT_SWEEPS: Final = 4
"""The verdict on one's own health is looked at every so many sweeps."""
FIRST_LISTING_SECONDS: Final = 5.0
"""How long to wait for the venue's list before named symbols are taken on trust."""
CONNECTIONS_STOP_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 15.0
FIVE_MINUTES_NS: Final = 300 * SECOND_NS


class ReportingElection(Election, Protocol):
    """An election that can say how it stands."""

    def report(self) -> ElectionReport:
        """Return who publishes, as this feeder knows it."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a feeder is given from outside."""

    transport: Transport
    election: ReportingElection
    clock: Clock
    rng: Rng
    metrics: Metrics
    pod: str = ""
    version: str = ""
    loop_lag_seconds: Callable[[], float] = field(default=lambda: 0.0)


class Live:
    """One feeder at work."""

    def __init__(
        self,
        config: WorkerConfig,
        adapter: Adapter,
        writers: Sequence[Writer],
        outside: Outside,
    ) -> None:
        self._config = config
        self._adapter = adapter
        self._writers = tuple(writers)
        self._outside = outside
        self._clock = outside.clock
        self._log = get_log("live", venue=config.venue, account=config.account.name)
        self._meters = Meters(outside.metrics, config.venue)
        self._limits = tighten(adapter.capabilities.limits, config.limits)
        self._coverage = Coverage()
        self._publisher = Publisher(Tape(config.venue), writers, self._meters, self._log)
        self._weights = WeightBudget(self._limits.request_weight_per_minute)
        self._headers = {
            "User-Agent": f"feedplane/{outside.version or '0'}",
            "X-Feedplane-Account": config.account.name,
        }
        self._shared = Surroundings(
            adapter=adapter,
            transport=outside.transport,
            publisher=self._publisher,
            coverage=self._coverage,
            connects=WindowBudget(self._limits.connects_per_five_minutes, FIVE_MINUTES_NS),
            clock=outside.clock,
            rng=outside.rng,
            headers=self._headers,
            log=self._log,
        )
        self._supervisors: dict[str, Supervisor] = {}
        self._group: asyncio.TaskGroup | None = None
        self._listed: tuple[ListedInstrument, ...] | None = None
        self._listed_ns = 0
        self._planned = False
        self._refresh = asyncio.Event()
        self._verdict = ""
        self._started_ns = outside.clock.now_ns()

    async def run(self, stop: asyncio.Event) -> None:
        """Feed until `stop` is set, then end cleanly: unsubscribe, drain, flush, close."""
        self._started_ns = self._clock.now_ns()
        base_url = self._config.endpoints.rest or self._adapter.endpoints.rest or ""
        capabilities = self._adapter.capabilities
        rest = RestClient(base_url, self._headers, self._weights, capabilities, self._clock)
        async with rest, asyncio.TaskGroup() as writing:
            tasks = [writing.create_task(writer.run()) for writer in self._writers]
            await self._feed(stop, rest)
            drains = [writer.drain(DRAIN_SECONDS) for writer in self._writers]
            await asyncio.gather(*drains)
            for task in tasks:
                task.cancel()

    def reconfigure(self, config: WorkerConfig) -> None:
        """Take over the live fields of another configuration."""
        self._config = self._config.model_copy(
            update={
                "wanted": config.wanted,
                "selectors": config.selectors,
                "limits": config.limits,
                "session": config.session,
            }
        )
        self._limits = tighten(self._adapter.capabilities.limits, config.limits)
        self._weights.limit = self._limits.request_weight_per_minute
        self._shared.connects.limit = self._limits.connects_per_five_minutes
        if self._planned:
            self._plan()
        # A symbol may be listed since the list was read.
        self._refresh.set()

    def status(self) -> FeederStatus:
        """Return what the feeder answers on `/status`."""
        now_ns = self._clock.now_ns()
        supervisors = self._supervisors.values()
        channels = tuple(self._coverage.items())
        _, frames, malformed = self._meters.window()
        return build_status(
            View(
                config=self._config,
                pod=self._outside.pod,
                version=self._outside.version,
                now_ns=now_ns,
                started_ns=self._started_ns,
                session=worst_state(supervisor.state(now_ns) for supervisor in supervisors),
                connections=sum(len(supervisor.connections()) for supervisor in supervisors),
                channels=channels,
                last_recv_ns=self._last_recv(channel for channel, _ in channels),
                gaps=self._publisher.gap_counts(),
                events_per_second=self._meters.events_per_second(),
                frames=frames,
                malformed=malformed,
                lag_milliseconds=self._meters.lag_milliseconds(),
                event_loop_lag_seconds=self._outside.loop_lag_seconds(),
                reconnects=self._meters.reconnects,
                rotations=self._meters.rotations,
                request_weight_used=self._weights.used(now_ns),
                banned_until_ns=self._weights.banned_until_ns,
                last_error=next((s.last_error for s in supervisors if s.last_error), ""),
                election=self._outside.election.report(),
                sinks=tuple(writer.report() for writer in self._writers),
            )
        )

    def listing(self) -> Listing | None:
        """Return the venue's instrument list, None before it was read."""
        if self._listed is None:
            return None
        return Listing(
            venue=self._config.venue, time=moment(self._listed_ns), instruments=self._listed
        )

    async def _feed(self, stop: asyncio.Event, rest: RestClient) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            snapshots = Snapshots(self._adapter, rest, self._publisher, self._clock, self._log)
            self._publisher.on_resync = snapshots.ask
            tasks = [
                group.create_task(self._keep_listing(rest)),
                group.create_task(self._follow_election()),
                group.create_task(self._sweep_regularly()),
                *(group.create_task(snapshots.run()) for _ in range(snapshots.WORKERS)),
            ]
            await stop.wait()
            for supervisor in self._supervisors.values():
                supervisor.stop()
            await self._until_disconnected()
            for task in tasks:
                task.cancel()
        self._group = None
        self._publisher.sweep(self._clock.now_ns(), closing=True)
        self._publisher.demote(self._clock.now_ns())
        self._meters.flush(self._clock.now_ns())

    async def _until_disconnected(self) -> None:
        deadline_ns = self._clock.now_ns() + int(CONNECTIONS_STOP_SECONDS * SECOND_NS)
        while self._clock.now_ns() < deadline_ns and any(
            supervisor.connections() for supervisor in self._supervisors.values()
        ):
            await self._clock.sleep(0.05)

    # The list is read at the start, at intervals, and when the configuration changed.
    async def _keep_listing(self, rest: RestClient) -> None:
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(None if self._planned else FIRST_LISTING_SECONDS):
                    listed = await self._adapter.instruments(rest.fetch)
            except (FeederError, TimeoutError) as error:
                self._log.warning(Event.INSTRUMENTS_REFRESHED, error=error)
                backoff.lost(0)
                pause = 1.0 + backoff.delay_seconds(self._outside.rng)
            else:
                self._listed, self._listed_ns = listed, self._clock.now_ns()
                self._log.debug(Event.INSTRUMENTS_REFRESHED, instrument_count=len(listed))
                backoff = Backoff()
                pause = float(self._config.session.instruments_refresh_seconds)
            self._plan()
            await wait_for_event(self._refresh, pause)
            self._refresh.clear()

    async def _follow_election(self) -> None:
        async for change in self._outside.election.events():
            now_ns = self._clock.now_ns()
            if isinstance(change, Promoted):
                self._publisher.promote(change.epoch, change.reason, now_ns)
            else:
                self._publisher.demote(now_ns)

    # From the should-list to connections; what is placed already stays untouched.
    def _plan(self) -> None:
        self._planned = True
        now_ns = self._clock.now_ns()
        should = build_should_list(self._config, self._adapter.capabilities, self._listing_map())
        wanted = should.wanted()
        gone = [channel for channel, _ in self._coverage.items() if channel not in wanted]
        self._publisher.forget(self._identified(gone), now_ns)
        self._coverage.want(wanted, now_ns)
        for channel, (state, reason) in should.excluded.items():
            if self._coverage.exclude(channel, state, reason, now_ns):
                self._log.warning(
                    Event.INSTRUMENT_RETIRED
                    if state is ChannelState.RETIRED
                    else Event.CHANNEL_REFUSED,
                    symbol=channel.symbol,
                    channel=channel.name,
                    reason=reason.value,
                )
        for channel in should.channels:
            self._coverage.include(channel, now_ns)
        self._place(sorted(should.channels))

    def _place(self, channels: Sequence[Channel]) -> None:
        assert self._group is not None  # noqa: S101 - only called while feeding
        current = [supervisor.plan for supervisor in self._supervisors.values()]
        plans = self._adapter.connections(channels, current, self._config.endpoints, self._limits)
        keys = {plan.key for plan in plans}
        for key in [key for key in self._supervisors if key not in keys]:
            self._supervisors.pop(key).stop()
        for plan in plans:
            supervisor = self._supervisors.get(plan.key)
            if supervisor is None:
                supervisor = Supervisor(plan, self._limits, self._config.session, self._shared)
                self._supervisors[plan.key] = supervisor
                self._group.create_task(supervisor.run())
            else:
                supervisor.change(plan, self._limits, self._config.session)

    async def _sweep_regularly(self) -> None:
        sweeps = 0
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self._sweep(self._clock.now_ns())
            sweeps += 1
            if sweeps % VERDICT_SWEEPS == 0:
                self._judge()

    def _judge(self) -> None:
        health = self.status().health
        self._meters.set_healthy(healthy=health.healthy)
        if health.reason != self._verdict:
            self._verdict = health.reason
            self._log.info(
                Event.HEALTH_CHANGED,
                healthy=health.healthy,
                reason=health.reason,
                detail=health.message,
            )

    def _sweep(self, now_ns: int) -> None:
        self._publisher.sweep(now_ns)
        for supervisor in self._supervisors.values():
            supervisor.sweep(now_ns)
        found = self._coverage.sweep(now_ns, self._config.session.stale_after_seconds * SECOND_NS)
        self._publisher.interrupt(self._identified(found.stale), GapCause.STALE, now_ns)
        if found.stale and now_ns - self._listed_ns > RELIST_NS:
            self._refresh.set()  # what went silent may have been halted
        self._log_channels(Event.CHANNEL_STALE, found.stale)
        self._log_channels(Event.CHANNEL_RECOVERED, found.recovered)
        for channel in found.resubscribe:
            for supervisor in self._supervisors.values():
                if channel in supervisor.plan.channels:
                    supervisor.resubscribe(channel)
        self._meters.flush(now_ns)
        self._gauge(now_ns)

    def _gauge(self, now_ns: int) -> None:
        coverage = count_coverage(self._coverage.items())
        other = coverage.wanted - coverage.live - coverage.stale - coverage.refused
        self._meters.gauge(
            states={
                "live": coverage.live,
                "stale": coverage.stale,
                "refused": coverage.refused,
                "pending": other,
            },
            connections=sum(len(s.connections()) for s in self._supervisors.values()),
            weight_used=self._weights.used(now_ns),
            active=self._publisher.active,
        )

    def _log_channels(self, event: Event, channels: Sequence[Channel]) -> None:
        for channel in channels:
            self._log.warning(event, symbol=channel.symbol, channel=channel.name)

    def _listing_map(self) -> Mapping[str, bool] | None:
        if self._listed is None:
            return None
        return {listed.symbol: listed.trading for listed in self._listed}

    def _identified(self, channels: Iterable[Channel]) -> list[tuple[Channel, str]]:
        return [(channel, self._adapter.instrument_id(channel.symbol)) for channel in channels]

    def _last_recv(self, channels: Iterable[Channel]) -> dict[str, int]:
        newest: dict[str, int] = {}
        for channel, instrument_id in self._identified(channels):
            at = self._publisher.tape.last_recv(channel, instrument_id)
            newest[channel.symbol] = max(newest.get(channel.symbol, 0), at)
        return newest
