"""A tape against a reference table, instrument by instrument and day by day.

First by counts and digests; only where those differ, row by row. Pure: both are arguments.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from feedplane_cli.errors import UsageError

DayKey = tuple[str, int]
"""instrument_id and midnight in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What one side holds of a day: how many rows, and one number over all of them."""

    rows: int
    digest: int


NOTHING: Final = Digest(0, 0)


class Agreement(StrEnum):
    """How well the two sides agree on a day."""

    EQUAL = "Equal"
    WITHIN_TOLERANCE = "WithinTolerance"
    DIFFERENT = "Different"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayComparison:
    """One day of one instrument."""

    instrument_id: str
    day_ns: int
    rows: int
    reference_rows: int
    only_tape: int = 0
    only_reference: int = 0
    different: int = 0
    """Rows of one key with other values."""
    agreement: Agreement

    @property
    def wrong(self) -> int:
        """Rows that are on one side only or differ."""
        return self.only_tape + self.only_reference + self.different


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it."""

    channel: str
    reference: str
    columns: tuple[str, ...]
    """Values compared, by the tape's names."""
    tolerance_percent: Decimal
    days: tuple[DayComparison, ...]
    """Those that differ first."""

    @property
    def agrees(self) -> bool:
        """Whether no day differs by more than is tolerated."""
        return all(day.agreement is not Agreement.DIFFERENT for day in self.days)


def parse_tolerance(text: str) -> Decimal:
    """Read a percentage, as `0`, `0.1` or `0.1%`.

    Raises:
        UsageError: it is none between 0 and 100.
    """
    try:
        found = Decimal(text.strip().removesuffix("%"))
        good = 0 <= found <= 100
    except InvalidOperation:
        good = False
    if not good:
        raise UsageError(f"Expected a percentage from 0 to 100, was {text!r}.", "As in: 0.1")
    return found


def find_suspects(
    tape: Mapping[DayKey, Digest], reference: Mapping[DayKey, Digest]
) -> list[DayKey]:
    """Return the days on which the two sides are not the same."""
    keys = sorted({*tape, *reference})
    return [key for key in keys if tape.get(key, NOTHING) != reference.get(key, NOTHING)]


def compare_rows(
    tape: Sequence[tuple[str, str]], reference: Sequence[tuple[str, str]]
) -> tuple[int, int, int]:
    """Return how many rows are on the tape only, in the reference only, and in both but differ.

    Rows are pairs of key and values; a second row of one key is on its side only.
    """
    ours, theirs = dict(tape), dict(reference)
    both = ours.keys() & theirs.keys()
    different = sum(1 for key in both if ours[key] != theirs[key])
    return len(tape) - len(both), len(reference) - len(both), different


def judge_days(
    tape: Mapping[DayKey, Digest],
    reference: Mapping[DayKey, Digest],
    wrong: Mapping[DayKey, tuple[int, int, int]],
    tolerance_percent: Decimal,
) -> tuple[DayComparison, ...]:
    """Judge every day that either side has; `wrong` holds the answers of `compare_rows`."""
    days = [
        _judge(
            key,
            tape.get(key, NOTHING),
            reference.get(key, NOTHING),
            wrong.get(key, (0, 0, 0)),
            tolerance_percent,
        )
        for key in sorted({*tape, *reference})
    ]
    return tuple(sorted(days, key=_gravest_first))


def sum_up(days: Iterable[DayComparison]) -> dict[str, int]:
    """Return the sums over all days."""
    days = tuple(days)
    return {
        "days": len(days),
        "daysDifferent": sum(1 for day in days if day.agreement is Agreement.DIFFERENT),
        "rows": sum(day.rows for day in days),
        "referenceRows": sum(day.reference_rows for day in days),
        "onlyTape": sum(day.only_tape for day in days),
        "onlyReference": sum(day.only_reference for day in days),
        "different": sum(day.different for day in days),
    }


def _judge(
    key: DayKey,
    tape: Digest,
    reference: Digest,
    wrong: tuple[int, int, int],
    tolerance_percent: Decimal,
) -> DayComparison:
    total = sum(wrong)
    larger = max(tape.rows, reference.rows)
    agreement = Agreement.EQUAL
    if total * 100 > tolerance_percent * larger:
        agreement = Agreement.DIFFERENT
    elif total:
        agreement = Agreement.WITHIN_TOLERANCE
    return DayComparison(
        instrument_id=key[0],
        day_ns=key[1],
        rows=tape.rows,
        reference_rows=reference.rows,
        only_tape=wrong[0],
        only_reference=wrong[1],
        different=wrong[2],
        agreement=agreement,
    )


def _gravest_first(day: DayComparison) -> tuple[int, int, str, int]:
    order = (Agreement.DIFFERENT, Agreement.WITHIN_TOLERANCE, Agreement.EQUAL)
    return order.index(day.agreement), -day.wrong, day.instrument_id, day.day_ns
