"""Who publishes: a Lease held through the Kubernetes API, or no election at all.

A thin shell around `core.contest`: it carries out the requests of each round and passes changes
of role on. Must not know what publishing means.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Final

from feedplane_api.worker import (
    CandidateReport,
    ElectionConfig,
    ElectionReport,
    FailoverPolicy,
    HealthReport,
)
from feedplane_feeder.core import failover
from feedplane_feeder.core.contest import (
    AnnounceLine,
    Answer,
    PrepareHandover,
    ReadLease,
    Request,
    WriteLease,
    play_round,
)
from feedplane_feeder.core.decision import LeaseVerb
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Candidate, LeaseReason, LeaseRecord
from feedplane_feeder.core.ports import Clock, Demoted, Promoted
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.lease_object import (
    CONFLICT,
    LeaseContext,
    LeaseObject,
    parse_ns,
    render_time,
)
from feedplane_feeder.waiting import wait_for_event

PREPARE_SECONDS: Final = 2.5
"""How long the data path may take before the Lease is given away all the same."""
RELEASE_POLL_SECONDS: Final = 0.2


async def keep_role() -> None:
    """Stand in for `prepare_handover` until somebody has something to prepare."""


class SoloElection:
    """For a feeder without a cluster: it publishes from the start and for good."""

    def __init__(self, account: str = "local", *, clock: Clock) -> None:
        self.prepare_handover: Callable[[], Awaitable[None]] = keep_role
        self._account = account
        self._since_ns = clock.now_ns()

    async def run(self) -> None:
        """Return at once; there is nothing to watch."""

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield the one promotion, then nothing more."""
        yield Promoted(0, LeaseReason.NO_ELECTION)
        await asyncio.Event().wait()

    def judge(self, health: HealthReport) -> None:
        """Stay, whatever the verdict: there is nobody to hand over to."""

    def adopt(self, policy: FailoverPolicy) -> None:
        """Stay: a policy is about other accounts."""

    def peers(self) -> tuple[CandidateReport, ...]:
        """Return nobody."""
        return ()

    async def release(self, reason: str = LeaseReason.SHUTDOWN) -> None:
        """Return at once; nothing is held."""

    def report(self) -> ElectionReport:
        """Return who publishes."""
        return ElectionReport(
            active=True,
            holder=self._account,
            since_time=parse_ns(self._since_ns),
            reason=LeaseReason.NO_ELECTION,
        )


