"""Polling at fixed phases: when each request of a plan goes out, and when none may.

Every request has its own phase in a common period, so the venue sees them evenly spread, and a
request never overlaps the one before it: a time that comes while the last answer is still out is
missed and counted, not made up for. While nothing can come of it a plan rests: what was answered
already is not asked again before the rest ends. The session writes the plan, the transport carries
it out and hands each answer back behind a line that says which request it answers. Pure: time is
an argument. Must not know venues or HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from feedplane_feeder.errors import MalformedFrameError

SECOND_NS: Final = 1_000_000_000
LATE_SHARE: Final = 10
"""A poll that goes out later than this part of its period is late."""
FIRST_ANSWERS: Final = 2
"""So many answers each poll has before it rests: the state as it is, and a second look for what was
absent from the first."""


class Poll(Struct, frozen=True):
    """One request that is repeated."""

    key: str
    url: str


class PollPlan(Struct, frozen=True):
    """All requests of a connection. What a session sends to steer a polling transport."""

    period_ns: int
    """Time between two polls of the same key."""
    spacing_ns: int
    """Time between the phases of two neighbours."""
    polls: tuple[Poll, ...]


class AnswerHead(Struct, frozen=True, omit_defaults=True):
    """First line of a frame: which request the rest of it answers."""

    poll: str
    late: int = 0
    """Polls that were late or missed since the last answer, over all keys."""


def render_plan(plan: PollPlan) -> str:
    """Return a plan as the text a session sends."""
    return msgspec.json.encode(plan).decode()


def parse_plan(text: str) -> PollPlan:
    """Read what `render_plan` wrote."""
    return msgspec.json.decode(text, type=PollPlan)


def frame_answer(head: AnswerHead, body: bytes) -> bytes:
    """Return the frame that hands an answer to a session."""
    return msgspec.json.encode(head) + b"\n" + body


def split_answer(frame: bytes) -> tuple[AnswerHead, bytes]:
    """Read what `frame_answer` made.

    Raises:
        MalformedFrameError: no such frame.
    """
    head, newline, body = frame.partition(b"\n")
    if not newline:
        raise MalformedFrameError("no line that names the poll", frame)
    try:
        return msgspec.json.decode(head, type=AnswerHead), body
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrameError(str(error), frame) from error


@dataclass(slots=True)
class _Turn:
    poll: Poll
    phase_ns: int
    at_ns: int
    under_way: bool = False
    answers: int = 0


class PollSchedule:
    """When each poll of a plan is due. At most `concurrency` are under way at once."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._turns: dict[str, _Turn] = {}
        self._under_way = 0
        self._period_ns = SECOND_NS
        self._origin_ns: int | None = None
        self._late = 0
        self._rest_until_ns = 0

    @property
    def rest_until_ns(self) -> int:
        """When the rest ends, or the last one ended."""
        return self._rest_until_ns

    def rest(self, until_ns: int, now_ns: int) -> None:
        """Leave the venue in peace until then, or go on from now where that has passed.

        Nothing that is put off counts as late: each poll goes on with its first turn after it.
        """
        self._rest_until_ns = max(until_ns, min(self._rest_until_ns, now_ns))

    def adopt(self, plan: PollPlan, now_ns: int) -> None:
        """Take over a plan; a poll whose phase stays the same keeps its time."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        same_pace = plan.period_ns == self._period_ns
        self._period_ns = max(1, plan.period_ns)
        turns: dict[str, _Turn] = {}
        for position, poll in enumerate(plan.polls):
            phase_ns = position * plan.spacing_ns
            known = self._turns.get(poll.key)
            if known is None:
                turns[poll.key] = _Turn(poll, phase_ns, self._next_turn(phase_ns, now_ns))
                continue
            known.answers *= known.poll.url == poll.url
            known.poll = poll
            if not same_pace or known.phase_ns != phase_ns:
                known.phase_ns, known.at_ns = phase_ns, self._next_turn(phase_ns, now_ns)
            turns[poll.key] = known
        gone = (turn for key, turn in self._turns.items() if key not in turns)
        self._under_way -= sum(turn.under_way for turn in gone)
        self._turns = turns

    def take_due(self, now_ns: int) -> list[Poll]:
        """Return the polls to send now, the longest due first; each is under way until `done`."""
        due: list[Poll] = []
        for turn in sorted(self._turns.values(), key=self._due_ns):
            if self._due_ns(turn) > now_ns:
                break
            turn.at_ns = self._due_ns(turn)
            if turn.under_way:
                self._skip(turn, now_ns)
            elif self._under_way < self._concurrency:
                self._late += now_ns - turn.at_ns > self._period_ns // LATE_SHARE
                turn.at_ns += self._period_ns
                self._skip(turn, now_ns)
                turn.under_way = True
                self._under_way += 1
                due.append(turn.poll)
        return due

    def done(self, key: str, *, answered: bool = True) -> None:
        """Tell that a poll was answered or failed."""
        turn = self._turns.get(key)
        if turn is not None and turn.under_way:
            turn.under_way = False
            turn.answers += answered
            self._under_way -= 1

    def next_ns(self) -> int | None:
        """Return when the next poll is due; None while nothing can go out before `done`."""
        if self._under_way >= self._concurrency:
            return None
        return min(map(self._due_ns, self._turns.values()), default=None)

    def take_late(self) -> int:
        """Return how many polls were late or missed since the last call."""
        late, self._late = self._late, 0
        return late

    # A turn that falls into a rest is put off to the first of its phase after it.
    def _due_ns(self, turn: _Turn) -> int:
        rest_ns = self._rest_until_ns - turn.at_ns
        if rest_ns <= 0 or turn.answers < FIRST_ANSWERS:
            return turn.at_ns
        return turn.at_ns + -(-rest_ns // self._period_ns) * self._period_ns

    # Times that have passed are missed; the next one is the first that lies ahead.
    def _skip(self, turn: _Turn, now_ns: int) -> None:
        if turn.at_ns <= now_ns:
            missed = (now_ns - turn.at_ns) // self._period_ns + 1
            turn.at_ns += missed * self._period_ns
            self._late += missed

    def _next_turn(self, phase_ns: int, now_ns: int) -> int:
        first_ns = (self._origin_ns or 0) + phase_ns
        behind = max(0, now_ns - first_ns)
        return first_ns + -(-behind // self._period_ns) * self._period_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTerms:
    """How a venue's plain HTTP interface wants to be asked, and what its refusals mean."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request, beside those of the login."""
    timeout_seconds: float = 10.0
    concurrency: int = 4
    spacing_seconds: float = 0.0
    """Pause between two streams that are opened."""
    failures_max: int = 3
    """So many failed requests in a row end the session."""
    login_statuses: frozenset[int] = frozenset({401})
    """Answers that refuse the login."""
    ban_statuses: frozenset[int] = frozenset({403, 418})
    """Answers that refuse the address for a long time."""
    resets_to_ban: int | None = None
    """So many requests in a row without any answer mean that the address is banned."""
    ban_seconds: float = 900.0
    """How long a ban that names no end is waited out at first; twice as long each time."""
    ban_cap_seconds: float = 72_000.0
    source: str = ""
    """Where that is told."""


