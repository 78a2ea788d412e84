"""The ledger as those who repair it use it: a connection of their own to the sink's tables.

What came for a gap and what that makes of its row are one transaction. Must not know venues, nor
which gap is worth asking for.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from feedplane_feeder.core.evidence import BY_BACKFILL, Piece, Repaired, count_ids
from feedplane_feeder.core.gap_counts import SettledGaps
from feedplane_feeder.core.ports import Batch, Written
from feedplane_feeder.core.repair_ledger import Span
from feedplane_feeder.core.restart import ChannelKey
from feedplane_feeder.records import ChannelKind, Gap
from feedplane_feeder.sinks import postgres_ledger as ledger
from feedplane_feeder.sinks.postgres import PostgresSink

MOST_GAPS: Final = 5_000
LOOK_BACK_NS: Final = 400 * 86_400 * 1_000_000_000
"""How far back the neighbours of a gap are looked for."""


class PostgresRepair(PostgresSink):
    """One schema's ledger; several may ask at once, they take turns."""

    def __init__(self, *arguments: object, **fields: object) -> None:
        super().__init__(*arguments, **fields)  # type: ignore[arg-type]  # those of the sink
        self._turn = asyncio.Lock()

    async def write(self, batch: Batch) -> Written:
        """Write a batch in one transaction, all of it or nothing."""
        async with self._turn:
            return await super().write(batch)

    async def shard_gaps(self, instrument_ids: Sequence[str]) -> list[Gap]:
        """Return the open gaps of these instruments, the oldest first.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        async with self._turn:
            with self._ours():
                rows = await self._open_connection().fetch(
                    self._statements.shard_gaps,
                    list(instrument_ids),
                    self._finder.feed_source,
                    MOST_GAPS,
                )
        return [ledger.read_gap(dict(row)) for row in rows]

    async def settled_gaps(self, instrument_ids: Sequence[str]) -> dict[ChannelKey, SettledGaps]:
        """Return what became of these instruments' gaps, by instrument_id and channel.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        arguments = list(instrument_ids), self._finder.feed_source
        async with self._turn:
            with self._ours():
                rows = await self._open_connection().fetch(
                    self._statements.settled_gaps, *arguments
                )
        return {
            (row["instrument_id"], row["channel"]): SettledGaps(
                row["filled"], row["given_up"], row["ids"]
            )
            for row in rows
        }

    async def begin(self, gaps: Sequence[Gap]) -> None:
        """Say of gaps that they are being filled.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        columns = [list(column) for column in zip(*map(_key, gaps), strict=True)]
        async with self._turn:
            with self._ours():
                await self._open_connection().execute(self._statements.begin_fill, *columns)

    async def give_up(self, gaps: Sequence[tuple[Gap, str]]) -> None:
        """Say of gaps why they can never be filled.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        rows = [(*_key(gap), reason) for gap, reason in gaps]
        columns = [list(column) for column in zip(*rows, strict=True)]
        async with self._turn:
            with self._ours():
                await self._open_connection().execute(self._statements.give_up_gap, *columns)

    async def span(self, gap: Gap) -> Span:
        """Return times between which all lies that a gap lacks.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        if gap.from_ts is not None and gap.to_ts is not None:
            return gap.from_ts, gap.to_ts + 1
        newest_ns = gap.detected_at + ledger.LOOK_BACK_NS
        oldest_ns = gap.detected_at - LOOK_BACK_NS
        if gap.channel != ChannelKind.TRADE.value:
            return gap.detected_at - ledger.LOOK_BACK_NS, newest_ns
        arguments = (gap.instrument_id, gap.from_id, gap.to_id, ledger.as_time(newest_ns))
        async with self._turn:
            with self._ours():
                row = await self._open_connection().fetchrow(
                    self._statements.neighbour_times, *arguments, ledger.as_time(oldest_ns)
                )
        assert row is not None  # noqa: S101 - a select without from has one row
        before: datetime | None = row["before"]
        behind: datetime | None = row["behind"]
        start_ns = ledger.as_nanoseconds(before) or gap.detected_at - ledger.LOOK_BACK_NS
        end_ns = ledger.as_nanoseconds(behind) or gap.detected_at
        return start_ns, max(end_ns, start_ns) + 1_000

    async def close_backfilled(self, gap: Gap, span: Span) -> int:
        """Mark a gap as filled when a Backfill brought all of it; return its rows, else 0.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        if gap.channel.startswith("bar-"):
            return await self.fill([gap], BY_BACKFILL)
        expected = count_ids(gap)
        if not expected:
            return 0
        async with self._turn:
            with self._ours():
                held = await self._open_connection().fetchval(
                    self._statements.count_ids,
                    gap.instrument_id,
                    gap.from_id,
                    gap.to_id,
                    *map(ledger.as_time, span),
                )
        if held != expected:
            return 0
        piece = Piece(gap=gap, rows=expected, filled_by=BY_BACKFILL)
        await self.write(Batch(repaired=(Repaired(gap=gap, pieces=(piece,)),)))
        return expected

    async def fill(self, gaps: Sequence[Gap], filled_by: str) -> int:
        """Mark what of these gaps is on the tape by now as filled; return how many changed."""
        async with self._turn:
            return await super().fill(gaps, filled_by)


def _key(gap: Gap) -> tuple[str, str, str]:
    return gap.instrument_id, gap.channel, ledger.gap_key(gap)
