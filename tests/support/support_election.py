"""An election that a test drives by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from feedplane_api.worker import CandidateReport, ElectionReport, FailoverPolicy, HealthReport
from feedplane_feeder.core.ports import Demoted, Promoted


class HandElection:
    """Roles as a test gives them."""

    def __init__(self, holder: str | None = "other") -> None:
        self.prepare_handover: Callable[[], Awaitable[None]] = self._nothing
        self.changes: asyncio.Queue[Promoted | Demoted] = asyncio.Queue()
        self.adopted: list[FailoverPolicy] = []
        self.answer = ElectionReport(holder=holder)

    def tell(self, change: Promoted | Demoted) -> None:
        """Change the role."""
        active = isinstance(change, Promoted)
        self.answer = ElectionReport(active=active, holder="self" if active else "other")
        self.changes.put_nowait(change)

    async def events(self) -> AsyncIterator[Promoted | Demoted]:
        """Yield the changes told."""
        while True:
            yield await self.changes.get()

    def judge(self, health: HealthReport) -> None:
        """Ignore the verdict."""

    def adopt(self, policy: FailoverPolicy) -> None:
        """Note the policy."""
        self.adopted.append(policy)

    async def release(self, reason: str) -> None:
        """Hold nothing."""

    def report(self) -> ElectionReport:
        """Return what the test set."""
        return self.answer

    def peers(self) -> tuple[CandidateReport, ...]:
        """Return nobody."""
        return ()

    async def _nothing(self) -> None:
        return
