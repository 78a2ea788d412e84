"""Peer watch: how many snapshots another account delivered that this one, though there, did not.

In a merged feed nothing is lost by that, for the other's row is on the tape; but a line that
misses what others get is no second line. Works beside the tape, over a connection of its own, and
never in its way. Must not know venues.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from feedplane_api.worker import FailoverMode, PostgresSinkConfig, WorkerConfig
from feedplane_feeder.core.peer_volumes import Slice, VolumeTally
from feedplane_feeder.core.ports import Capabilities, Clock, TransportKind
from feedplane_feeder.errors import FeederError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks.factory import build_volumes
from feedplane_feeder.writer import SinkWriter

EVERY_SECONDS: Final = 5.0
"""Between a slice's end and the question lies one such time at least, in which all lines write."""
NAMED: Final = 20
"""Instruments that one line names."""


class Volumes(Protocol):
    """A tape whose volumes can be counted."""

    name: str

    async def open(self) -> None:
        """Connect."""

    async def count_volumes(self, slices: Sequence[Slice]) -> Mapping[tuple[str, int], int]:
        """Return how many different volumes there are, by instrument_id and slice."""

    async def close(self) -> None:
        """Release the connection; never raises."""


class PeerWatch:
    """One sink's tape against what this line had."""

    def __init__(
        self, volumes: Volumes, writer: SinkWriter, clock: Clock, metrics: Metrics, log: FieldLog
    ) -> None:
        self._volumes = volumes
        self._writer = writer
        self._clock = clock
        self._missed = metrics.missed_snapshots_total.labels(writer.venue, volumes.name)
        self._log = log.bind(sink=volumes.name)
        self._tally = writer.volumes = VolumeTally()
        self._opened = False

    async def run(self) -> None:
        """Compare until cancelled."""
        ripe: list[Slice] = []
        try:
            while True:
                await self._clock.sleep(EVERY_SECONDS)
                spans = self._writer.settlement.spans
                over = self._tally.collect(spans) if spans is not None else []
                if ripe:
                    await self._compare(ripe)
                ripe = over
        finally:
            await self._volumes.close()

    async def _compare(self, slices: Sequence[Slice]) -> None:
        try:
            if not self._opened:
                await self._volumes.open()
                self._opened = True
            held = await self._volumes.count_volumes(slices)
        except FeederError as error:
            # The writer tells of a sink that is away; these slices are not looked at again.
            self._log.debug(Event.SINK_LOST, error=error)
            self._opened = False
            await self._volumes.close()
            return
        lacking = self._tally.compare(slices, held)
        if lacking:
            count = sum(lacking.values())
            self._missed.inc(count)
            self._log.warning(
                Event.SNAPSHOTS_MISSED, missed_count=count, first=sorted(lacking)[:NAMED]
            )


def build_peer_watches(
    config: WorkerConfig,
    capabilities: Capabilities,
    writers: Sequence[SinkWriter],
    clock: Clock,
    metrics: Metrics,
    log: FieldLog,
) -> tuple[PeerWatch, ...]:
    """Return a watch for each database that other accounts' lines write to all the time.

    Two lines that poll see different states of one instrument, and miss nothing by it.
    """
    merged = config.election is not None and config.election.mode is FailoverMode.MERGED
    if not merged or capabilities.transport is TransportKind.HTTP_POLLING:
        return ()
    return tuple(
        PeerWatch(build_volumes(sink, config), writer, clock, metrics, log)
        for sink, writer in zip(config.sinks, writers, strict=True)
        if isinstance(sink, PostgresSinkConfig)
    )
