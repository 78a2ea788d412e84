"""Volumes of the tape counted on real servers, as two accounts wrote them."""

import pytest
from msgspec.structs import replace
from support_sinks import INSTRUMENT, START_NS, make_snapshot

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.peer_volumes import SLICE_NS, Slice
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.errors import SinkUnavailableError
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_volumes import PostgresVolumes

FIRST = START_NS // SLICE_NS
OTHER = "ETHUSDT.BINANCE-SPOT"


def make_volumes() -> PostgresVolumes:
    return PostgresVolumes(
        PostgresSinkConfig(dsn_env="FEEDPLANE_TEST_DSN"),
        venue="binance-spot",
        feed_source="default/spot",
        account="second",
    )


async def test_volumes_are_counted_once_by_instrument_and_slice(sink: PostgresSink) -> None:
    # Twenty to a slice: the first one whole, of the second one half, in the third one none.
    records = [make_snapshot(volume) for volume in (*range(20), *range(20, 40, 2), 60)]
    await sink.write(Batch(records=records))
    # The same volume with another bid is another row, and tells of no other volume.
    moved = replace(make_snapshot(4), fingerprint=1, ts_event=make_snapshot(4).ts_event + 1_000)
    await sink.write(Batch(records=[moved, replace(make_snapshot(3), instrument_id=OTHER)]))
    volumes = make_volumes()
    await volumes.open()
    slices = [Slice(INSTRUMENT, FIRST), Slice(INSTRUMENT, FIRST + 2)]
    assert await volumes.count_volumes(slices) == {
        (INSTRUMENT, FIRST): 20,
        (INSTRUMENT, FIRST + 1): 10,
    }
    assert await volumes.count_volumes([Slice(OTHER, FIRST)]) == {(OTHER, FIRST): 1}
    await volumes.close()


async def test_volumes_without_a_connection_are_unavailable(sink: PostgresSink) -> None:
    assert sink.features is not None
    with pytest.raises(SinkUnavailableError):
        await make_volumes().count_volumes([Slice(INSTRUMENT, FIRST)])
