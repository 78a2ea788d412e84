from collections.abc import Callable

from prometheus_client import CollectorRegistry

from feedplane_api.worker import GapCount, SinkReport
from feedplane_feeder.core.ports import Batch, Channel, Received
from feedplane_feeder.core.sequence import GRACE_NS
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import Gap, GapCause, Quarantined, Quote, Trade

ID = "BTCUSDT.VENUE"
TRADE = Channel("BTCUSDT", "trade")
QUOTE = Channel("BTCUSDT", "quote")


class ListWriter:
    """Keeps batches; full when told so."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.full = False
        self.on_gap: Callable[[Gap], None] | None = None

    def offer(self, batch: Batch) -> None:
        self.batches.append(batch)

    async def room(self) -> None:
        self.full = False

    async def run(self) -> None:
        return

    async def drain(self, timeout_seconds: float) -> bool:
        return timeout_seconds > 0

    def report(self) -> SinkReport:
        return SinkReport(name="list", kind="list")


def publisher(*writers: ListWriter, active: bool = True) -> Publisher:
    meters = Meters(Metrics(CollectorRegistry()), "venue")
    made = Publisher(Tape("venue"), writers, meters, get_log("test"))
    if active:
        made.promote(1, "NoElection", 100)
        for writer in writers:
            writer.batches.clear()
    return made


def trade(number: int) -> Trade:
    return Trade(ID, 1, 5, number, "1", "1", "B")


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
    assert made.gap_counts() == (GapCount(symbol="BTCUSDT", channel="trade", open=1),)


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
    assert writer.on_gap is not None
    writer.on_gap(Gap(instrument_id=ID, channel="quote", cause="restart", detected_at=1))
    assert made.gap_counts() == (GapCount(symbol="BTCUSDT", channel="quote", open=1),)


def test_interrupted_quotes_leave_a_gap_in_time() -> None:
    writer = ListWriter()
    made = publisher(writer)
    made.take(Received(records=[Quote(ID, 10, 5, 1, "1", "1", "2", "1")]), 5)
    made.interrupt([(QUOTE, ID)], GapCause.DISCONNECT, 6)
    made.take(Received(records=[Quote(ID, 90, 7, 2, "1", "1", "2", "1")]), 7)
    (gap,) = writer.batches[1].gaps
    assert (gap.from_ts, gap.to_ts, gap.cause) == (10, 90, "disconnect")


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
