"""Findings: what the answers to one question brought, and what that says of the gaps it is about.

Only rows that are missing are kept; all that were there are remembered, because they prove what
the venue passes over. Pure. Must not know how rows are fetched or written.
"""

from collections.abc import Callable, Sequence

from feedplane_feeder.core.evidence import (
    Repaired,
    judge_bars,
    judge_ids,
    judge_time,
    list_opens,
)
from feedplane_feeder.core.history import HistoryRow, build_records
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.repair import Ask
from feedplane_feeder.records import Gap, Quarantined, Record


class Findings:
    """What the answers to one question brought."""

    def __init__(self, ask: Ask, venue: str) -> None:
        self._ask = ask
        self._venue = venue
        self._interval = ask.channel.partition("-")[2]
        self._numbers: list[int] = []
        self._opens: set[int] = set()
        for gap in ask.gaps if self._interval else ():
            self._opens.update(list_opens(gap))
        self._rows = 0
        self._refused = False
        self.records: list[Record] = []
        """Missing rows that no batch took yet."""
        self._quarantined: list[Quarantined] = []

    def take(
        self, rows: Sequence[HistoryRow], refused: Sequence[tuple[str, str]], now_ns: int
    ) -> None:
        """Keep the rows that are missing, and remember all that were there."""
        wanted = [row for row in rows if self._is_missing(row, now_ns)]
        self._rows += len(wanted)
        ask = self._ask
        self.records += build_records(ask.channel, ask.instrument_id, wanted, now_ns)
        self._refused |= bool(refused)
        self._quarantined += [
            Quarantined(
                ts_recv=now_ns,
                venue=self._venue,
                channel=ask.channel,
                instrument_id=ask.instrument_id,
                reason=reason,
                raw=raw,
            )
            for reason, raw in refused
        ]

    def batch(self, repaired: Sequence[Repaired]) -> Batch:
        """Return what is to be written, and begin anew."""
        records, quarantined = self.records, self._quarantined
        self.records, self._quarantined = [], []
        return Batch(records=records, quarantined=quarantined, replayed=True, repaired=repaired)

    def judge(self, proves: Callable[[Gap], bool]) -> tuple[Repaired, ...]:
        """Return what becomes of the gaps."""
        # Numbers are those seen; a row that could not be read is not lacking at the venue.
        numbers = sorted(self._numbers)
        judged = []
        for gap in self._ask.gaps:
            proven = proves(gap) and not self._refused
            if gap.from_id is not None:
                judged.append(judge_ids(gap, numbers, proves=proven))
            elif self._interval:
                judged.append(judge_bars(gap, numbers, proves=proven))
            else:
                judged.append(judge_time(gap, self._rows))
        return tuple(judged)

    def _is_missing(self, row: HistoryRow, now_ns: int) -> bool:
        if self._interval:
            opened, closed = row[0] * 1_000, int(row[-1]) * 1_000
            # A bar that is still open only says that the ones before it are over.
            if opened in self._opens and closed >= now_ns:
                return False
            self._numbers.append(opened)
            return opened in self._opens
        if self._ask.ids is None:
            first, behind = self._ask.times
            return first <= row[0] * 1_000 < behind
        number = int(row[1])
        self._numbers.append(number)
        return any((gap.from_id or 0) <= number <= (gap.to_id or 0) for gap in self._ask.gaps)
