"""What can go wrong in the operator, and whether trying again helps.

OperatorError
├── SettingsError            an environment variable cannot be used            FATAL
├── LeadershipLostError      another replica may act now                       FATAL
└── ClusterError             the API server did not do what was asked
    ├── UnreachableError     no answer, or an answer that says later           RETRY
    ├── ConflictError        the object changed, or someone else owns a field  RETRY
    ├── NotFoundError        the object is not there                           SKIP
    └── RefusedError         the API server will never take this as it is      SKIP
"""

from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """What to do after an error."""

    RETRY = "Retry"
    SKIP = "Skip"
    FATAL = "Fatal"


class OperatorError(Exception):
    """Root of everything the operator raises on purpose."""

    retry: ClassVar[Retry] = Retry.FATAL


class SettingsError(OperatorError):
    """An environment variable that cannot be used."""

    def __init__(self, variable: str, expected: str, was: str) -> None:
        super().__init__(variable, expected, was)
        self.variable = variable
        self.expected = expected
        self.was = was

    def __str__(self) -> str:
        return f"Expected {self.variable} to be {self.expected}, was {self.was!r}"


class LeadershipLostError(OperatorError):
    """The Lease could not be renewed in time; the process must end at once."""

    def __init__(self, renew_deadline_seconds: float) -> None:
        super().__init__(renew_deadline_seconds)
        self.renew_deadline_seconds = renew_deadline_seconds

    def __str__(self) -> str:
        return (
            f"Expected to renew the Lease within {self.renew_deadline_seconds} s, was not able to"
        )


class ClusterError(OperatorError):
    """The API server did not do what was asked."""

    retry: ClassVar[Retry] = Retry.RETRY

    def __init__(self, request: str, status: int, message: str) -> None:
        super().__init__(request, status, message)
        self.request = request
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return f"Expected {self.request} to succeed, was {self.status}: {self.message}"


class UnreachableError(ClusterError):
    """No answer in time, or one that asks to come back later."""

    def __init__(
        self, request: str, status: int, message: str, *, after_seconds: float | None = None
    ) -> None:
        super().__init__(request, status, message)
        self.after_seconds = after_seconds


class ConflictError(ClusterError):
    """The object changed in between, or another manager owns a field."""


class NotFoundError(ClusterError):
    """The object, or the kind itself, is not there."""

    retry: ClassVar[Retry] = Retry.SKIP


class RefusedError(ClusterError):
    """The API server will not take this, however often it is sent."""

    retry: ClassVar[Retry] = Retry.SKIP
