from collections.abc import Sequence

import pytest
from support_sinks import INSTRUMENT, START_NS, MemorySink

from feedplane_feeder.core.ports import Batch
from feedplane_feeder.records import Gap
from feedplane_feeder.settlement import EVERY_SECONDS, SOON_SECONDS, Settlement, Span

pytestmark = pytest.mark.looptime

TRADES = Gap(INSTRUMENT, "trade", "sequence", START_NS, from_id=3, to_id=4)
BOOK = Gap(INSTRUMENT, "book", "sequence", START_NS, from_id=3, to_id=4)
QUOTES = Gap(
    INSTRUMENT, "quote", "stale", START_NS, from_ts=START_NS + 10_000, to_ts=START_NS + 20_000
)


async def settle(*gaps: Gap, spans: Sequence[Span] = ()) -> tuple[MemorySink, Settlement]:
    sink = MemorySink()
    await sink.write(Batch(gaps=gaps))
    settlement = Settlement(sink)
    settlement.spans = lambda *_: spans
    settlement.contested = True
    await settlement.look(0.0, START_NS, 1, 1)
    return sink, settlement


async def test_ids_are_compared_with_the_tape_and_books_left_alone() -> None:
    sink, _ = await settle(TRADES, BOOK)
    assert sink.filled == [(TRADES, "line")]


@pytest.mark.parametrize(
    ("spans", "filled"),
    [
        ([], False),
        ([(START_NS, START_NS + 30_000)], True),
        ([(START_NS + 10_000, START_NS + 20_000)], True),
        ([(START_NS + 11_000, START_NS + 30_000)], False),
        ([(START_NS, START_NS + 19_000)], False),
        ([(START_NS, START_NS + 25_000), (START_NS + 29_000, START_NS + 30_000)], True),
        ([(START_NS, START_NS + 15_000), (START_NS + 16_000, START_NS + 30_000)], False),
    ],
    ids=[
        *("no quotes", "unbroken", "just", "began too late", "ended too early"),
        *("unbroken before a break of its own", "broken itself"),
    ],
)
async def test_line_vouches_for_quotes_where_its_own_were_unbroken(
    spans: list[Span], filled: bool
) -> None:
    sink, _ = await settle(QUOTES, spans=spans)
    assert sink.filled == ([(QUOTES, "line")] if filled else [])


@pytest.mark.parametrize(
    ("spans", "filled"),
    [
        ([(START_NS, START_NS + 10_000), (START_NS + 10_000, START_NS + 30_000)], False),
        ([(START_NS, START_NS + 30_000)], True),
    ],
    ids=["broken itself", "unbroken"],
)
@pytest.mark.parametrize("until", [10_000, 10_999])
async def test_hole_of_one_moment_is_not_what_lies_beside_it(
    until: int, spans: list[Span], filled: bool
) -> None:
    begin = START_NS + 10_000
    gap = Gap(INSTRUMENT, "quote", "stale", START_NS, from_ts=begin, to_ts=START_NS + until)
    sink, _ = await settle(gap, spans=spans)
    assert sink.filled == ([(gap, "line")] if filled else [])


@pytest.mark.parametrize("channel", ["trade", "metric"])
@pytest.mark.parametrize(("until", "filled"), [(30, True), (19, False), (None, False)])
async def test_hole_in_time_of_any_channel_needs_a_line_that_vouches(
    channel: str, until: int | None, filled: bool
) -> None:
    gap = Gap(
        INSTRUMENT, channel, "stale", START_NS, from_ts=START_NS + 10_000, to_ts=START_NS + 20_000
    )
    sink, _ = await settle(gap, spans=[(START_NS, START_NS + until * 1_000)] if until else [])
    assert sink.filled == ([(gap, "line")] if filled else [])


async def test_replayed_quotes_vouch_for_no_trades() -> None:
    sink = MemorySink()
    gap = Gap(
        INSTRUMENT, "trade", "stale", START_NS, from_ts=START_NS + 10_000, to_ts=START_NS + 20_000
    )
    await sink.write(Batch(gaps=[gap]))
    settlement = Settlement(sink)
    settlement.spans = lambda *_: [(START_NS, START_NS + 30_000)]
    settlement.replayed(START_NS, {INSTRUMENT: START_NS})
    await settlement.look(0.0, START_NS, 1, 1)
    assert sink.filled == []


async def test_what_a_spill_lost_is_nobodys_to_vouch_for() -> None:
    lost = Gap(INSTRUMENT, "quote", "spill", START_NS, from_ts=START_NS, to_ts=START_NS + 5_000)
    sink, _ = await settle(lost, spans=[(START_NS - 1, START_NS + 30_000)])
    assert sink.filled == []


async def test_vouched_quotes_wait_until_all_is_written() -> None:
    sink = MemorySink()
    await sink.write(Batch(gaps=[QUOTES]))
    settlement = Settlement(sink)
    settlement.spans = lambda *_: [(START_NS, START_NS + 30_000)]
    settlement.contested = True
    await settlement.look(0.0, START_NS, 7, 6)
    assert sink.filled == []
    assert settlement.wait_seconds(0.0) == SOON_SECONDS
    await settlement.look(SOON_SECONDS, START_NS, 9, 6)
    assert sink.filled == []
    await settlement.look(1.9 * SOON_SECONDS, START_NS, 9, 7)
    assert sink.filled == []
    await settlement.look(2 * SOON_SECONDS, START_NS, 9, 7)
    assert sink.filled == [(QUOTES, "line")]
    assert settlement.wait_seconds(2 * SOON_SECONDS) == EVERY_SECONDS


async def test_replay_is_looked_after_once_and_vouches_from_its_first_quote() -> None:
    sink = MemorySink()
    early = Gap(
        INSTRUMENT, "quote", "stale", START_NS, from_ts=START_NS + 5_000, to_ts=START_NS + 9_000
    )
    await sink.write(Batch(gaps=[QUOTES, early, TRADES]))
    settlement = Settlement(sink)
    settlement.spans = lambda *_: [(START_NS, START_NS + 30_000)]
    assert settlement.wait_seconds(0.0) is None
    settlement.replayed(START_NS, {INSTRUMENT: START_NS + 8_000})
    assert settlement.wait_seconds(0.0) == 0.0
    await settlement.look(0.0, START_NS, 1, 1)
    assert sink.filled == [(QUOTES, "replay"), (TRADES, "replay")]
    assert settlement.wait_seconds(9.0) is None


async def test_gap_of_this_line_that_another_filled_is_told() -> None:
    sink = MemorySink()
    await sink.write(Batch(gaps=[TRADES, BOOK]))
    settlement = Settlement(sink)
    told: list[Gap] = []
    settlement.on_filled = told.append
    settlement.contested = True
    settlement.remember([TRADES, BOOK])
    await settlement.look(0.0, START_NS, 1, 1)
    assert told == []
    await settlement.look(EVERY_SECONDS, START_NS, 1, 1)
    assert told == [TRADES]


async def test_sink_that_is_away_is_asked_another_time() -> None:
    sink = MemorySink()
    settlement = Settlement(sink)
    settlement.contested = True
    sink.gaps = [TRADES]
    sink.away = True
    await settlement.look(0.0, START_NS, 1, 1)
    assert settlement.wait_seconds(0.5) == EVERY_SECONDS - 0.5
    sink.away = False
    await settlement.look(EVERY_SECONDS, START_NS, 1, 1)
    assert sink.filled == [(TRADES, "line")]
