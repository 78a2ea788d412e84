from collections.abc import Callable

from msgspec import Raw
from prometheus_client import CollectorRegistry
from support_sinks import MemorySink

from feedplane_api.worker import FailoverMode, GapCount, SinkReport
from feedplane_feeder.core.ports import Batch, Channel, Received, Takeover
from feedplane_feeder.core.sequence import GRACE_NS
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import BookDelta, Gap, GapCause, Quarantined, Quote, Trade
from feedplane_feeder.settlement import Settlement

ID = "BTCUSDT.VENUE"
TRADE = Channel("BTCUSDT", "trade")
QUOTE = Channel("BTCUSDT", "quote")


class ListWriter:
    """Keeps batches; full when told so."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.full = False
        self.on_gap: Callable[[Gap], None] | None = None
        self.on_resync: Callable[[str], None] | None = None
        self.last_failover_milliseconds: int | None = None
        self.settlement = Settlement(MemorySink())

    def offer(self, batch: Batch) -> None:
        self.batches.append(batch)

    async def room(self) -> None:
        self.full = False

    async def run(self) -> None:
        return

    async def flush(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0

    async def drain(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0

    def report(self) -> SinkReport:
        return SinkReport(name="list", kind="list")


def publisher(
    *writers: ListWriter, active: bool = True, mode: FailoverMode = FailoverMode.HOT
) -> Publisher:
    meters = Meters(Metrics(CollectorRegistry()), "venue")
    made = Publisher(Tape("venue"), writers, meters, get_log("test"), mode=mode, replay_seconds=30)
    if active:
        made.promote(1, "NoElection", 100)
        for writer in writers:
            writer.batches.clear()
    return made


def trade(number: int) -> Trade:
    return Trade(ID, 1, 5, number, "1", "1", "B")


def quote(number: int) -> Quote:
    return Quote(ID, 10 * number, 5, number, "1", "1", "2", "1")


def delta(number: int) -> BookDelta:
    return BookDelta(ID, 1, 5, number, number, None, Raw(b'[["1","1"]]'), Raw(b"[]"))


def test_records_go_to_every_writer() -> None:
    first, second = ListWriter(), ListWriter()
    publisher(first, second).take(Received(records=[trade(1)]), 5)
    assert [batch.records for batch in first.batches] == [[trade(1)]]
    assert second.batches == first.batches


def test_standby_checks_and_offers_nothing() -> None:
    writer = ListWriter()
    made = publisher(writer, active=False)
    made.take(Received(records=[trade(1), trade(3)]), 5)
    made.sweep(5 + GRACE_NS)
    assert writer.batches == []
    assert made.gaps.list_all() == ()
    assert made.buffer.records == 2


def test_promoted_hot_standby_writes_its_memory_first() -> None:
    writer = ListWriter()
    made = publisher(writer, active=False)
    made.take(Received(records=[trade(1), quote(4)]), 5)
    made.take(Received(records=[trade(2)]), 6)
    made.promote(7, "LeaseExpired", 100)
    made.take(Received(records=[trade(3)]), 101)
    first, live = writer.batches
    assert first.records == [trade(1), quote(4), trade(2)]
    assert (first.replayed, first.epoch) == (True, 7)
    assert first.takeover == Takeover(at_ns=100, cause="promotion")
    assert [session.epoch for session in first.publishers] == [7]
    assert (live.records, live.epoch, live.takeover, live.replayed) == ([trade(3)], 7, None, False)
    assert (made.replayed_records, made.buffer.records) == (3, 0)


def test_demoted_hot_feeder_stands_by_right_behind_what_it_offered() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(records=[quote(4), trade(1)]), 5)
    made.demote(6)
    made.take(Received(records=[quote(9), trade(2)]), 7)
    made.promote(2, "Failback", 8)
    (replayed,) = [batch for batch in writer.batches if batch.replayed]
    assert replayed.records == [quote(9), trade(2)]
    assert replayed.takeover is not None
    assert replayed.takeover.behind == {ID: 4}


def test_yielding_feeder_offers_all_but_the_books() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.withhold_books()
    made.take(Received(records=[trade(1), delta(1)]), 5)
    made.take(Received(records=[delta(2)]), 6)
    assert [batch.records for batch in writer.batches] == [[trade(1)]]
    made.promote(2, "Unclaimed", 7)
    assert writer.batches[-1].records == [delta(1), delta(2)]
    assert [session.ended_at for session in writer.batches[-1].publishers] == [7, None]
    made.take(Received(records=[delta(3)]), 8)
    assert writer.batches[-1].records == [delta(3)]


def test_merged_standby_offers_all_but_the_books() -> None:
    writer = ListWriter()
    made = publisher(writer, active=False, mode=FailoverMode.MERGED)
    made.take(Received(records=[trade(1), delta(1)]), 5)
    made.take(Received(records=[trade(3)]), 6)
    made.sweep(6 + GRACE_NS)
    assert [batch.records for batch in writer.batches] == [[trade(1)], [trade(3)]]
    assert all(batch.contested for batch in writer.batches)
    assert [gap.from_id for gap in writer.batches[1].gaps] == [2]
    made.promote(3, "LeaseExpired", 7)
    assert writer.batches[-1].records == [delta(1)]
    made.demote(8)
    made.take(Received(records=[trade(4)]), 9)
    assert writer.batches[-1].records == [trade(4)]


def test_warm_standby_remembers_nothing() -> None:
    writer = ListWriter()
    made = publisher(writer, mode=FailoverMode.WARM)
    made.take(Received(records=[quote(4)]), 5)
    made.demote(6)
    made.take(Received(records=[quote(5)]), 6)
    made.promote(2, "Failback", 8)
    assert writer.batches[-1].records == []
    assert writer.batches[-1].takeover == Takeover(at_ns=8, cause="promotion")


def test_book_that_does_not_continue_is_fetched_again() -> None:
    writer = ListWriter()
    made = publisher(writer)
    asked: list[str] = []
    made.on_resync = asked.append
    made.take(Received(records=[delta(1)]), 5)
    assert asked == [ID]
    snapshot = BookDelta(ID, 5, 5, 1, 1, None, Raw(b"[]"), Raw(b"[]"), snapshot=True)
    assert made.take_snapshot(snapshot, 6)
    assert writer.on_resync is not None
    writer.on_resync(ID)
    writer.on_resync(ID)
    writer.on_resync("OTHER.VENUE")
    assert asked == [ID, ID]


def test_reads_that_come_to_nothing_offer_nothing() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(), 5)
    made.sweep(6)
    assert writer.batches == []


def test_gap_and_what_stood_behind_it_go_in_one_batch() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(records=[trade(1), trade(3)]), 5)
    made.sweep(5 + GRACE_NS)
    assert [len(batch.records) for batch in writer.batches] == [1, 1]
    assert [(gap.from_id, gap.to_id) for gap in writer.batches[1].gaps] == [(2, 2)]


def test_publishing_is_told_with_its_start_and_its_end() -> None:
    writer = ListWriter()
    made = publisher(writer, active=False)
    made.promote(1, "Preferred", 100)
    made.promote(1, "Preferred", 150)
    made.promote(2, "Preferred", 200)
    made.demote(300)
    made.demote(400)
    sessions = [session for batch in writer.batches for session in batch.publishers]
    assert [(each.epoch, each.started_at, each.ended_at) for each in sessions] == [
        (1, 100, None),
        (1, 100, 200),
        (2, 200, None),
        (2, 200, 300),
    ]
    assert not made.active


def test_quarantined_frames_go_along() -> None:
    writer = ListWriter()
    row = Quarantined(5, "venue", "trade", ID, "ZeroPrice", "{}")
    publisher(writer).take(Received(quarantined=[row]), 5)
    assert writer.batches[0].quarantined == [row]


def test_gaps_a_writer_finds_are_counted() -> None:
    writer = ListWriter()
    made = publisher(writer)
    stirred: list[int] = []
    made.on_gaps = lambda: stirred.append(1)
    assert writer.on_gap is not None
    writer.on_gap(Gap(instrument_id=ID, channel="quote", cause="restart", detected_at=1))
    assert stirred == [1]
    assert made.gaps.list_all() == (GapCount(symbol="BTCUSDT", channel="quote", open=1),)


def test_filled_gaps_are_counted_as_such() -> None:
    writer = ListWriter()
    made = publisher(writer)
    gap = Gap(instrument_id=ID, channel="quote", cause="restart", detected_at=1)
    assert writer.on_gap is not None
    assert writer.settlement.on_filled is not None
    writer.settlement.on_filled(gap)
    assert made.gaps.list_all() == ()
    writer.on_gap(gap)
    writer.on_gap(gap)
    writer.settlement.on_filled(gap)
    assert made.gaps.list_all() == (GapCount(symbol="BTCUSDT", channel="quote", open=1, filled=1),)


def test_line_knows_between_which_quotes_it_missed_none() -> None:
    writer = ListWriter()
    made = publisher(writer)
    spans = writer.settlement.spans
    assert spans is not None
    assert spans(ID, "quote") == ()
    made.take(Received(records=[quote(1), quote(2)]), 5)
    assert spans(ID, "quote") == ((10, 20),)
    made.interrupt([(QUOTE, ID)], GapCause.DISCONNECT, 6)
    made.take(Received(records=[quote(3), quote(4)]), 7)
    assert spans(ID, "quote") == ((10, 20), (30, 40))


def test_interrupted_quotes_leave_a_gap_in_time() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(records=[Quote(ID, 10, 5, 1, "1", "1", "2", "1")]), 5)
    made.interrupt([(QUOTE, ID)], GapCause.DISCONNECT, 6)
    made.take(Received(records=[Quote(ID, 90, 7, 2, "1", "1", "2", "1")]), 7)
    (gap,) = writer.batches[1].gaps
    assert (gap.from_ts, gap.to_ts, gap.cause) == (10, 90, "disconnect")


def test_interruption_may_reach_back_to_where_a_channel_stood() -> None:
    writer = ListWriter()
    feeder = publisher(writer)
    feeder.take(Received(records=[quote(1), trade(1)]), 1)
    stood = feeder.standing([(QUOTE, ID), (TRADE, ID)])
    assert stood == {QUOTE: 10}
    feeder.take(Received(records=[quote(5)]), 2)
    feeder.interrupt([(QUOTE, ID), (TRADE, ID)], GapCause.DISCONNECT, 3, stood)
    feeder.take(Received(records=[quote(6), trade(2)]), 4)
    (gap,) = writer.batches[-1].gaps
    assert (gap.from_ts, gap.to_ts) == (10, 60)


def test_forgotten_channel_names_what_is_open() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(records=[trade(1), trade(3)]), 5)
    made.forget([(TRADE, ID)], 6)
    assert len(writer.batches[1].gaps) == 1


async def test_full_queue_is_waited_for() -> None:
    first, second = ListWriter(), ListWriter()
    made = publisher(first, second)
    assert not made.full
    second.full = True
    assert made.full
    await made.room()
    assert not made.full
