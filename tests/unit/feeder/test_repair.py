"""A ledger's mender in virtual time: a venue of pages, a ledger in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support_sinks import INSTRUMENT, START_NS, LoopClock

from feedplane_feeder.adapters.binance_history import SPOT_HISTORY
from feedplane_feeder.adapters.binance_spot import ADAPTER
from feedplane_feeder.allowance import LocalAllowance
from feedplane_feeder.core.budget import Priority
from feedplane_feeder.core.evidence import count_ids
from feedplane_feeder.core.gap_counts import SettledGaps
from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import Batch, Channel, Written
from feedplane_feeder.core.repair_ledger import Span
from feedplane_feeder.core.restart import ChannelKey
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.errors import SinkUnavailableError, VenueUnavailableError
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import Gap, Trade
from feedplane_feeder.repair import Menders, RepairScene

pytestmark = pytest.mark.looptime

WANTED = [Channel("BTCUSDT", "trade"), Channel("BTCUSDT", "quote")]


def trades(first: int, last: int) -> Gap:
    return Gap(INSTRUMENT, "trade", "sequence", START_NS, from_id=first, to_id=last)


class FakeRest:
    """A venue that holds trades by number, and may be unreachable."""

    def __init__(self) -> None:
        self.held = range(1, 1_000_000)
        self.lacking: set[int] = set()
        self.failures = 0
        self.asked: list[tuple[float, str]] = []

    async def fetch(self, path: str, weight: int, priority: Priority = Priority.LIVE) -> bytes:
        assert priority is Priority.REPAIR
        self.asked.append((asyncio.get_running_loop().time(), path))
        await asyncio.sleep(0.05)
        if self.failures:
            self.failures -= 1
            raise VenueUnavailableError(path, "HTTP 503")
        query = dict(part.split("=") for part in path.partition("?")[2].split("&"))
        first, limit = int(query["fromId"]), int(query["limit"])
        ids = [n for n in range(first, first + limit) if n in self.held and n not in self.lacking]
        return msgspec.json.encode([self._row(number) for number in ids])

    def _row(self, number: int) -> dict[str, object]:
        when = START_NS // 1_000_000 + number
        return {"a": number, "p": "1.5", "q": "2", "f": number, "l": number, "T": when, "m": True}


class MemoryLedger:
    """Open rows in a list."""

    name = "memory"

    def __init__(self, *gaps: Gap) -> None:
        self.gaps = list(gaps)
        self.begun: list[Gap] = []
        self.given_up: list[tuple[Gap, str]] = []
        self.settled: list[tuple[Gap, str]] = []
        self.records: list[Trade] = []
        self.backfilled = self.filled_by_others = 0
        self.away = False
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1
        if self.away:
            raise SinkUnavailableError(self.name, "away")

    async def close(self) -> None:
        self.closed += 1

    async def shard_gaps(self, instrument_ids: Sequence[str]) -> list[Gap]:
        if self.away:
            raise SinkUnavailableError(self.name, "away")
        return [gap for gap in self.gaps if gap.instrument_id in instrument_ids]

    async def settled_gaps(self, instrument_ids: Sequence[str]) -> dict[ChannelKey, SettledGaps]:
        assert instrument_ids == [INSTRUMENT]
        filled = [gap for gap, by in self.settled if by in {"rest", "backfill"}]
        lost = [gap for gap, by in self.settled if by not in {"rest", "backfill"}]
        lost += [gap for gap, _ in self.given_up]
        count = len(filled) + self.filled_by_others
        told = SettledGaps(count, len(lost), sum(map(count_ids, lost)))
        return {(INSTRUMENT, "trade"): told}

    async def begin(self, gaps: Sequence[Gap]) -> None:
        self.begun += gaps

    async def give_up(self, gaps: Sequence[tuple[Gap, str]]) -> None:
        self.given_up += gaps
        for gap, _ in gaps:
            self.gaps.remove(gap)

    async def span(self, gap: Gap) -> Span:
        return START_NS, START_NS + 60_000_000_000

    async def close_backfilled(self, gap: Gap, span: Span) -> int:
        if self.backfilled:
            self.gaps.remove(gap)
        return self.backfilled

    async def write(self, batch: Batch) -> Written:
        self.records += [record for record in batch.records if isinstance(record, Trade)]
        for each in batch.repaired:
            if each.unchanged:
                continue
            self.gaps.remove(each.gap)
            for piece in each.pieces:
                if piece.open:
                    self.gaps.append(piece.gap)
                else:
                    self.settled.append((piece.gap, piece.filled_by or piece.reason or ""))
        return Written(new=len(batch.records))


class Workshop:
    """A mender with everything around it."""

    def __init__(self, ledger: MemoryLedger, history: History | None = SPOT_HISTORY) -> None:
        self.ledger, self.rest, self.clock = ledger, FakeRest(), LoopClock()
        self.registry = CollectorRegistry()
        metrics, log = Metrics(self.registry), get_log("test")
        self.publisher = Publisher(Tape("venue"), (), Meters(metrics, "binance-spot"), log)
        self.publisher.promote(1, "Vacant", self.clock.now_ns())
        self.manual: frozenset[tuple[str, str]] = frozenset()
        self.menders = Menders(
            [ledger],
            RepairScene(
                adapter=ADAPTER,
                publisher=self.publisher,
                allowance=LocalAllowance(6_000, self.clock),
                history=history,
                wanted=lambda: WANTED,
                manual=lambda: self.manual,
                contested=False,
                clock=self.clock,
                metrics=metrics,
                log=log,
            ),
        )

    async def until(self, happened: Callable[[], object], seconds: float = 300) -> float:
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.05)
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def mending(*gaps: Gap, history: History | None = SPOT_HISTORY) -> AsyncIterator[Workshop]:
    workshop = Workshop(MemoryLedger(*gaps), history)
    task = asyncio.create_task(workshop.menders.run(workshop.rest))  # type: ignore[arg-type]
    try:
        yield workshop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert workshop.ledger.closed > 0


async def test_gap_found_is_filled_within_a_second() -> None:
    async with mending() as made:
        await asyncio.sleep(7)
        gap = trades(10, 12)
        made.ledger.gaps.append(gap)
        made.publisher.on_gaps()
        at = await made.until(lambda: made.ledger.settled)
        await asyncio.sleep(2)
        report = made.menders.report()
    assert at < 8
    assert made.ledger.begun == [gap]
    assert made.ledger.settled == [(gap, "rest")]
    assert [record.trade_id for record in made.ledger.records] == [10, 11, 12]
    assert (report.open, report.filled, report.rows) == (0, 1, 3)
    assert [path for _, path in made.rest.asked] == [
        "/api/v3/aggTrades?symbol=BTCUSDT&fromId=9&limit=5"
    ]
    labels = {"venue": "binance-spot", "channel": "trade"}
    name = "feedplane_feeder_repaired_rows_total"
    assert made.registry.get_sample_value(name, labels) == 3


async def test_gaps_left_from_before_are_filled_at_the_start() -> None:
    gaps = [trades(10, 12), trades(20, 20), trades(5_000, 8_999)]
    async with mending(*gaps) as made:
        await made.until(lambda: not made.ledger.gaps)
    assert sorted(record.trade_id for record in made.ledger.records) == [
        *range(10, 13),
        20,
        *range(5_000, 9_000),
    ]
    assert len(made.rest.asked) == 6


async def test_hole_of_the_venue_is_unfillable_at_the_second_look() -> None:
    gap = trades(10, 14)
    async with mending(gap) as made:
        made.rest.lacking = {12}
        await made.until(lambda: not made.ledger.gaps)
        counts = made.publisher.gaps.list_all()
    assert made.ledger.settled == [
        (trades(10, 11), "rest"),
        (trades(13, 14), "rest"),
        (trades(12, 12), "venue"),
    ]
    assert (counts[0].filled, counts[0].unfillable, counts[0].missing) == (2, 1, 1)


async def test_venue_that_does_not_answer_is_asked_later() -> None:
    async with mending(trades(10, 12)) as made:
        made.rest.failures = 3
        await made.until(lambda: made.ledger.settled)
    times = [at for at, _ in made.rest.asked]
    assert len(times) == 4
    assert times[3] - times[2] >= 4


async def test_quotes_are_given_up_once_others_had_their_time() -> None:
    quotes = Gap(INSTRUMENT, "quote", "stale", START_NS, from_ts=1, to_ts=2)
    async with mending(quotes) as made:
        at = await made.until(lambda: made.ledger.given_up)
    assert made.ledger.given_up == [(quotes, "venue-has-no-history")]
    assert 15 <= at < 21
    assert made.rest.asked == []


async def test_venue_without_a_past_can_fill_nothing() -> None:
    async with mending(trades(1, 2), history=None) as made:
        await made.until(lambda: made.ledger.given_up)
    assert made.rest.asked == []


async def test_large_gap_is_told_and_closed_once_a_backfill_filled_it() -> None:
    async with mending(trades(1, 800_000)) as made:
        await made.until(made.menders.large_gaps)
        (large,) = made.menders.large_gaps()
        assert (large.symbol, large.channel) == ("BTCUSDT", "trade")
        assert (large.end - large.start).total_seconds() == 61
        await asyncio.sleep(40)
        assert made.menders.large_gaps() == (large,)
        made.ledger.backfilled = 800_000
        await made.until(lambda: not made.menders.large_gaps())
        assert made.menders.report().filled == 1
    assert made.rest.asked == []


async def test_gap_that_a_person_fills_is_counted_and_left() -> None:
    async with mending(trades(1, 2)) as made:
        made.manual = frozenset({(INSTRUMENT, "trade")})
        await asyncio.sleep(100)
        assert made.menders.report().open == 1
    assert made.rest.asked == []


async def test_line_that_stands_by_leaves_the_ledger_alone() -> None:
    async with mending() as made:
        await asyncio.sleep(10)
        made.publisher.demote(made.clock.now_ns())
        made.ledger.gaps.append(trades(1, 2))
        await asyncio.sleep(60)
        assert (made.rest.asked, made.ledger.closed) == ([], 1)
        assert made.menders.report().pending
        made.publisher.promote(2, "LeaseExpired", made.clock.now_ns())
        await made.until(lambda: made.ledger.settled)


async def test_gaps_that_others_settled_are_counted_too() -> None:
    async with mending(trades(1, 2)) as made:
        made.ledger.filled_by_others = 5
        assert made.menders.report().pending
        await made.until(lambda: made.ledger.settled)
        await asyncio.sleep(1)
        assert [count.filled for count in made.publisher.gaps.list_all()] == [6]
        assert not made.menders.report().pending
        made.ledger.filled_by_others = 9
        await asyncio.sleep(40)
        assert [count.filled for count in made.publisher.gaps.list_all()] == [10]


async def test_ledger_that_is_away_is_asked_another_time() -> None:
    async with mending(trades(1, 2)) as made:
        made.ledger.away = True
        await asyncio.sleep(30)
        assert made.ledger.opened > 2
        made.ledger.away = False
        await made.until(lambda: made.ledger.settled)


async def test_gap_of_a_channel_nobody_wants_is_left() -> None:
    other = Gap(INSTRUMENT, "bar-1m", "stale", START_NS, from_ts=0, to_ts=0)
    async with mending(other) as made:
        await asyncio.sleep(60)
        assert made.menders.report().open == 0
    assert (made.rest.asked, made.ledger.gaps) == ([], [other])
