"""Volumes of the snapshots on the tape, counted where they are. Must not know who lacks which."""

from collections.abc import Mapping, Sequence

from feedplane_feeder.core.peer_volumes import SLICE_NS, SLICE_SECONDS, Slice
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_ledger import as_time
from feedplane_feeder.sinks.postgres_schema import SNAPSHOTS, quote_name


class PostgresVolumes(PostgresSink):
    """The tape of one schema, to be counted."""

    async def count_volumes(self, slices: Sequence[Slice]) -> Mapping[tuple[str, int], int]:
        """Return how many different volumes there are, by instrument_id and slice.

        Raises:
            SinkUnavailableError: not reachable now.
        """
        place = f"{quote_name(self._config.schema_name)}.{SNAPSHOTS.name}"
        statement = (
            "select instrument_id,"  # noqa: S608 - names are ours
            f" floor(extract(epoch from ts_event) / {SLICE_SECONDS})::bigint as slice,"
            f" count(distinct volume) as volumes from {place}"
            " where instrument_id = any($1) and ts_event >= $2 and ts_event < $3 group by 1, 2"
        )
        numbers = [each.number for each in slices]
        with self._ours():
            rows = await self._open_connection().fetch(
                statement,
                sorted({each.instrument_id for each in slices}),
                as_time(min(numbers) * SLICE_NS),
                as_time((max(numbers) + 1) * SLICE_NS),
            )
        return {(row["instrument_id"], row["slice"]): row["volumes"] for row in rows}
