"""How complete a tape is, told twice: by its ledger, and by the numbers of its rows alone.

Before repair counts what no line received, after repair what is still nowhere. The ledger knows
both. The rows know the second by their numbers, and the first by their times: what arrived after
rows behind it had been missing for a while. Two figures that agree without having seen each other
are worth something; two that do not are a fault to look into. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from feedplane_api.quality import parts_per_million
from feedplane_cli.core.quality import NUMBERED, merge_ranges
from feedplane_cli.core.tape import GapState, LedgerRow, SeriesKey, Tape

RECEIVED: Final = frozenset({"line", "replay"})
"""Ways a gap is filled by what another line, or a standby's memory, had received in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """One channel, all instruments together."""

    channel: str
    numbers: int
    """From the first to the last number held of each instrument, all together."""
    ledger_before: int
    ledger_after: int
    rows_before: int | None
    """None where too many rows would have to be put in order."""
    rows_after: int

    @property
    def ledger_ppm(self) -> tuple[int, int]:
        """Missing before and after repair by the ledger, in parts per million."""
        return self._ppm(self.ledger_before), self._ppm(self.ledger_after)

    @property
    def rows_ppm(self) -> tuple[int | None, int]:
        """Missing before and after repair by the rows, in parts per million."""
        before = None if self.rows_before is None else self._ppm(self.rows_before)
        return before, self._ppm(self.rows_after)

    @property
    def agrees(self) -> bool:
        """Whether ledger and rows say the same, as far as both speak."""
        return self.ledger_after == self.rows_after and self.rows_before in {
            None,
            self.ledger_before,
        }

    def _ppm(self, missing: int) -> int:
        return parts_per_million(missing, self.numbers)


def measure(tape: Tape) -> tuple[Completeness, ...]:
    """Return the completeness of every numbered channel, by name."""
    spans = find_spans(tape)
    holes: dict[SeriesKey, int] = defaultdict(int)
    for hole in tape.holes:
        holes[hole.instrument_id, hole.channel] += hole.size
    named: dict[SeriesKey, list[LedgerRow]] = defaultdict(list)
    for row in tape.gaps:
        named[row.instrument_id, row.channel].append(row)
    return tuple(
        _measure_channel(
            channel,
            {key: span for key, span in spans.items() if key[1] == channel},
            named,
            holes,
            tape.late,
        )
        for channel in sorted({key[1] for key in spans})
    )


def find_spans(tape: Tape) -> dict[SeriesKey, tuple[int, int]]:
    """Return the first and last number held of each series whose channel is numbered."""
    spans: dict[SeriesKey, tuple[int, int]] = {}
    for day in tape.days:
        if day.channel not in NUMBERED or day.first_id is None or day.last_id is None:
            continue
        key = (day.instrument_id, day.channel)
        first, last = spans.get(key, (day.first_id, day.last_id))
        spans[key] = min(first, day.first_id), max(last, day.last_id)
    return spans


def count_named(rows: Iterable[LedgerRow], span: tuple[int, int], *, after: bool) -> int:
    """Return how many numbers within a span the ledger says were missing, or are after repair.

    What a hole and its parts name twice counts once.
    """
    ranges = [
        (max(row.from_id, span[0]), min(row.to_id, span[1]))
        for row in rows
        if row.from_id is not None and row.to_id is not None and _counts(row, after=after)
    ]
    merged = merge_ranges((first, last) for first, last in ranges if first <= last)
    return sum(last - first + 1 for first, last in merged)


def _measure_channel(
    channel: str,
    spans: Mapping[SeriesKey, tuple[int, int]],
    named: Mapping[SeriesKey, Iterable[LedgerRow]],
    holes: Mapping[SeriesKey, int],
    late: Mapping[SeriesKey, int] | None,
) -> Completeness:
    missing = sum(holes.get(key, 0) for key in spans)
    arrived_late = None if late is None else sum(late.get(key, 0) for key in spans)
    return Completeness(
        channel=channel,
        numbers=sum(last - first + 1 for first, last in spans.values()),
        ledger_before=sum(
            count_named(named.get(key, ()), span, after=False) for key, span in spans.items()
        ),
        ledger_after=sum(
            count_named(named.get(key, ()), span, after=True) for key, span in spans.items()
        ),
        rows_before=None if arrived_late is None else missing + arrived_late,
        rows_after=missing,
    )


def _counts(row: LedgerRow, *, after: bool) -> bool:
    if row.state is not GapState.FILLED:
        return True
    return not after and row.filled_by not in RECEIVED
