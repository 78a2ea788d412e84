import asyncio
import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from feedplane_api.names import LEASE_CHANGED_REASON
from feedplane_api.worker import AccountIdentity, ElectionConfig
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.core.lease import LeaseReason, LeaseRecord
from feedplane_feeder.core.ports import Demoted, Promoted
from feedplane_feeder.election import LeaseElection, SoloElection, parse_lease, render_lease
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log

pytestmark = pytest.mark.looptime

START_NS = 1_790_000_000 * 10**9


class FakeClock:
    """Wall time that follows the loop's own (virtual) time."""

    def now_ns(self) -> int:
        return START_NS + int(asyncio.get_running_loop().time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeApi:
    """One Lease with optimistic locking, and a switch to be unreachable."""

    def __init__(self) -> None:
        self.lease: Document = {
            "metadata": {"name": "demo-publisher-0", "resourceVersion": "1", "labels": {"a": "b"}}
        }
        self.reachable = True
        self.present = True
        self.writes = 0

    async def get(self, path: str) -> Document:
        self._arrive(path)
        return copy.deepcopy(self.lease)

    async def put(self, path: str, document: Document) -> Document:
        self._arrive(path)
        if document["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ClusterRefusedError(path, 409, "the object has been modified")
        self.store(document)
        return copy.deepcopy(self.lease)

    def store(self, document: Document) -> None:
        self.writes += 1
        self.lease = copy.deepcopy(document)
        self.lease["metadata"]["resourceVersion"] = str(
            int(self.lease["metadata"]["resourceVersion"]) + 1
        )

    def held_by(self, holder: str, *, transitions: int = 1, duration: int = 6) -> None:
        record = LeaseRecord(holder=holder, transitions=transitions, duration_seconds=duration)
        self.store(render_lease(self.lease, record))

    @property
    def record(self) -> LeaseRecord:
        return parse_lease(self.lease)

    def _arrive(self, path: str) -> None:
        if not self.reachable:
            raise ClusterUnavailableError("connection refused")
        if not self.present:
            raise ClusterRefusedError(path, 404, "not found")


def build(
    api: FakeApi, account: str = "main", preference: int = 0, pod: str = "p1"
) -> LeaseElection:
    return LeaseElection(
        ElectionConfig(namespace="feeds", lease_name="demo-publisher-0"),
        AccountIdentity(name=account, preference=preference),
        pod,
        api=cast("ClusterApi", api),
        clock=FakeClock(),
        log=get_log("election"),
    )


@asynccontextmanager
async def running(election: LeaseElection) -> AsyncIterator[list[Promoted | Demoted]]:
    """Run an election and collect its events."""
    seen: list[Promoted | Demoted] = []

    async def collect() -> None:
        async for event in election.events():
            seen.append(event)  # noqa: PERF401 - read while it grows

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(election.run()), tasks.create_task(collect())]
        yield seen
        await asyncio.sleep(0.1)
        for task in both:
            task.cancel()


async def test_preferred_account_takes_and_renews_the_lease() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(10)
        first_renewal = api.record.renew_time
        await asyncio.sleep(10)
    assert events == [Promoted(1, "Vacant")]
    assert api.record.holder == "main/p1"
    assert api.record.transitions == 1
    assert str(api.record.renew_time) > str(first_renewal)
    assert api.lease["metadata"]["labels"] == {"a": "b"}
    assert api.lease["metadata"]["annotations"] == {LEASE_CHANGED_REASON: "Vacant"}
    report = election.report()
    assert (report.active, report.holder, report.epoch) == (True, "main", 1)
    assert report.since_time is not None


async def test_other_account_watches_and_reports_the_holder() -> None:
    api = FakeApi()
    api.held_by("main/p1", transitions=4)
    writes = api.writes
    election = build(api, "spare", 1)
    async with running(election) as events:
        await asyncio.sleep(60)
    assert events == []
    assert api.writes == writes
    report = election.report()
    assert (report.active, report.holder, report.epoch) == (False, "main", 4)


async def test_restarted_preferred_pod_does_not_wait_for_expiry() -> None:
    api = FakeApi()
    api.held_by("main/p0", transitions=7)
    async with running(build(api)) as events:
        await asyncio.sleep(0.5)
        assert events == [Promoted(8, "Restarted")]


async def test_foreign_holder_that_goes_silent_is_replaced_after_its_duration() -> None:
    api = FakeApi()
    api.held_by("spare/p9", transitions=2)
    async with running(build(api)) as events:
        await asyncio.sleep(5.5)
        assert events == []
        await asyncio.sleep(3)
    assert events == [Promoted(3, "Expired")]


async def test_active_feeder_without_the_api_goes_on_publishing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        api.reachable = False
        await asyncio.sleep(3)
        assert election.report().api_reachable
        await asyncio.sleep(600)
        report = election.report()
        assert (report.active, report.holder, report.api_reachable) == (True, "main", False)
        api.reachable = True
        await asyncio.sleep(2)
        assert election.report().api_reachable
    assert events == [Promoted(1, "Vacant")]
    said = [record.getMessage() for record in caplog.records]
    assert said.count(Event.ELECTION_UNREACHABLE) == 1
    assert said.count(Event.ELECTION_REACHED) == 1


async def test_active_feeder_finding_another_holder_after_an_outage_stops() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        api.reachable = False
        await asyncio.sleep(30)
        api.held_by("spare/p9", transitions=2)
        api.reachable = True
        await asyncio.sleep(2)
        assert not election.report().active
    assert events == [Promoted(1, "Vacant"), Demoted(2, "Superseded")]


async def test_feeder_started_without_the_api_publishes_after_a_lease_duration() -> None:
    api = FakeApi()
    api.held_by("main/p0", transitions=3)
    api.reachable = False
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(5)
        assert events == []
        await asyncio.sleep(3)
        assert events == [Promoted(0, "ApiUnreachable")]
        api.reachable = True
        await asyncio.sleep(2)
    assert events == [Promoted(0, "ApiUnreachable"), Promoted(4, "Restarted")]
    assert api.record.holder == "main/p1"


async def test_lease_deleted_and_made_again_is_taken_anew() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        api.present = False
        await asyncio.sleep(30)
        assert election.report().active
        api.present = True
        api.lease = FakeApi().lease
        api.lease["metadata"]["resourceVersion"] = "50"
        await asyncio.sleep(3)
    assert events[0] == Promoted(1, "Vacant")
    assert api.record.holder == "main/p1"
    assert election.report().active


async def test_lease_edited_by_another_hand_is_read_and_renewed() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        edited = copy.deepcopy(api.lease)
        edited["metadata"]["labels"] = {"owner": "ops"}
        api.store(edited)
        await asyncio.sleep(3)
    assert events == [Promoted(1, "Vacant")]
    assert api.lease["metadata"]["labels"] == {"owner": "ops"}


async def test_released_lease_is_free_and_says_why() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        await election.release()
        await asyncio.sleep(10)
    assert events == [Promoted(1, "Vacant"), Demoted(1, LeaseReason.SHUTDOWN)]
    assert api.record.holder == ""
    assert api.record.duration_seconds == 1
    assert api.record.reason == "Shutdown"


async def test_release_of_a_lease_that_is_not_ours_leaves_it() -> None:
    api = FakeApi()
    api.held_by("main/p1")
    election = build(api, "spare", 1)
    async with running(election):
        await asyncio.sleep(2)
    writes = api.writes
    await election.release()
    assert api.record.holder == "main/p1"
    assert api.writes == writes


async def test_feeder_that_stepped_down_takes_the_lease_back_after_its_cooldown() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as events:
        await asyncio.sleep(2)
        await election.step_down("Unhealthy")
        assert api.record.reason == "Unhealthy"
        await asyncio.sleep(20)
        assert not election.report().active
        await asyncio.sleep(15)
    assert events == [Promoted(1, "Vacant"), Demoted(1, "Unhealthy"), Promoted(2, "Vacant")]


async def test_solo_election_publishes_from_the_start() -> None:
    election = SoloElection("main", clock=FakeClock())
    await election.run()
    stream = election.events()
    assert await anext(stream) == Promoted(0, "NoElection")
    await election.step_down("Unhealthy")
    await election.release()
    report = election.report()
    assert (report.active, report.holder, report.reason) == (True, "main", "NoElection")


@pytest.mark.parametrize(
    "document",
    [{}, {"spec": None}, {"spec": {}, "metadata": {"annotations": None}}],
    ids=["bare", "null spec", "null annotations"],
)
def test_lease_without_a_word_is_vacant(document: Document) -> None:
    assert parse_lease(document) == LeaseRecord()
