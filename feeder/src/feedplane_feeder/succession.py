"""Succession: carries changes of role from the election to the publisher, and back what is ready.

Which channels are subscribed, what is remembered and when the books are let go follows from the
role and the mode. Must not know how a role is won.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from feedplane_api.worker import BufferReport, ElectionReport, FailoverMode, WorkerConfig
from feedplane_feeder.core.ports import Clock, Election, Promoted
from feedplane_feeder.core.replay import holder_fails
from feedplane_feeder.meters import Meters
from feedplane_feeder.publisher import Publisher, Writer
from feedplane_feeder.records import GapCause

HANDOVER_SECONDS: Final = 2.0
"""How long a hand-over waits for the writers; what is left then is written all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throne:
    """What a succession is about."""

    publisher: Publisher
    writers: Sequence[Writer]
    election: Election
    clock: Clock
    meters: Meters


class Succession:
    """One feeder's part in who publishes."""

    def __init__(self, config: WorkerConfig, throne: Throne, on_change: Callable[[], None]) -> None:
        self._throne = throne
        self._on_change = on_change
        self._mode = config.election.mode if config.election else FailoverMode.HOT
        self._adopt(config)
        throne.election.prepare_handover = self.prepare_handover

    @property
    def subscribes(self) -> bool:
        """Whether channels are to be subscribed in this role."""
        return self._mode is not FailoverMode.WARM or self._throne.publisher.active

    def adopt(self, config: WorkerConfig) -> None:
        """Take over another policy."""
        self._adopt(config)
        self._throne.election.adopt(config.policy)

    async def follow(self) -> None:
        """Carry over every change of role."""
        throne = self._throne
        async for change in throne.election.events():
            now_ns = throne.clock.now_ns()
            if isinstance(change, Promoted):
                before = throne.publisher.replayed_records
                throne.publisher.promote(change.epoch, change.reason, now_ns)
                replayed = throne.publisher.replayed_records - before
                throne.meters.add_promotion(change.reason, replayed)
            else:
                throne.publisher.demote(now_ns)
            self._on_change()

    async def prepare_handover(self) -> None:
        """Let the books go and write what is queued, so that the next line finds their end."""
        self._throne.publisher.withhold_books()
        waits = [writer.flush(HANDOVER_SECONDS) for writer in self._throne.writers]
        await asyncio.gather(*waits)

    def look(self, now_ns: int) -> None:
        """Decide how long the buffer keeps; call it with every sweep."""
        throne = self._throne
        buffer = throne.publisher.buffer
        buffer.keep = holder_fails(throne.election.report(), throne.election.peers())
        buffer.prune(now_ns)
        throne.meters.gauge_buffer(
            records=buffer.records,
            seconds=buffer.age_seconds(now_ns),
            dropped=buffer.dropped_records,
        )

    def election_report(self) -> ElectionReport:
        """Return who publishes, with what the last promotion cost."""
        known = [writer.last_failover_milliseconds for writer in self._throne.writers]
        worst = max((took for took in known if took is not None), default=None)
        report = self._throne.election.report()
        return report.model_copy(update={"last_failover_milliseconds": worst})

    def buffer_report(self, now_ns: int) -> BufferReport:
        """Return what is remembered and what became of it."""
        publisher = self._throne.publisher
        return BufferReport(
            records=publisher.buffer.records,
            seconds=publisher.buffer.age_seconds(now_ns),
            replayed_records=publisher.replayed_records,
            dropped_records=publisher.buffer.dropped_records,
        )

    def _adopt(self, config: WorkerConfig) -> None:
        publisher = self._throne.publisher
        publisher.buffer.seconds = config.session.replay_buffer_seconds
        for sessions in (
            publisher.sessions,
            *(w.settlement.sessions for w in self._throne.writers),
        ):
            sessions.adopt(config.session.hours)
        # Where there is no other account, nobody can have published in the meantime.
        alone = len(config.policy.accounts) <= 1
        publisher.cause = GapCause.RESTART if alone else GapCause.PROMOTION
