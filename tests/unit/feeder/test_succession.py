import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support_election import HandElection
from support_sinks import LoopClock, MemorySink, make_trade

from feedplane_api.worker import (
    BufferConfig,
    ElectionConfig,
    ElectionReport,
    FailoverMode,
    FailoverPolicy,
    FileSinkConfig,
    SessionConfig,
    WorkerConfig,
)
from feedplane_feeder.core.ports import Demoted, Promoted, Received
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.log import get_log
from feedplane_feeder.meters import Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.succession import Succession, Throne
from feedplane_feeder.writer import SinkWriter

pytestmark = pytest.mark.looptime


def config(mode: FailoverMode, *accounts: str) -> WorkerConfig:
    return WorkerConfig(
        venue="binance-spot",
        sinks=(FileSinkConfig(path="-"),),
        session=SessionConfig(replay_buffer_seconds=20),
        election=ElectionConfig(namespace="n", lease_name="l", mode=mode),
        policy=FailoverPolicy(accounts=accounts),
    )


class Rig:
    """A succession with all it moves."""

    def __init__(self, mode: FailoverMode = FailoverMode.HOT, *accounts: str) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.sink = MemorySink()
        self.writer = SinkWriter(
            self.sink, BufferConfig(), clock=LoopClock(), metrics=metrics, venue="venue"
        )
        meters = Meters(metrics, "venue")
        self.publisher = Publisher(Tape("venue"), [self.writer], meters, get_log("test"), mode=mode)
        self.election = HandElection()
        self.changes = 0
        throne = Throne(
            publisher=self.publisher,
            writers=[self.writer],
            election=self.election,
            clock=LoopClock(),
            meters=meters,
        )
        self.succession = Succession(config(mode, *accounts), throne, self.note_change)

    def note_change(self) -> None:
        self.changes += 1

    async def tell(self, *changes: Promoted | Demoted) -> None:
        following = asyncio.create_task(self.succession.follow())
        for change in changes:
            self.election.changes.put_nowait(change)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"venue": "venue", **labels})


async def test_roles_reach_the_publisher_and_are_counted() -> None:
    rig = Rig()
    rig.publisher.take(Received(records=[make_trade(1)]), LoopClock().now_ns())
    await rig.tell(Promoted(3, "LeaseExpired"))
    assert rig.publisher.active
    assert rig.sample("feedplane_failovers_total", reason="LeaseExpired") == 1
    assert rig.sample("feedplane_feeder_replayed_records_total") == 1
    await rig.tell(Demoted(4, "Failback"))
    assert not rig.publisher.active
    assert rig.changes == 2
    report = rig.succession.buffer_report(LoopClock().now_ns())
    assert (report.records, report.replayed_records) == (0, 1)


async def test_warm_standby_subscribes_only_while_it_publishes() -> None:
    rig = Rig(FailoverMode.WARM)
    assert not rig.succession.subscribes
    await rig.tell(Promoted(3, "LeaseExpired"))
    assert rig.succession.subscribes
    assert Rig(FailoverMode.MERGED).succession.subscribes


async def test_handover_lets_the_books_go_and_waits_for_the_writers() -> None:
    rig = Rig()
    await rig.tell(Promoted(3, "Vacant"))
    writing = asyncio.create_task(rig.writer.run())
    await asyncio.sleep(0.001)
    rig.publisher.take(Received(records=[make_trade(1)]), LoopClock().now_ns())
    await rig.election.prepare_handover()
    assert rig.sink.trade_ids == [1]
    assert rig.publisher.active
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_handover_without_a_sink_takes_two_seconds_at_most() -> None:
    rig = Rig()
    rig.sink.away = True
    await rig.tell(Promoted(3, "Vacant"))
    started = asyncio.get_running_loop().time()
    await rig.election.prepare_handover()
    assert asyncio.get_running_loop().time() - started == pytest.approx(2.0)


async def test_buffer_keeps_while_nobody_publishes() -> None:
    rig = Rig()
    now_ns = LoopClock().now_ns()
    rig.publisher.take(Received(records=[make_trade(1)]), now_ns)
    rig.election.answer = ElectionReport()
    rig.succession.look(now_ns + 60_000_000_000)
    assert rig.publisher.buffer.records == 1
    assert rig.sample("feedplane_feeder_buffer_records") == 1
    assert rig.sample("feedplane_feeder_buffer_seconds") == 60
    rig.election.answer = ElectionReport(holder="other")
    rig.succession.look(now_ns + 60_000_000_000)
    assert rig.sample("feedplane_feeder_buffer_records") == 0


async def test_policy_reaches_the_election_and_names_the_cause() -> None:
    rig = Rig()
    assert rig.publisher.cause.value == "restart"
    rig.succession.adopt(config(FailoverMode.HOT, "first", "second"))
    assert rig.publisher.cause.value == "promotion"
    assert rig.publisher.buffer.seconds == 20
    assert rig.election.adopted[0].accounts == ("first", "second")
    assert rig.succession.election_report().last_failover_milliseconds is None
