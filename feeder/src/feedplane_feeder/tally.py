"""What a file or a run of pages brought, part by part, until it is known to be all.

Must not know where rows come from, nor how they reach the table.
"""

from collections.abc import Sequence
from typing import Final

from feedplane_feeder.core.columns import BarColumns
from feedplane_feeder.core.history import HistoryRow, Parsed
from feedplane_feeder.core.parts import Found, Part, note_rows, split_rows
from feedplane_feeder.core.ports import Written
from feedplane_feeder.records import ChannelKind

QUARANTINED_A_FILE: Final = 1_000
"""A file with more rows that cannot be true is no file of rows."""


class Tally:
    """Rows of one file or run of pages, counted by part."""

    def __init__(self, channel: str, parts: Sequence[Part], *, until_id: int | None = None) -> None:
        self._channel = channel
        self._parts = parts
        self._until_id = until_id
        self._found = {id(part): Found() for part in parts}
        # The last value of a day may bear the day's very end.
        self._inclusive = channel == ChannelKind.METRIC
        self.refused: list[tuple[str, str]] = []
        self.written = Written()

    @property
    def rows(self) -> int:
        """Rows that fell into a part."""
        return sum(found.rows for found in self._found.values())

    @property
    def parts_with_rows(self) -> list[Part]:
        """Parts that got any."""
        return [part for part in self._parts if self._found[id(part)].rows]

    def take(self, parsed: Parsed) -> list[HistoryRow]:
        """Count rows by part and return those that are wanted."""
        self.refused += parsed.refused[: QUARANTINED_A_FILE - len(self.refused)]
        rows = parsed.rows
        if self._until_id is not None:
            rows = [row for row in rows if int(row[1]) <= self._until_id]
        split = split_rows(rows, self._parts, inclusive_end=self._inclusive)
        for part, mine in split:
            note_rows(self._found[id(part)], self._channel, mine)
        return split[0][1] if len(split) == 1 else [row for _, mine in split for row in mine]

    def take_bars(self, bars: BarColumns) -> BarColumns:
        """Count bars by part and return those that are wanted."""
        chunks = [part.chunk for part in self._parts]
        spans = bars.find_between([(c.start_ns // 1000, c.end_ns // 1000) for c in chunks])
        for part, (begin, end) in zip(self._parts, spans, strict=True):
            self._found[id(part)].rows += end - begin
        return bars.only(spans)

    def settle(self) -> None:
        """Count what came to the parts."""
        for part in self._parts:
            found = self._found[id(part)]
            part.rows += found.rows
            part.runs += found.runs
        self.count_written()

    def count_written(self) -> None:
        """Count what the table made of the rows to the parts.

        Which row was known is not told: new ones are counted to the parts in order, which is
        exact where all were new or none was.
        """
        left = self.written
        for part in self._parts:
            rows = self._found[id(part)].rows
            new = min(rows, left.new)
            updated = min(rows - new, left.updated)
            known = min(rows - new - updated, left.duplicate)
            share = Written(new=new, updated=updated, duplicate=known)
            part.written += share
            left = Written(
                new=left.new - new,
                updated=left.updated - updated,
                duplicate=left.duplicate - known,
                quarantined=left.quarantined,
            )
        self._parts[0].written += left
