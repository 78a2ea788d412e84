"""Who publishes: a Lease held through the Kubernetes API, or no election at all.

A thin shell around `core.lease`: it reads and writes the one Lease and passes role changes on.
Must not know what publishing means.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from feedplane_api.names import LEASE_CHANGED_REASON
from feedplane_api.worker import AccountIdentity, ElectionConfig, ElectionReport
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.core import lease
from feedplane_feeder.core.lease import Candidate, LeaseReason, LeaseRecord, LeaseState, LeaseVerb
from feedplane_feeder.core.ports import Clock, Demoted, Promoted
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog

CONFLICT: Final = 409
COOLDOWN_SECONDS: Final = 30.0
PREFERRED: Final = 0


class SoloElection:
    """For a feeder without a cluster: it publishes from the start and for good."""

    def __init__(self, account: str = "local", *, clock: Clock) -> None:
        self._account = account
        self._since_ns = clock.now_ns()

    async def run(self) -> None:
        """Return at once; there is nothing to watch."""

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield the one promotion, then nothing more."""
        yield Promoted(0, LeaseReason.NO_ELECTION)
        await asyncio.Event().wait()

    async def step_down(self, reason: str) -> None:
        """Stay: there is nobody to hand over to."""

    async def release(self, reason: str = LeaseReason.SHUTDOWN) -> None:
        """Return at once; nothing is held."""

    def report(self) -> ElectionReport:
        """Return who publishes."""
        return ElectionReport(
            active=True,
            holder=self._account,
            since_time=_moment(self._since_ns),
            reason=LeaseReason.NO_ELECTION,
        )


