"""Limits as pure meters: they are told the time and say who went too far."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import StrEnum

from feedplane_simulator.config import MarketRules


class RateMeter:
    """Counts events in a sliding window."""

    def __init__(self, limit: int, window_seconds: float) -> None:
        self._limit = limit
        self._window = window_seconds
        self._times: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Count one event and tell whether the window now holds more than the limit."""
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) > self._limit


class Due(StrEnum):
    """What a connection's clock calls for."""

    PING = "ping"
    NO_PONG = "no-pong"
    SHUTDOWN_NOTICE = "shutdown-notice"
    LIFETIME = "lifetime"


class KeepAlive:
    """Server pings, the pongs that answer them, and the end of a connection's life."""

    def __init__(self, rules: MarketRules, now: float) -> None:
        self._rules = rules
        self._next_ping = now + rules.ping_interval_seconds
        self._ends = now + rules.lifetime_seconds
        self._notice_at: float | None = self._ends - rules.shutdown_notice_seconds
        self._unanswered: OrderedDict[bytes, float] = OrderedDict()

    def pinged(self, payload: bytes, now: float) -> None:
        """Remember a ping that was sent."""
        self._unanswered[payload] = now
        self._next_ping = now + self._rules.ping_interval_seconds

    def ponged(self, payload: bytes) -> bool:
        """Settle the ping with this payload and the ones before; False when there is none."""
        if payload not in self._unanswered:
            return False
        while self._unanswered:
            settled, _ = self._unanswered.popitem(last=False)
            if settled == payload:
                break
        return True

    def end_at(self, now: float) -> None:
        """Set an earlier end of life, its notice given already."""
        self._ends, self._notice_at = now, None

    def due(self, now: float) -> list[Due]:
        """Return what must happen now, at most once each."""
        calls = []
        if now >= self._ends:
            return [Due.LIFETIME]
        oldest = next(iter(self._unanswered.values()), now)
        if now - oldest >= self._rules.pong_timeout_seconds:
            return [Due.NO_PONG]
        if self._notice_at is not None and now >= self._notice_at:
            self._notice_at = None
            calls.append(Due.SHUTDOWN_NOTICE)
        if now >= self._next_ping:
            calls.append(Due.PING)
        return calls


@dataclass(frozen=True, slots=True)
class WeightVerdict:
    """The answer a REST request gets before it is looked at."""

    used: int
    status: int = 200
    retry_after_seconds: int = 0
    until_ms: int = 0
    impatient: int = 0
    """429 or 418 when the request came before an earlier one of these had run out."""


class WeightMeter:
    """REST weight of one address, by minute, with the ban that follows ignoring it."""

    IGNORED_BEFORE_BAN = 5

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules
        self._minute = -1
        self.used = 0
        self._penalty = 200
        self._penalty_until_ms = 0
        self._ignored = 0
        self._bans = 0

    def penalize(self, status: int, now_ms: int, seconds: float) -> WeightVerdict:
        """Answer with a limit by order of a fault, and remember until when it holds."""
        self._penalty, self._penalty_until_ms = status, now_ms + round(seconds * 1000)
        return WeightVerdict(self.used, status, max(1, round(seconds)), self._penalty_until_ms)

    def impatient(self, now_ms: int) -> int:
        """Return 429 or 418 when a penalty of that kind still holds, else 0."""
        return self._penalty if now_ms < self._penalty_until_ms else 0

    def spend(self, weight: int, now_ms: int) -> WeightVerdict:
        """Count a request's weight and judge it."""
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute, self.used, self._ignored = minute, 0, 0
        impatient = self.impatient(now_ms)
        if impatient == 418:
            left = self._penalty_until_ms - now_ms
            return WeightVerdict(
                self.used, 418, -(-left // 1000), self._penalty_until_ms, impatient
            )
        self.used += weight
        if self.used <= self._rules.weight_per_minute:
            return WeightVerdict(self.used, impatient=impatient)
        self._ignored += 1
        if self._ignored > self.IGNORED_BEFORE_BAN:
            seconds = self._rules.ban_seconds * 2**self._bans
            self._bans += 1
            verdict = self.penalize(418, now_ms, seconds)
        else:
            verdict = self.penalize(429, now_ms, 60 - now_ms % 60_000 / 1000)
        return WeightVerdict(
            self.used, verdict.status, verdict.retry_after_seconds, verdict.until_ms, impatient
        )
