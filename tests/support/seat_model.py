"""A model of one account's seat: processes that follow one another, in virtual time, seeded.

Drives the product's own rules of the seat. The one promise: never two sessions at once.
"""

import heapq
import random  # noqa: TID251 - every draw comes from the schedule's own seed
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from failover_model import BrokenPromiseError

from feedplane_feeder.core.lease import LeaseRecord
from feedplane_feeder.core.seat import (
    SeatState,
    check_fence,
    free_record,
    may_sit,
    observe_seat,
    sat_down,
    seat_record,
)

SEAT = 120.0
POLL = 0.5
VENUE_SILENCE = 25.0
"""A venue ends the session of a process that stands still for so long."""
TIMEOUT = 2.0
END = 700.0


@dataclass(slots=True)
class Sitter:
    """One process that wants the seat."""

    name: str
    offset: float
    rate: float
    state: SeatState
    version: int = -1
    alive: bool = True
    cut_until: float = 0.0
    paused_until: float = 0.0
    paused_at: float = 0.0
    session: bool = False
    freed: bool = False

    def clock(self, now: float) -> float:
        """This machine's own clock."""
        return self.offset + now * self.rate


class Race:
    """One schedule of a seat."""

    def __init__(self, seed: int, *, fence: bool) -> None:
        self.seed, self.fence = seed, fence
        self.rng = random.Random(seed)  # noqa: S311
        self.now = 0.0
        self.record = LeaseRecord()
        self.version = 0
        self.api_down_until = 0.0
        self.taken = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self.sitters: list[Sitter] = []

    def play(self) -> int:
        """Play it; how often the seat was taken."""
        for number in range(self.rng.choice((2, 2, 3))):
            first = number == 0
            self.at(0.0 if first else self.rng.uniform(0, 250), self._come, f"main/p{number}")
        for _ in range(self.rng.randint(1, 5)):
            self.at(self.rng.uniform(5, 300), self._fault)
        while self._heap and self.now < END:
            self.now, _, act, args = heapq.heappop(self._heap)
            act(*args)
        return self.taken

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Have something happen."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, act, args))

    def _come(self, name: str) -> None:
        sitter = Sitter(
            name,
            self.rng.uniform(-1e4, 1e4),
            1 + self.rng.uniform(-0.005, 0.005),
            SeatState(identity=name, duration_seconds=SEAT),
        )
        self.sitters.append(sitter)
        self.at(self.now, self._read, sitter)
        self.at(self.now, self._look, sitter)

    def _fault(self) -> None:
        end = self.now + self.rng.choice((2.0, 10.0, 60.0, 100.0, 200.0))
        kind = self.rng.randrange(5)
        if kind == 0 or not self.sitters:
            self.api_down_until = max(self.api_down_until, end)
            return
        sitter = self.rng.choice(self.sitters)
        if kind in {1, 2}:
            sitter.cut_until = max(sitter.cut_until, end)
        elif kind == 3:
            if sitter.paused_until <= self.now:
                sitter.paused_at = self.now
            sitter.paused_until = max(sitter.paused_until, end)
        elif self.rng.random() < 0.5:
            sitter.alive = sitter.session = False
        else:
            sitter.state.leaving = True

    # One process: read, and write where it may; every so often look at the fence.

    def _away(self, sitter: Sitter, act: Callable[..., None], *args: Any) -> bool:
        if not sitter.alive:
            return True
        if sitter.paused_until > self.now:
            self.at(sitter.paused_until, act, *args)
            return True
        return False

    def _lost(self, sitter: Sitter) -> bool:
        away = self.api_down_until > self.now or sitter.cut_until > self.now
        return away or self.rng.random() < 0.03

    def _delay(self) -> float:
        return self.rng.random() * 0.1

    def _read(self, sitter: Sitter) -> None:
        if self._away(sitter, self._read, sitter):
            return
        if self._lost(sitter):
            self.at(self.now + TIMEOUT, self._read, sitter)
            return
        seen = (self.record, self.version)
        self.at(self.now + self._delay(), self._seen, sitter, *seen)

    def _seen(self, sitter: Sitter, record: LeaseRecord, version: int) -> None:
        if self._away(sitter, self._seen, sitter, record, version):
            return
        state, now = sitter.state, sitter.clock(self.now)
        observe_seat(state, record, now)
        sitter.version = version
        self._session(sitter)
        if state.leaving:
            if record.holder == sitter.name and not sitter.session:
                freed = free_record(record, at=f"{self.now}")
                self.at(self.now + self._delay(), self._arrive, sitter, freed, version, None)
        elif may_sit(state):
            written = seat_record(state, at=f"{self.now}")
            late = self._delay()
            if self._lost(sitter):
                # The answer is lost; the write itself may arrive, even much later.
                late = self.rng.choice((late, 4.0))
                self.at(self.now + late, self._arrive, sitter, written, version, None)
            else:
                self.at(self.now + late, self._arrive, sitter, written, version, now)
        self.at(self.now + 1.0, self._read, sitter)

    def _arrive(
        self, sitter: Sitter, record: LeaseRecord, version: int, sent_at: float | None
    ) -> None:
        if version != self.version:
            return
        self.taken += record.transitions > self.record.transitions
        self.record, self.version = record, self.version + 1
        if sent_at is not None:
            self.at(self.now + self._delay(), self._sat, sitter, record, sent_at, self.version)

    def _sat(self, sitter: Sitter, record: LeaseRecord, sent_at: float, version: int) -> None:
        if self._away(sitter, self._sat, sitter, record, sent_at, version):
            return
        sat_down(sitter.state, record, sent_at=sent_at, now=sitter.clock(self.now))
        sitter.version = version
        self._session(sitter)

    def _look(self, sitter: Sitter) -> None:
        if self._away(sitter, self._look, sitter):
            return
        self._session(sitter)
        self.at(self.now + POLL, self._look, sitter)

    def _session(self, sitter: Sitter) -> None:
        state = sitter.state
        held = check_fence(state, sitter.clock(self.now)) if self.fence else state.held
        sitter.session = held and not state.leaving
        if sitter.session:
            self._check(sitter)

    def _check(self, sitter: Sitter) -> None:
        for other in self.sitters:
            if other is sitter or not other.alive or not other.session:
                continue
            ended = other.paused_until > self.now and self.now - other.paused_at > VENUE_SILENCE
            if not ended:
                raise BrokenPromiseError(
                    f"two sessions, {sitter.name} and {other.name}, "
                    f"at {self.now:.2f} s of seed {self.seed}"
                )


def play_seats(seed: int, *, fence: bool = True) -> int:
    """Play one schedule; how often the seat was taken.

    Raises:
        BrokenPromiseError: two sessions were open at once.
    """
    return Race(seed, fence=fence).play()
