"""Ports of failover: who publishes a shard, and who may be logged in.

Read through `core.ports`, beside the other ports. Must not know Leases or publishers.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from feedplane_api.worker import CandidateReport, ElectionReport, FailoverPolicy, HealthReport


@dataclass(frozen=True, slots=True)
class Promoted:
    """This feeder publishes from now on."""

    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Demoted:
    """This feeder stands by from now on."""

    epoch: int
    reason: str


class Election(Protocol):
    """Who publishes a shard."""

    prepare_handover: Callable[[], Awaitable[None]]
    """Called before the Lease is given away: no more book deltas, and what is queued written."""

    def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield every change of role; `Promoted` comes again for each new epoch."""

    def judge(self, health: HealthReport) -> None:
        """Take the verdict on this feeder's own account, as often as it is made."""

    def adopt(self, policy: FailoverPolicy) -> None:
        """Take over another policy."""

    async def release(self, reason: str) -> None:
        """Hand over to the best peer and ask for nothing any more."""

    def report(self) -> ElectionReport:
        """Return who publishes, as this feeder knows it."""

    def peers(self) -> tuple[CandidateReport, ...]:
        """Return the other accounts, as this feeder knows them."""


class Seat(Protocol):
    """The right to one session of an account, where the venue allows no more."""

    @property
    def held(self) -> bool:
        """True while connections may be open."""

    async def wait_held(self) -> None:
        """Wait until connections may be opened."""

    async def wait_lost(self) -> None:
        """Wait until they must be closed at once."""

    async def release(self) -> None:
        """Give the seat away; the last connection is closed."""
