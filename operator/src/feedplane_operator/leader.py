"""Leader election: one Lease, held by the replica that acts.

Own code, since the election of kubernetes.aio 37 gives its requests five minutes, so that a
leader cut off from the API server outlives its Lease; it judges expiry by wall clocks, writes
local times as UTC, and does not let go at the end. The decision itself is core/election.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from feedplane_operator.clock import monotonic_seconds, utc_now
from feedplane_operator.cluster import Cluster
from feedplane_operator.core.election import (
    LEASE_DURATION_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_PERIOD_SECONDS,
    LeaseRecord,
    Move,
    Sight,
    decide,
    look,
    wait_seconds,
)
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.errors import (
    ClusterError,
    ConflictError,
    LeadershipLostError,
    NotFoundError,
)
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log

RELEASED_SECONDS: Final = 1
"""Duration written with a release, so that nobody waits for a Lease that was given up."""
_LOG = get_log("leader")

Beat = Callable[[], None]


class Election:
    """A candidate for the one Lease."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        beat: Beat,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._ref = Ref("Lease", namespace, name)
        self._identity = identity
        self._beat = beat
        self._sleep = sleep
        self._sight: Sight | None = None
        self._lease: Manifest | None = None
        self._held = False

    async def acquire(self) -> None:
        """Return once the Lease is held."""
        while not self._held:
            wait: float = RETRY_PERIOD_SECONDS
            try:
                self._held = await self._step()
            except ClusterError as error:
                _LOG.warning(LogEvent.LEADERSHIP_UNREACHABLE, error=error)
            else:
                wait = wait_seconds(self._sight, monotonic_seconds())
            self._beat()
            if not self._held:
                await self._sleep(wait)
        _LOG.info(LogEvent.LEADERSHIP_ACQUIRED, identity=self._identity)

    async def hold(self) -> None:
        """Renew the Lease for ever.

        Raises:
            LeadershipLostError: it was not renewed before the deadline, or another one took it.
        """
        renewed = monotonic_seconds()
        while True:
            await self._sleep(RETRY_PERIOD_SECONDS)
            left = renewed + RENEW_DEADLINE_SECONDS - monotonic_seconds()
            try:
                async with asyncio.timeout(max(left, 0)):
                    self._held = await self._step()
            except ConflictError:
                # Somebody touched the Lease in between; the next look tells who.
                self._beat()
            except (ClusterError, TimeoutError) as error:
                _LOG.warning(LogEvent.LEADERSHIP_UNREACHABLE, error=error)
            else:
                if not self._held:
                    raise LeadershipLostError(RENEW_DEADLINE_SECONDS)
                self._beat()
                renewed = monotonic_seconds()
            if monotonic_seconds() - renewed >= RENEW_DEADLINE_SECONDS:
                self._held = False
                raise LeadershipLostError(RENEW_DEADLINE_SECONDS)

    async def release(self) -> None:
        """Let go of the Lease if it is held, so that the next one need not wait."""
        if not self._held or self._lease is None:
            return
        self._held = False
        spec = {**self._lease["spec"], "holderIdentity": ""}
        spec["leaseDurationSeconds"] = RELEASED_SECONDS
        spec["renewTime"] = _micro_time(utc_now())
        try:
            await self._cluster.replace({**self._lease, "spec": spec})
        except ClusterError as error:
            _LOG.warning(LogEvent.LEADERSHIP_UNREACHABLE, error=error)
        else:
            _LOG.info(LogEvent.LEADERSHIP_RELEASED, identity=self._identity)

    async def _step(self) -> bool:
        lease = await self._read()
        now = monotonic_seconds()
        self._sight = look(self._sight, _record(lease), now)
        move = decide(self._sight, self._identity, now)
        if move is Move.WAIT:
            return False
        if lease is None:
            self._lease = await self._cluster.create(self._fresh())
        else:
            self._lease = await self._cluster.replace(self._renewed(lease, move))
        return True

    async def _read(self) -> Manifest | None:
        try:
            return await self._cluster.get(self._ref)
        except NotFoundError:
            return None

    def _fresh(self) -> Manifest:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._ref.name, "namespace": self._ref.namespace},
            "spec": self._spec(transitions=0, acquired=_micro_time(utc_now())),
        }

    def _renewed(self, lease: Manifest, move: Move) -> Manifest:
        spec = lease.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0)
        if move is Move.RENEW:
            acquired = spec.get("acquireTime") or _micro_time(utc_now())
            return {**lease, "spec": self._spec(transitions=transitions, acquired=acquired)}
        taken = self._spec(transitions=transitions + 1, acquired=_micro_time(utc_now()))
        return {**lease, "spec": taken}

    def _spec(self, *, transitions: int, acquired: str) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_DURATION_SECONDS,
            "acquireTime": acquired,
            "renewTime": _micro_time(utc_now()),
            "leaseTransitions": transitions,
        }


def _record(lease: Manifest | None) -> LeaseRecord | None:
    if lease is None:
        return None
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=int(spec.get("leaseDurationSeconds") or LEASE_DURATION_SECONDS),
        renew_time=spec.get("renewTime") or "",
    )


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
