"""The tape by instrument and day: what is there, since when, and what backfills did about it.

Must not know what is missing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.core.integrity import Tried
from feedplane_feeder.core.intervals import SECOND_NS
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_chunks import ADDED_COLUMNS, render_chunk_statements
from feedplane_feeder.sinks.postgres_ledger import as_nanoseconds
from feedplane_feeder.sinks.postgres_schema import quote_name

COUNT_SECONDS: Final = 300
# Table, its time, and the column its key orders an instrument's rows by.
_TABLES: Final = {
    ChannelKind.BAR.value: ("bars", "ts_open", "ts_open"),
    ChannelKind.TRADE.value: ("trades", "ts_event", "ts_event"),
    ChannelKind.QUOTE.value: ("quotes", "ts_event", "sequence"),
    ChannelKind.BOOK.value: ("book_deltas", "ts_event", "ts_event"),
    ChannelKind.SNAPSHOT.value: ("snapshots", "ts_event", "ts_event"),
    ChannelKind.METRIC.value: ("metrics", "ts_event", "ts_event"),
}
_COUNT_BARS: Final = """
select instrument_id, extract(epoch from date_bin('1 day', ts_open, 'epoch'))::bigint as day,
    count(*) as rows
from {schema}.bars
where instrument_id = any($1::text[]) and ts_open >= $2 and ts_open < $3 and interval = $4
    and final
group by 1, 2
"""
# Nobody can know how many there should be, so one is as good as a million, and found at once.
_HAS_ROWS: Final = """
select w.instrument_id from unnest($1::text[]) as w (instrument_id)
where exists (select from {table} t
    where t.instrument_id = w.instrument_id and t.{time} >= $2 and t.{time} < $3)
"""
_FIRST_ROWS: Final = """
select w.instrument_id, f.first_at from unnest($1::text[]) as w (instrument_id)
cross join lateral (select t.{time} as first_at from {table} t
    where t.instrument_id = w.instrument_id {extra} order by t.{order} limit 1) f
"""
_TRIED: Final = """
select instrument_id, range_start, range_end, max(finished_at) as finished_at,
    max(rows_held) filter (where state = 'done'
        and (rows_missing = 0 or source like '%Rest%')) as rows_held
from {schema}.backfill_chunks
where channel = $1 and instrument_id = any($2::text[]) and range_start < $4 and range_end > $3
    and finished_at is not null
group by instrument_id, range_start, range_end
"""


class PostgresDays(PostgresSink):
    """The tape of one schema, to be counted."""

    async def open(self) -> None:
        """Connect; counts may take longer than writes."""
        await super().open()
        with self._ours():
            await self._open_connection().execute(f"set statement_timeout = '{COUNT_SECONDS}s'")

    async def count_days(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, Mapping[int, int]]:
        """Return rows of a channel by instrument and midnight; absent where there are none.

        Of channels other than bars one row stands for all of a day.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        kind, _, interval = channel.partition("-")
        if kind not in _TABLES:
            return {}
        found: dict[str, dict[int, int]] = {}
        if kind == ChannelKind.BAR:
            statement = _COUNT_BARS.format(schema=quote_name(self._config.schema_name))
            arguments = (list(instrument_ids), _moment(start_ns), _moment(end_ns), interval)
            for instrument_id, day, count in await self._ask(statement, *arguments):
                found.setdefault(instrument_id, {})[day * SECOND_NS] = count
            return found
        place = self._place(kind)
        statement = _HAS_ROWS.format(**place)
        # A row of a moment is found at once where the key has the time; else all are read that are
        # there, so days before the first one are not asked for.
        begun = dict.fromkeys(instrument_ids, 0)
        if place["time"] != place["order"]:
            begun = dict(await self.first_rows(channel, instrument_ids))
        for day in range(start_ns // DAY_NS * DAY_NS, end_ns, DAY_NS):
            asked = [each for each, first_ns in begun.items() if first_ns < day + DAY_NS]
            if not asked:
                continue
            bounds = _moment(day), _moment(day + DAY_NS)
            for (instrument_id,) in await self._ask(statement, asked, *bounds):
                found.setdefault(instrument_id, {})[day] = 1
        return found

    async def first_rows(self, channel: str, instrument_ids: Sequence[str]) -> Mapping[str, int]:
        """Return when the first row of a channel is of, by instrument; absent without any.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        kind, _, interval = channel.partition("-")
        if kind not in _TABLES:
            return {}
        bars = kind == ChannelKind.BAR
        extra = "and t.interval = $2 and t.final" if bars else ""
        statement = _FIRST_ROWS.format(**self._place(kind), extra=extra)
        arguments = (list(instrument_ids), *([interval] if bars else []))
        return {
            instrument_id: as_nanoseconds(first_at) or 0
            for instrument_id, first_at in await self._ask(statement, *arguments)
        }

    async def tried(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> tuple[Tried, ...]:
        """Return what backfills did about a channel between two moments.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        schema, columns = self._config.schema_name, list(ADDED_COLUMNS)
        extended = render_chunk_statements(schema).extended
        if not (await self._ask(extended, len(columns), schema, columns))[0][0]:
            # No backfill has run since these columns came, so none can say.
            return ()
        statement = _TRIED.format(schema=quote_name(schema))
        arguments = (channel, list(instrument_ids), _moment(start_ns), _moment(end_ns))
        return tuple(
            Tried(
                instrument_id=row["instrument_id"],
                channel=channel,
                start_ns=as_nanoseconds(row["range_start"]) or 0,
                end_ns=as_nanoseconds(row["range_end"]) or 0,
                held=row["rows_held"],
                finished_ns=as_nanoseconds(row["finished_at"]) or 0,
            )
            for row in await self._ask(statement, *arguments)
        )

    def _place(self, kind: str) -> dict[str, str]:
        table, time, order = _TABLES[kind]
        name = f"{quote_name(self._config.schema_name)}.{table}"
        return {"table": name, "time": time, "order": order}

    async def _ask(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        with self._ours():
            return list(
                await self._open_connection().fetch(statement, *arguments, timeout=COUNT_SECONDS)
            )


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // DAY_NS * DAY_NS // SECOND_NS, UTC)
