"""The referee's book: every rule a client broke, when, on which connection."""

from collections import Counter, deque
from enum import StrEnum
from typing import Any

import msgspec


class Rule(StrEnum):
    """Rules a client can break."""

    MESSAGE_RATE = "message-rate"
    CONNECT_RATE = "connect-rate"
    STREAM_COUNT = "stream-count"
    NO_PONG = "no-pong"
    SUBSCRIBED_TWICE = "subscribed-twice"
    SECOND_SESSION = "second-session"
    DOUBLE_LOGIN = "double-login"
    CONNECT_WHILE_BANNED = "connect-while-banned"
    MALFORMED_REQUEST = "malformed-request"
    UNKNOWN_ENDPOINT = "unknown-endpoint"
    REST_WEIGHT = "rest-weight"
    REST_WHILE_LIMITED = "rest-while-limited"
    REST_WHILE_BANNED = "rest-while-banned"


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule broken once; `time` is ms since the epoch, connection 0 is REST or a handshake."""

    time: int
    market: str
    connection: int
    client: str
    rule: Rule
    detail: str


class ViolationLog:
    """The newest violations in full, and the count of all."""

    def __init__(self, keep: int = 10_000) -> None:
        self._kept: deque[Violation] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()

    def add(self, violation: Violation) -> None:
        """Write a violation down."""
        self._kept.append(violation)
        self.counts[violation.rule.value] += 1

    def clear(self) -> None:
        """Forget everything, before a trial."""
        self._kept.clear()
        self.counts.clear()

    def list_all(self) -> list[dict[str, Any]]:
        """Return the kept violations, oldest first."""
        return [msgspec.to_builtins(violation) for violation in self._kept]
