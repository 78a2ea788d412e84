"""Live: one feeder at work: connections -> sessions -> tape -> writers, in one TaskGroup.

Wires what other modules decide. Must not know venues, sinks or Kubernetes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from feedplane_api.worker import (
    ChannelState,
    FailoverMode,
    FeederStatus,
    Listing,
    MissingDays,
    WorkerConfig,
)
from feedplane_feeder.allowance import LocalAllowance
from feedplane_feeder.core.backoff import Rng
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.coverage import Coverage, Reason
from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import (
    Adapter,
    Channel,
    Clock,
    Election,
    Seat,
    Transport,
)
from feedplane_feeder.core.repair import select_manual
from feedplane_feeder.core.repair_ledger import RepairLedger
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.core.wanted import build_should_list, seat_plans, tighten
from feedplane_feeder.credentials import Renewal, build_login
from feedplane_feeder.events import Event
from feedplane_feeder.judge import Judge, Scene
from feedplane_feeder.listing import Listings
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher, Writer
from feedplane_feeder.records import GapCause
from feedplane_feeder.repair import Menders, RepairScene
from feedplane_feeder.rest import RestClient
from feedplane_feeder.seat import OpenSeat
from feedplane_feeder.snapshots import Snapshots
from feedplane_feeder.status import View, build_status, count_coverage
from feedplane_feeder.succession import Succession, Throne
from feedplane_feeder.supervisor import Supervisor, Surroundings

SWEEP_SECONDS: Final = 0.5
RELIST_NS: Final = 10 * SECOND_NS
CONNECTIONS_STOP_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 15.0
FIVE_MINUTES_NS: Final = 300 * SECOND_NS


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a feeder is given from outside."""

    transport: Transport
    election: Election
    clock: Clock
    rng: Rng
    metrics: Metrics
    pod: str = ""
    version: str = ""
    loop_lag_seconds: Callable[[], float] = field(default=lambda: 0.0)
    seat: Seat = field(default_factory=OpenSeat)
    ledgers: Sequence[RepairLedger] = ()
    """Whose open gaps this feeder fills while it publishes."""
    history: History | None = None
    missing_days: Callable[[], tuple[MissingDays, ...]] = tuple
    """What the look at the tape found that is still to fetch."""
    allowance: LocalAllowance | None = None
    """What REST requests wait for; this process's own where nobody shares it."""


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
        mode = config.election.mode if config.election else FailoverMode.HOT
        tape = Tape(config.venue, dense_bars=adapter.capabilities.dense_bars)
        self._publisher = Publisher(tape, writers, self._meters, self._log, mode=mode)
        self._weights = outside.allowance or LocalAllowance(0, outside.clock)
        self._weights.limit = self._limits.request_weight_per_minute
        self._login = build_login(config, adapter.capabilities, outside.version)
        self._standing = Standing()
        self._shared = Surroundings(
            adapter=adapter,
            transport=outside.transport,
            publisher=self._publisher,
            coverage=self._coverage,
            connects=WindowBudget(self._limits.connects_per_five_minutes, FIVE_MINUTES_NS),
            clock=outside.clock,
            rng=outside.rng,
            headers=self._login.headers,
            log=self._log,
            standing=self._standing,
            seat=outside.seat,
        )
        self._supervisors: dict[str, Supervisor] = {}
        self._group: asyncio.TaskGroup | None = None
        self._listings = Listings(adapter, outside.clock, outside.rng, self._log, self._standing)
        self._planned = False
        self._judge = Judge(
            config,
            Scene(
                coverage=self._coverage,
                supervisors=self._supervisors,
                standing=self._standing,
                meters=self._meters,
                election=outside.election,
                clock=outside.clock,
                loop_lag_seconds=outside.loop_lag_seconds,
                log=self._log,
            ),
        )
        self._menders = Menders(
            outside.ledgers,
            RepairScene(
                adapter=adapter,
                publisher=self._publisher,
                allowance=self._weights,
                history=outside.history,
                wanted=lambda: [channel for channel, _ in self._coverage.items()],
                manual=self._manual_repairs,
                contested=mode is FailoverMode.MERGED,
                clock=outside.clock,
                metrics=outside.metrics,
                log=self._log,
            ),
        )
        throne = Throne(
            publisher=self._publisher,
            writers=self._writers,
            election=outside.election,
            clock=outside.clock,
            meters=self._meters,
        )
        self._succession = Succession(config, throne, self._follow_role)
        self._started_ns = outside.clock.now_ns()

    async def run(self, stop: asyncio.Event) -> None:
        """Feed until `stop` is set, then end cleanly: unsubscribe, drain, flush, close."""
        self._started_ns = self._clock.now_ns()
        base_url = self._config.endpoints.rest or self._adapter.endpoints.rest or ""
        capabilities = self._adapter.capabilities
        rest = RestClient(
            base_url, self._login.headers, self._weights, capabilities, self._clock, self._standing
        )
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
                "policy": config.policy,
            }
        )
        self._succession.adopt(self._config)
        self._judge.adopt(self._config)
        self._limits = tighten(self._adapter.capabilities.limits, config.limits)
        self._weights.limit = self._limits.request_weight_per_minute
        self._shared.connects.limit = self._limits.connects_per_five_minutes
        if self._planned:
            self._plan()
        # A symbol may be listed since the list was read.
        self._listings.refresh()

    def status(self) -> FeederStatus:
        """Return what the feeder answers on `/status`."""
        now_ns = self._clock.now_ns()
        supervisors = self._supervisors.values()
        channels = tuple(self._coverage.items())
        return build_status(
            View(
                config=self._config,
                pod=self._outside.pod,
                version=self._outside.version,
                now_ns=now_ns,
                started_ns=self._started_ns,
                session=self._judge.session,
                health=self._judge.report,
                connections=sum(len(supervisor.connections()) for supervisor in supervisors),
                channels=channels,
                last_recv_ns=self._last_recv(channel for channel, _ in channels),
                gaps=self._publisher.gaps.list_all(),
                repair=self._menders.report(),
                large_gaps=self._menders.large_gaps(),
                missing_days=self._outside.missing_days(),
                events_per_second=self._meters.events_per_second(),
                lag_milliseconds=self._meters.lag_milliseconds(),
                event_loop_lag_seconds=self._outside.loop_lag_seconds(),
                reconnects=self._meters.reconnects,
                rotations=self._meters.rotations,
                request_weight_used=self._weights.used(now_ns),
                banned_until_ns=max(
                    self._weights.banned_until_ns, *map(self._standing.banned_until_ns, Side)
                ),
                election=self._succession.election_report(),
                buffer=self._succession.buffer_report(now_ns),
                sinks=tuple(writer.report() for writer in self._writers),
            )
        )

    def is_publishing(self) -> bool:
        """Tell whether this feeder is the one that writes, or one of them."""
        return self._publisher.active

    def listing(self) -> Listing | None:
        """Return the venue's instrument list, None before it was read."""
        return self._listings.report()

    async def _feed(self, stop: asyncio.Event, rest: RestClient) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            snapshots = Snapshots(self._adapter, rest, self._publisher, self._clock, self._log)
            self._publisher.on_resync = snapshots.ask
            tasks = [
                group.create_task(self._listings.keep(rest.fetch, self._list_every, self._plan)),
                group.create_task(self._succession.follow()),
                group.create_task(self._sweep_regularly()),
                group.create_task(self._menders.run(rest)),
                group.create_task(self._weights.watch()),
                group.create_task(Renewal(self._login, self._judge).run()),
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

    # Without the role a Warm standby gives its channels up, and what it knew of them.
    def _follow_role(self) -> None:
        if not self._succession.subscribes:
            now_ns = self._clock.now_ns()
            channels = [channel for channel, _ in self._coverage.items()]
            self._publisher.forget(self._identified(channels), now_ns)
            for channel in channels:
                self._coverage.disconnected(channel, now_ns)
        if self._planned:
            self._plan()

    # From the should-list to connections; what is placed already stays untouched.
    def _plan(self) -> None:
        self._planned = True
        self._judge.rest(resting=not self._succession.subscribes)
        now_ns = self._clock.now_ns()
        should = build_should_list(
            self._config, self._adapter.capabilities, self._listings.trading()
        )
        wanted = should.wanted()
        gone = [channel for channel, _ in self._coverage.items() if channel not in wanted]
        self._publisher.forget(self._identified(gone), now_ns)
        self._coverage.want(wanted, now_ns)
        for channel, (state, reason) in should.excluded.items():
            if self._coverage.exclude(channel, state, reason, now_ns):
                retired = state is ChannelState.RETIRED
                event = Event.INSTRUMENT_RETIRED if retired else Event.CHANNEL_REFUSED
                self._log.warning(
                    event, symbol=channel.symbol, channel=channel.name, reason=reason.value
                )
        for channel in should.channels:
            self._coverage.include(channel, now_ns)
        self._place(sorted(should.channels) if self._succession.subscribes else ())

    def _place(self, channels: Sequence[Channel]) -> None:
        assert self._group is not None  # noqa: S101 - only called while feeding
        current = [supervisor.plan for supervisor in self._supervisors.values()]
        endpoints, limits = self._config.endpoints, self._limits
        placed = self._adapter.connections(channels, current, endpoints, limits)
        plans, unseated = seat_plans(placed, limits)
        self._refuse_unseated(unseated)
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
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self._sweep(self._clock.now_ns())
            self._judge.look()

    def _refuse_unseated(self, channels: Sequence[Channel]) -> None:
        now_ns, reason = self._clock.now_ns(), Reason.NO_SESSION_LEFT.value
        refused = [
            channel
            for channel in channels
            if self._coverage.exclude(channel, ChannelState.REFUSED, reason, now_ns)
        ]
        where = "limits.sessionsPerAccount"
        self._log_channels(Event.CHANNEL_REFUSED, refused, reason=reason, field=where)

    def _sweep(self, now_ns: int) -> None:
        self._publisher.sweep(now_ns)
        self._succession.look(now_ns)
        for supervisor in self._supervisors.values():
            supervisor.sweep(now_ns)
        found = self._coverage.sweep(now_ns, self._config.session.stale_after_seconds * SECOND_NS)
        self._publisher.interrupt(self._identified(found.stale), GapCause.STALE, now_ns)
        if found.stale and now_ns - self._listings.read_ns > RELIST_NS:
            self._listings.refresh()  # what went silent may have been halted
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

    def _manual_repairs(self) -> frozenset[tuple[str, str]]:
        wanted = {line.symbol: line.manual_repair for line in self._config.wanted}
        return select_manual(wanted, self._adapter.instrument_id)

    def _list_every(self) -> float:
        return float(self._config.session.instruments_refresh_seconds)

    def _log_channels(self, event: Event, channels: Sequence[Channel], **fields: Any) -> None:
        for channel in channels:
            self._log.warning(event, symbol=channel.symbol, channel=channel.name, **fields)

    def _identified(self, channels: Iterable[Channel]) -> list[tuple[Channel, str]]:
        return [(channel, self._adapter.instrument_id(channel.symbol)) for channel in channels]

    def _last_recv(self, channels: Iterable[Channel]) -> dict[str, int]:
        newest: dict[str, int] = {}
        for channel, instrument_id in self._identified(channels):
            at = self._publisher.tape.last_recv(channel, instrument_id)
            newest[channel.symbol] = max(newest.get(channel.symbol, 0), at)
        return newest
