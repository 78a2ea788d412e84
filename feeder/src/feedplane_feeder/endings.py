"""How a feeder ends: the exit code and the one sentence that explains it.

The sentence goes to the termination log, where the operator reads it as `<Word>: <text>`. Must
not know what was running.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_feeder.errors import FeederError, Retry, SinkRefusedError, UnknownVenueError
from feedplane_feeder.log import hide_secrets

LONGEST_MESSAGE: Final = 1_024


@dataclass(frozen=True, slots=True)
class Ending:
    """An exit code and the message that goes with it."""

    code: int
    word: str
    """CamelCase: InvalidConfig, UnknownVenue, SinkRefused, Failed."""
    text: str
    error: BaseException
    """The one error that decided."""

    @property
    def message(self) -> str:
        """What the termination log says."""
        return f"{self.word}: {self.text}"[:LONGEST_MESSAGE]


def explain_ending(error: BaseException) -> Ending:
    """Return how the process ends by this error; of a group, by its gravest one."""
    cause = gravest(error)
    text = hide_secrets(str(cause) or type(cause).__name__)
    match cause:
        case InvalidWorkerConfigError():
            return Ending(ExitCode.CONFIG_INVALID, "InvalidConfig", text, cause)
        case UnknownVenueError():
            return Ending(ExitCode.CONFIG_INVALID, "UnknownVenue", text, cause)
        case SinkRefusedError():
            return Ending(ExitCode.SINK_REFUSED, "SinkRefused", text, cause)
        case FeederError():
            return Ending(ExitCode.FAILURE, "Failed", text, cause)
        case _:
            return Ending(ExitCode.FAILURE, "Failed", f"{type(cause).__name__}: {text}", cause)


def gravest(error: BaseException) -> BaseException:
    """Return the error that decides: one that waiting cannot cure goes before all others."""
    causes = list(_leaves(error))
    fatal = [
        cause for cause in causes if isinstance(cause, FeederError) and cause.retry is Retry.FATAL
    ]
    return (fatal or causes)[0]


def write_termination_log(path: Path, message: str) -> None:
    """Leave the message where the kubelet picks it up; a place that is not there is no trouble."""
    with contextlib.suppress(OSError):
        if path.exists():
            path.write_text(message)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
