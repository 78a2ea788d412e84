"""Spill frames survive any tear; losses keep exact names."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_sinks import (
    INSTRUMENT,
    START_NS,
    make_bar,
    make_delta,
    make_quote,
    make_snapshot,
    make_trade,
)

from feedplane_feeder.core.ports import Batch, PublisherSession, Takeover
from feedplane_feeder.core.spill import (
    Losses,
    decode_payload,
    encode_frame,
    join_batches,
    joinable,
    whole_frames,
)
from feedplane_feeder.records import BookDelta, Gap, Metric, Quarantined, Snapshot

METRIC = Metric(INSTRUMENT, "funding", START_NS, START_NS, "0.00010000")
FULL = Batch(
    records=[
        make_trade(1, first_id=4),
        make_trade(2),
        make_quote(3),
        make_bar(1, final=True),
        make_delta(1, 2, previous=0),
        make_delta(2, 2, snapshot=True),
        METRIC,
        make_snapshot(3),
    ],
    gaps=[Gap(INSTRUMENT, "trade", "sequence", START_NS, 5, 6)],
    quarantined=[Quarantined(START_NS, "venue", "trade", INSTRUMENT, "CrossedQuote", "raw")],
    publishers=[PublisherSession(epoch=3, reason="preferred", started_at=START_NS)],
)


HOLDS_RAW = (BookDelta, Snapshot)


def comparable(batch: Batch) -> list[str]:
    # Raw compares by identity, so books are compared by what they print.
    shown = [repr(record) for record in batch.records if not isinstance(record, HOLDS_RAW)]
    shown += [
        f"{record.first_id} {record.last_id} {bytes(record.bids)!r} {record.snapshot}"
        for record in batch.records
        if isinstance(record, BookDelta)
    ]
    shown += [
        f"{record.fingerprint} {record.last_price} {record.turnover} {bytes(record.bids)!r}"
        for record in batch.records
        if isinstance(record, Snapshot)
    ]
    return [*shown, repr(batch.gaps), repr(batch.quarantined), repr(list(batch.publishers))]


def test_spill_frame_of_every_kind_round_trips() -> None:
    ((payload, end),) = whole_frames(encode_frame(FULL))
    assert comparable(decode_payload(payload)) == comparable(FULL)
    assert end == len(encode_frame(FULL))


@given(st.lists(st.integers(0, 50), max_size=4), st.data())
def test_spill_frames_before_a_tear_all_survive(sizes: list[int], data: st.DataObject) -> None:
    frames = [encode_frame(Batch(records=[make_trade(n) for n in range(size)])) for size in sizes]
    stream = b"".join(frames)
    cut = data.draw(st.integers(0, len(stream)))
    ends = [sum(map(len, frames[: index + 1])) for index in range(len(frames))]
    assert [end for _, end in whole_frames(stream[:cut])] == [end for end in ends if end <= cut]


@given(st.data())
def test_spill_frame_with_a_flipped_bit_is_refused(data: st.DataObject) -> None:
    frame = bytearray(encode_frame(Batch(records=[make_trade(1)])))
    place = data.draw(st.integers(4, len(frame) - 1))
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    assert list(whole_frames(bytes(frame))) == []


@given(st.binary(max_size=200))
def test_spill_noise_never_raises(noise: bytes) -> None:
    for payload, _ in whole_frames(noise):
        assert isinstance(payload, bytes)


def test_join_batches_keeps_order_and_marks_replays() -> None:
    first, second = Batch(records=[make_trade(1)]), Batch(records=[make_trade(2)], replayed=True)
    assert join_batches([first]) is first
    joined = join_batches([first, second])
    assert joined.records == [make_trade(1), make_trade(2)]
    assert joined.replayed
    assert not join_batches([first, first]).replayed
    assert join_batches([first], replayed=True).replayed


def test_spill_frame_keeps_how_a_batch_was_offered() -> None:
    takeover = Takeover(at_ns=5, cause="promotion", behind={"X.Y": 7})
    batch = Batch(gaps=FULL.gaps, epoch=3, contested=True, takeover=takeover)
    frame = encode_frame(batch)
    (payload, _) = next(whole_frames(frame))
    assert decode_payload(payload).takeover == takeover
    assert (decode_payload(payload).epoch, decode_payload(payload).contested) == (3, True)


def test_spill_frame_of_an_older_version_still_reads() -> None:
    old = msgspec.msgpack.encode([[] for _ in range(8)])
    assert decode_payload(old) == Batch(records=[], gaps=[], quarantined=[], publishers=[])


@pytest.mark.parametrize(
    ("epochs", "count"), [((), 0), ((1,), 1), ((1, 1, 2), 2), ((0, 1), 1)], ids=str
)
def test_batches_of_one_epoch_may_become_one(epochs: tuple[int, ...], count: int) -> None:
    assert joinable([Batch(epoch=epoch) for epoch in epochs]) == count


def test_batch_of_a_promotion_begins_anew() -> None:
    takeover = Takeover(at_ns=5, cause="promotion")
    first, second = Batch(epoch=1, takeover=takeover), Batch(epoch=1)
    assert joinable([first, second]) == 2
    assert joinable([second, first]) == 1
    assert join_batches([first, second]).takeover == takeover
    assert join_batches([first, second]).epoch == 1


def test_spill_frame_of_a_release_without_snapshots_is_read() -> None:
    payload = encode_frame(FULL)[8:]
    document = msgspec.msgpack.decode(payload)
    for older in (document[:5] + document[6:], document[:5] + document[6:-1]):
        batch = decode_payload(msgspec.msgpack.encode(older))
        assert comparable(batch) == comparable(replace(FULL, records=FULL.records[:-1]))


def test_losses_name_exact_ends_per_channel() -> None:
    losses = Losses()
    assert not losses
    losses.add(FULL)
    losses.add(Batch(records=[make_trade(9), make_quote(8), make_bar(4)]))
    batch = losses.take(START_NS)
    named = {
        gap.channel: (gap.from_id, gap.to_id, gap.from_ts, gap.to_ts, gap.cause)
        for gap in batch.gaps
    }
    bar_open = make_bar(1).ts_open
    assert named == {
        "trade": (1, 9, None, None, "spill"),
        "quote": (None, None, START_NS + 3_000_000, START_NS + 8_000_000, "spill"),
        "bar-1m": (None, None, bar_open, make_bar(4).ts_open, "spill"),
        "book": (1, 2, None, None, "spill"),
        "metric": (None, None, START_NS, START_NS, "spill"),
        "snapshot": (None, None, START_NS + 1_500_000_000, START_NS + 1_500_000_000, "spill"),
    }
    assert batch.publishers == tuple(FULL.publishers)
    assert losses.lost_count == 12
    assert not losses


@pytest.mark.parametrize(
    ("gap", "ids", "times"),
    [
        pytest.param(
            Gap(INSTRUMENT, "trade", "sequence", START_NS, 5, 60), (5, 60), (None, None), id="ids"
        ),
        pytest.param(
            Gap(INSTRUMENT, "quote", "disconnect", START_NS, from_ts=7, to_ts=9),
            (None, None),
            (7, 9),
            id="times",
        ),
    ],
)
def test_losses_keep_the_names_of_dropped_gaps(
    gap: Gap, ids: tuple[int | None, ...], times: tuple[int | None, ...]
) -> None:
    losses = Losses()
    losses.add(Batch(gaps=[gap]))
    (kept,) = losses.take(START_NS).gaps
    assert (kept.from_id, kept.to_id) == ids
    assert (kept.from_ts, kept.to_ts) == times


def test_losses_put_back_keep_their_names() -> None:
    losses = Losses()
    losses.add(Batch(records=[make_trade(3), make_trade(4)]))
    losses.add(losses.take(START_NS))
    losses.add(Batch(records=[make_trade(5)]))
    (gap,) = losses.take(START_NS).gaps
    assert (gap.from_id, gap.to_id) == (3, 5)
    assert losses.lost_count == 3


def test_losses_keep_a_promotion() -> None:
    losses = Losses()
    takeover = Takeover(at_ns=START_NS, cause="promotion", behind={INSTRUMENT: 4})
    losses.add(Batch(records=[make_trade(3)], epoch=7, takeover=takeover))
    losses.add(Batch(records=[make_trade(4)], epoch=7))
    batch = losses.take(START_NS)
    assert (batch.takeover, batch.epoch) == (takeover, 7)
    losses.add(Batch(records=[make_trade(5)], epoch=7))
    assert losses.take(START_NS).takeover is None
