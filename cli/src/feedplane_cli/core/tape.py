"""What was read from a tape's tables for a range, before anybody judges it.

Times are nanoseconds since the epoch, days their midnights in UTC. Must not know how it was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
DELAY_BOUNDS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0),
)
"""Upper bounds of the classes delays are counted in, in seconds; the last class has none."""

SeriesKey = tuple[str, str]
"""instrument_id and channel."""


class GapState(StrEnum):
    """What became of a row of the ledger."""

    OPEN = "open"
    FILLED = "filled"
    UNFILLABLE = "unfillable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesDay:
    """What the tape holds of one channel of one instrument on one day."""

    instrument_id: str
    channel: str
    day_ns: int
    rows: int
    first_id: int | None = None
    last_id: int | None = None
    newest_ns: int = 0
    """Time of the newest row: of a bar its open time."""
    oldest_ns: int = 0


@dataclass(frozen=True, slots=True)
class IdHole:
    """Numbers the tape lacks between two that it holds, both ends included."""

    instrument_id: str
    channel: str
    first_id: int
    last_id: int
    at_ns: int
    """Time of the row after it."""

    @property
    def size(self) -> int:
        """How many numbers are missing."""
        return self.last_id - self.first_id + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One row of the gap ledger."""

    instrument_id: str
    channel: str
    cause: str
    state: GapState
    detected_ns: int
    from_id: int | None = None
    to_id: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    filled_by: str | None = None
    filled_ns: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows in quarantine for one reason."""

    instrument_id: str
    channel: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """All of it."""

    days: tuple[SeriesDay, ...] = ()
    delays: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Per channel, rows by class of `DELAY_BOUNDS`."""
    holes: tuple[IdHole, ...] = ()
    gaps: tuple[LedgerRow, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    late: Mapping[SeriesKey, int] | None = None
    """Rows that arrived after rows behind them, so were missing for a while; None: not counted."""