class Cooldown:
    """What a venue did to our address: requests without an answer, and bans with their ends."""

    def __init__(self, terms: HttpTerms) -> None:
        self.until_ns = 0
        """Nothing may be asked before."""
        self.reason = ""
        self._terms = terms
        self._resets = 0
        self._bans = 0

    def answered(self) -> None:
        """Tell that the venue served us."""
        self._resets = self._bans = 0

    def unanswered(self, now_ns: int) -> bool:
        """Tell that a request was cut off without an answer; True when that amounts to a ban."""
        self._resets += 1
        most = self._terms.resets_to_ban
        if most is None or self._resets < most:
            return False
        self.ban(now_ns, f"{self._resets} requests in a row were cut off")
        return True

    def ban(self, now_ns: int, reason: str, seconds: float | None = None) -> float:
        """Begin a ban, of a length of its own where the venue named none; the seconds it lasts."""
        if seconds is None:
            longer = self._terms.ban_seconds * 2.0 ** min(self._bans, 32)
            seconds = min(longer, self._terms.ban_cap_seconds)
            self._bans += 1
        self._resets = 0
        self.until_ns = max(self.until_ns, now_ns + int(seconds * SECOND_NS))
        self.reason = reason
        return seconds

    def left_seconds(self, now_ns: int) -> float:
        """Return how long nothing may be asked."""
        return max(0, self.until_ns - now_ns) / SECOND_NS
