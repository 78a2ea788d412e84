"""What can go wrong in the command, with the exit code and the advice that go with it.

CliError
├── UsageError          the command line asks for something that does not exist   2
├── NotFoundError       the object is not there                                   3
├── KindsMissingError   the cluster does not know Feedplane's resources           3
├── NoClusterError      no kubeconfig, context or cluster to talk to              4
├── UnreachableError    the API server does not answer, or cannot now             4
├── UnauthorizedError   the API server does not take the credentials              5
├── ForbiddenError      the user lacks a right                                    5
├── TimedOutError       the change is made, but was not carried out in time       6
└── RefusedError        the change would not do what it is meant to               7
    └── ChangedError    somebody else changed the object in between
"""

from enum import IntEnum
from typing import ClassVar

from feedplane_api.errors import FeedplaneError


class ExitStatus(IntEnum):
    """What the exit code of the command says."""

    HEALTHY = 0
    """It was done; `status`: each FeedSource shown is ready, or paused by a person."""
    NOT_READY = 1
    """`status`: a FeedSource shown is not ready. `check`: something wanted does not stream.
    `report quality`: an ERROR stands in the report. `compare`: a day differs by more than is
    tolerated. `report bundle`: the bundle could not be written."""
    USAGE = 2
    """The command line asks for something that does not exist."""
    NOT_FOUND = 3
    """The object is not there, or Feedplane is not installed in the cluster."""
    UNREACHABLE = 4
    """There is no kubeconfig, or the API server, the database or every feeder does not answer."""
    FORBIDDEN = 5
    """The API server does not know the user, or the user lacks a right; the message names it."""
    TIMED_OUT = 6
    """The change stands in the spec but was not carried out within `--timeout`."""
    REFUSED = 7
    """The change would not do what it is meant to, or the API server refuses it, or a database has
    no such table; nothing was changed."""
    INTERRUPTED = 130
    """A person pressed Ctrl-C; a change that was made before stays made."""


class CliError(FeedplaneError):
    """Root of everything the command raises on purpose: what is wrong, and what to do."""

    status: ClassVar[ExitStatus] = ExitStatus.NOT_READY

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return self.message


class UsageError(CliError):
    """The command line asks for something that does not exist."""

    status = ExitStatus.USAGE


class NotFoundError(CliError):
    """The object is not there."""

    status = ExitStatus.NOT_FOUND


class KindsMissingError(CliError):
    """The cluster does not know Feedplane's resources."""

    status = ExitStatus.NOT_FOUND


class NoClusterError(CliError):
    """There is no kubeconfig, context or cluster to talk to."""

    status = ExitStatus.UNREACHABLE


class UnreachableError(CliError):
    """The API server does not answer, or cannot at the moment."""

    status = ExitStatus.UNREACHABLE


class UnauthorizedError(CliError):
    """The API server does not take the credentials."""

    status = ExitStatus.FORBIDDEN


class ForbiddenError(CliError):
    """The user lacks a right."""

    status = ExitStatus.FORBIDDEN


class TimedOutError(CliError):
    """The change is made, but was not carried out in time."""

    status = ExitStatus.TIMED_OUT


class RefusedError(CliError):
    """The change would not do what it is meant to; nothing was changed."""

    status = ExitStatus.REFUSED


class ChangedError(RefusedError):
    """Somebody else changed the object in between."""
