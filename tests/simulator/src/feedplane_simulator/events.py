"""One event of a venue: what the market emitted, before any connection sees it."""

from enum import StrEnum
from typing import NamedTuple


class LogEvent(StrEnum):
    """Names of log events."""

    SIMULATOR_STARTED = "simulator.started"
    SIMULATOR_STOPPED = "simulator.stopped"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CLOSED = "connection.closed"
    CONNECTION_REFUSED = "connection.refused"
    FAULT_INJECTED = "fault.injected"
    FAULT_CLEARED = "fault.cleared"
    TASK_FAILED = "task.failed"
    RULE_VIOLATED = "rule.violated"
    LOAD_STARTED = "load.started"
    LOAD_ENDED = "load.ended"


class VenueEvent(NamedTuple):
    """A payload on one stream.

    `sequence` is the venue's number within the stream: aggregate id, trade id, update id, or
    the open time of a bar. `final` is false only for updates of a bar still open.
    """

    channel: str
    symbol: str
    stream: str
    sequence: int
    payload: bytes
    final: bool = True
