import pytest
from support_sinks import (
    INSTRUMENT,
    START_NS,
    LoopClock,
    MemorySink,
    make_delta,
    make_quote,
    make_trade,
)

from feedplane_feeder.continuation import LATER_RECORDS, Continuation
from feedplane_feeder.core.ports import Batch, Takeover, Watermark
from feedplane_feeder.records import Gap, Record

pytestmark = pytest.mark.looptime

TRADE, QUOTE, BOOK = ((INSTRUMENT, name) for name in ("trade", "quote", "book"))
LATER_NS = START_NS + 10_000_000_000


def mark(sequence: int, ts_recv: int | None = None) -> Watermark:
    return Watermark(sequence=sequence, ts_event=START_NS + sequence * 1_000_000, ts_recv=ts_recv)


def takeover(**behind: int) -> Takeover:
    named = {INSTRUMENT: behind["quote"]} if behind else {}
    return Takeover(at_ns=START_NS, cause="promotion", behind=named)


def trades(first: int, last: int) -> list[Record]:
    return [make_trade(number) for number in range(first, last + 1)]


async def test_first_record_after_a_start_leaves_a_restart_gap() -> None:
    sink = MemorySink()
    sink.held = {TRADE: mark(4)}
    joined = await Continuation(sink, LoopClock()).join(Batch(records=[make_trade(7)]))
    assert [(gap.cause, gap.from_id, gap.to_id) for gap in joined.found] == [("restart", 5, 6)]
    assert joined.batch.gaps == joined.found


async def test_promotion_writes_what_is_lacking_first_and_the_rest_later() -> None:
    sink = MemorySink()
    sink.held = {TRADE: mark(4, ts_recv=77)}
    continuation = Continuation(sink, LoopClock())
    records = [make_trade(number) for number in range(1, 8)]
    batch = Batch(records=records, replayed=True, takeover=takeover())
    joined = await continuation.join(batch)
    assert list(joined.batch.records) == records[4:]
    assert (joined.found, joined.newest_recv) == ([], 77)
    assert continuation.next_known() is None
    continuation.confirm(joined)
    assert continuation.next_known() == Batch(records=records[:4], replayed=True)
    assert continuation.known_written()
    assert continuation.next_known() is None


async def test_promotion_with_much_known_writes_it_in_parts() -> None:
    sink = MemorySink()
    sink.held = {TRADE: mark(LATER_RECORDS * 2)}
    continuation = Continuation(sink, LoopClock())
    records = [make_trade(number) for number in range(LATER_RECORDS + 5)]
    batch = Batch(records=records, replayed=True, takeover=takeover())
    continuation.confirm(await continuation.join(batch))
    sizes = []
    while (part := continuation.next_known()) is not None:
        sizes.append(len(part.records))
        continuation.known_written()
    assert sizes == [LATER_RECORDS, 5]


async def test_buffer_that_begins_too_late_leaves_a_promotion_gap() -> None:
    sink = MemorySink()
    sink.held = {TRADE: mark(4), QUOTE: mark(4)}
    records: list[Record] = [make_trade(9), make_quote(9)]
    batch = Batch(records=records, replayed=True, takeover=takeover(quote=8))
    joined = await Continuation(sink, LoopClock()).join(batch)
    assert {(gap.channel, gap.cause, gap.from_id, gap.to_id) for gap in joined.found} == {
        ("trade", "promotion", 5, 8),
        ("quote", "promotion", None, None),
    }


@pytest.mark.parametrize("behind", [3, 4])
async def test_quiet_quotes_continue_where_the_line_saw_what_is_held(behind: int) -> None:
    sink = MemorySink()
    sink.held = {QUOTE: mark(4)}
    continuation = Continuation(sink, LoopClock())
    continuation.confirm(await continuation.join(Batch(takeover=takeover(quote=behind))))
    joined = await continuation.join(Batch(records=[make_quote(90)]))
    assert joined.found == []


async def test_gap_of_a_standby_that_the_tape_covers_is_not_named() -> None:
    sink = MemorySink()
    sink.held = {TRADE: mark(10)}
    gaps = [
        Gap(INSTRUMENT, "trade", "sequence", 1, from_id=a, to_id=b) for a, b in ((3, 4), (9, 12))
    ]
    batch = Batch(records=trades(5, 15), gaps=gaps, replayed=True, takeover=takeover())
    joined = await Continuation(sink, LoopClock()).join(batch)
    assert [(gap.from_id, gap.to_id) for gap in joined.batch.gaps] == [(11, 12)]


async def test_promoted_book_continues_from_the_last_committed_number() -> None:
    sink = MemorySink()
    sink.held = {BOOK: mark(10)}
    continuation = Continuation(sink, LoopClock())
    deltas = [make_delta(6, 8), make_delta(9, 11), make_delta(12, 13)]
    batch = Batch(records=deltas, replayed=True, epoch=2, takeover=takeover())
    first = await continuation.join(batch)
    assert list(first.batch.records) == deltas[1:]
    assert first.found == []
    # The write failed: nothing was confirmed, and the same comes out again.
    again = await continuation.join(batch)
    assert list(again.batch.records) == deltas[1:]


async def test_known_deltas_behind_the_promotion_are_dropped_until_one_is_new() -> None:
    sink = MemorySink()
    sink.held = {BOOK: mark(10)}
    continuation = Continuation(sink, LoopClock())
    continuation.confirm(await continuation.join(Batch(takeover=takeover())))
    early = await continuation.join(Batch(records=[make_delta(9, 10)]))
    continuation.confirm(early)
    late = await continuation.join(Batch(records=[make_delta(10, 10), make_delta(11, 12)]))
    continuation.confirm(late)
    assert list(early.batch.records) == []
    assert list(late.batch.records) == [make_delta(11, 12)]
    assert late.resumed == {INSTRUMENT}


async def test_book_that_does_not_reach_back_leaves_a_named_gap() -> None:
    sink = MemorySink()
    sink.held = {BOOK: mark(10)}
    batch = Batch(records=[make_delta(15, 16)], replayed=True, takeover=takeover())
    joined = await Continuation(sink, LoopClock()).join(batch)
    (gap,) = joined.found
    assert (gap.channel, gap.cause, gap.from_id, gap.to_id) == ("book", "promotion", 11, 14)