class LeaseElection:
    """One feeder's part in who holds the publisher Lease of its shard.

    `Promoted` comes again with a new epoch when a Lease that was offered is taken back, and with
    the same epoch when a handover that was prepared did not come about.
    """

    def __init__(
        self, config: ElectionConfig, account: str, policy: FailoverPolicy, context: LeaseContext
    ) -> None:
        self.prepare_handover: Callable[[], Awaitable[None]] = keep_role
        me = Candidate(
            account=account,
            pod=context.pod,
            lease_duration_seconds=config.lease_duration_seconds,
            renew_deadline_seconds=config.renew_deadline_seconds,
            retry_period_seconds=config.retry_period_seconds,
        )
        self._state = LeaseState(me, _monotonic(), policy)
        self._lease = LeaseObject(config.namespace, config.lease_name, context.api)
        self._context = context
        self._log = context.log.bind(lease=config.lease_name)
        self._changes: asyncio.Queue[Promoted | Demoted] = asyncio.Queue()
        self._round_lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._reachable = True
        self._answered_at = _monotonic()
        self._unreachable_seconds = 0.0

    async def run(self) -> None:
        """Look at the Lease once per retry period, and when health changes, until cancelled."""
        while True:
            self._wake.clear()
            await self._play()
            await wait_for_event(self._wake, failover.pause_seconds(self._state))

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield every change of role."""
        while True:
            yield await self._changes.get()

    def judge(self, health: HealthReport) -> None:
        """Take the verdict on this feeder's own account; news is acted on at once."""
        if failover.judge(self._state, health, _monotonic()):
            self._wake.set()

    def adopt(self, policy: FailoverPolicy) -> None:
        """Take over another policy; it is acted on at once."""
        if policy != self._state.policy:
            failover.adopt(self._state, policy, _monotonic())
            self._wake.set()

    async def release(self, reason: str = LeaseReason.SHUTDOWN) -> None:
        """Hand over to the best peer, and stop publishing when it has taken over.

        Without a peer, or when none takes over in time, publishing stops all the same.
        """
        state = self._state
        if state.leaving:
            return
        failover.leave(state)
        deadline = _monotonic() + state.me.grace_seconds
        await self._play()
        while state.active and self._offered() and _monotonic() < deadline:
            await self._context.clock.sleep(RELEASE_POLL_SECONDS)
            await self._play()
        failover.stop(state, reason)
        self._tell()

    def report(self) -> ElectionReport:
        """Return who publishes, as far as this feeder knows."""
        state = self._state
        record = state.record or LeaseRecord()
        return ElectionReport(
            active=state.active,
            holder=record.account or None,
            epoch=record.transitions,
            since_time=_parse_time(record.acquire_time) if record.holder else None,
            reason=record.reason or state.reason,
            api_reachable=self._reachable,
            unreachable_seconds=int(self._unreachable_seconds),
            candidates=self.peers(),
        )

    def peers(self) -> tuple[CandidateReport, ...]:
        """Return the other accounts that were heard of, as this feeder knows them."""
        state = self._state
        known = sorted(state.heard, key=lambda account: (state.preference(account), account))
        return tuple(
            CandidateReport(
                account=account,
                healthy=state.heard[account].line.healthy,
                reason=state.heard[account].line.reason,
                fresh=state.fresh(account),
            )
            for account in known
        )

    def _offered(self) -> bool:
        record = self._state.record
        return record is not None and not record.holder and bool(record.successor)

    async def _play(self) -> None:
        async with self._round_lock:
            at = render_time(self._context.clock.now_ns())
            game = play_round(self._state, _monotonic(), at)
            try:
                request = next(game)
                while True:
                    request = game.send(await self._carry_out(request))
            except StopIteration:
                pass
            finally:
                self._tell()
                self._note_reach()

    async def _carry_out(self, request: Request) -> Answer:
        if isinstance(request, PrepareHandover):
            await self._prepare()
            return Answer(_monotonic())
        started = _monotonic()
        try:
            match request:
                case ReadLease():
                    record = await self._lease.read()
                case AnnounceLine(line):
                    record = await self._lease.announce(line)
                case WriteLease(written, verb):
                    record = await self._lease.write(written)
                    if verb is LeaseVerb.RENEW:
                        self._context.on_renewed(_monotonic() - started)
        except ClusterRefusedError as error:
            self._log.debug(Event.ELECTION_UNREACHABLE, error=error)
            return Answer(_monotonic(), conflict=error.status == CONFLICT)
        except ClusterUnavailableError as error:
            self._log.debug(Event.ELECTION_UNREACHABLE, error=error)
            return Answer(_monotonic())
        return Answer(_monotonic(), record)

    async def _prepare(self) -> None:
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self.prepare_handover()
        except TimeoutError as error:
            # What is still queued is written by this feeder, whoever holds the Lease.
            self._log.warning(Event.ELECTION_UNPREPARED, error=error)

    def _tell(self) -> None:
        for change in self._state.changes:
            promoted = isinstance(change, Promoted)
            event = Event.ELECTION_PROMOTED if promoted else Event.ELECTION_DEMOTED
            self._log.info(event, epoch=change.epoch, reason=change.reason)
            self._changes.put_nowait(change)
        self._state.changes.clear()

    def _note_reach(self) -> None:
        now = _monotonic()
        if self._state.reached_at >= self._answered_at:
            self._answered_at = now
        elif now > self._answered_at:
            missed = now - self._answered_at
            self._unreachable_seconds += missed
            self._context.on_unreachable(missed)
            self._answered_at = now
        reachable = self._state.reached(now)
        if reachable != self._reachable:
            event = Event.ELECTION_REACHED if reachable else Event.ELECTION_UNREACHABLE
            self._log.warning(event, active=self._state.active)
        self._reachable = reachable


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