class LeaseElection:
    """Holds or watches the publisher Lease of one shard.

    In this version the preferred account (preference 0) takes and renews the Lease; the others
    watch it and report its holder. `Promoted` comes again with a new epoch when the Lease was
    lost from the cluster and taken anew.
    """

    def __init__(
        self,
        config: ElectionConfig,
        account: AccountIdentity,
        pod: str,
        *,
        api: ClusterApi,
        clock: Clock,
        log: FieldLog,
    ) -> None:
        self._me = Candidate(
            account=account.name,
            pod=pod,
            may_acquire=account.preference == PREFERRED,
            lease_duration_seconds=config.lease_duration_seconds,
            renew_deadline_seconds=config.renew_deadline_seconds,
        )
        self._path = (
            f"/apis/coordination.k8s.io/v1/namespaces/{config.namespace}/leases/{config.lease_name}"
        )
        self._retry_seconds = config.retry_period_seconds
        self._api = api
        self._clock = clock
        self._log = log.bind(lease=config.lease_name)
        self._changes: asyncio.Queue[Promoted | Demoted] = asyncio.Queue()
        self._document: Document | None = None
        self._state = LeaseState(started_at=_monotonic())
        self._reachable = True
        self._round_lock = asyncio.Lock()

    async def run(self) -> None:
        """Look at the Lease once per retry period until cancelled."""
        while True:
            async with self._round_lock:
                await self._round()
            await self._clock.sleep(self._retry_seconds)

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield every change of role."""
        while True:
            yield await self._changes.get()

    async def step_down(self, reason: str) -> None:
        """Give the Lease away and do not ask for it again for a while."""
        async with self._round_lock:
            before = self._state
            self._state = lease.stepped_down(before, reason, _monotonic() + COOLDOWN_SECONDS)
            self._tell(before)
            await self._give_away(reason)

    async def release(self, reason: str = LeaseReason.SHUTDOWN) -> None:
        """Give the Lease away for good, at the end of the process."""
        async with self._round_lock:
            before = self._state
            self._state = lease.stepped_down(before, reason, float("inf"))
            self._tell(before)
            await self._give_away(reason)

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
        )

    async def _round(self) -> None:
        before = self._state
        try:
            # The holder renews blindly: its write carries the version it saw last, so a change
            # in between is refused and then read.
            if self._decision().verb is not LeaseVerb.RENEW or self._document is None:
                await self._read()
            await self._act()
        except ClusterRefusedError as error:
            if error.status == CONFLICT:
                await self._read_quietly()
            else:
                self._assume(error)
        except ClusterUnavailableError as error:
            self._assume(error)
        self._tell(before)
        self._note_reach()

    async def _act(self) -> None:
        action = self._decision()
        if action.verb is LeaseVerb.ACQUIRE:
            reason = action.reason or LeaseReason.VACANT
            record = lease.acquired_record(
                self._state.record, self._me, reason=reason, at=self._timestamp()
            )
            await self._write(record)
            self._state = lease.taken(self._state, record, reason, _monotonic())
        elif action.verb is LeaseVerb.RENEW and self._state.record is not None:
            record = lease.renewed_record(self._state.record, self._me, at=self._timestamp())
            await self._write(record)
            self._state = lease.taken(self._state, record, action.reason, _monotonic())

    def _assume(self, error: ClusterRefusedError | ClusterUnavailableError) -> None:
        self._log.debug(Event.ELECTION_UNREACHABLE, error=error)
        action = self._decision()
        if action.verb is LeaseVerb.ASSUME and action.reason is not None:
            self._state = lease.assumed(self._state, action.reason)

    def _decision(self) -> lease.LeaseAction:
        return lease.decide(self._state, self._me, _monotonic())

    async def _read_quietly(self) -> None:
        try:
            await self._read()
        except (ClusterRefusedError, ClusterUnavailableError) as error:
            self._log.debug(Event.ELECTION_UNREACHABLE, error=error)

    async def _read(self) -> None:
        self._document = await self._api.get(self._path)
        record = parse_lease(self._document)
        self._state = lease.observed(self._state, self._me, record, _monotonic())

    async def _write(self, record: LeaseRecord) -> None:
        if self._document is None:
            await self._read()
        document = self._document or {}
        self._document = await self._api.put(self._path, render_lease(document, record))

    async def _give_away(self, reason: str) -> None:
        # Only what is ours is given away: a fresh read decides, not what we believed.
        try:
            await self._read()
            record = self._state.record
            if record is not None and record.holder == self._me.identity:
                at = self._timestamp()
                await self._write(lease.released_record(record, reason=reason, at=at))
                await self._read()
        except (ClusterRefusedError, ClusterUnavailableError) as error:
            self._log.warning(Event.ELECTION_UNREACHABLE, error=error)

    def _tell(self, before: LeaseState) -> None:
        after = self._state
        epoch = after.record.transitions if after.record else 0
        known = before.record.transitions if before.record else 0
        reason = str(after.reason or "")
        if after.active and (not before.active or (after.held and epoch != known)):
            self._log.info(Event.ELECTION_PROMOTED, epoch=epoch, reason=reason)
            self._changes.put_nowait(Promoted(epoch, reason))
        elif before.active and not after.active:
            self._log.info(Event.ELECTION_DEMOTED, epoch=epoch, reason=reason)
            self._changes.put_nowait(Demoted(epoch, reason))

    def _note_reach(self) -> None:
        reachable = lease.reached(self._state, self._me, _monotonic())
        if reachable != self._reachable:
            event = Event.ELECTION_REACHED if reachable else Event.ELECTION_UNREACHABLE
            self._log.warning(event, active=self._state.active)
        self._reachable = reachable

    def _timestamp(self) -> str:
        return _moment(self._clock.now_ns()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_lease(document: Document) -> LeaseRecord:
    """Read a Lease object; what it does not say is empty."""
    spec = document.get("spec") or {}
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquire_time=spec.get("acquireTime"),
        renew_time=spec.get("renewTime"),
        reason=annotations.get(LEASE_CHANGED_REASON),
    )


def render_lease(document: Document, record: LeaseRecord) -> Document:
    """Return the Lease object with a record written in; everything else stays."""
    written = copy.deepcopy(document)
    metadata = written.setdefault("metadata", {})
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {**annotations, LEASE_CHANGED_REASON: record.reason or ""}
    metadata.pop("managedFields", None)
    written["spec"] = {
        **(written.get("spec") or {}),
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, int(record.duration_seconds)),
        "leaseTransitions": record.transitions,
        "acquireTime": record.acquire_time,
        "renewTime": record.renew_time,
    }
    return written


def _moment(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns / 1e9, UTC)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
