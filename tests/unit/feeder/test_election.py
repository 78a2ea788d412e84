import asyncio
import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from feedplane_api.names import LEASE_CANDIDATE_PREFIX
from feedplane_api.worker import ElectionConfig, FailoverPolicy, HealthReport
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.core.lease import LeaseReason, LeaseRecord
from feedplane_feeder.core.ports import Demoted, Promoted
from feedplane_feeder.election import LeaseElection, SoloElection
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.lease_object import LeaseContext, parse_lease, render_lease
from feedplane_feeder.log import get_log

pytestmark = pytest.mark.looptime

START_NS = 1_790_000_000 * 10**9
PAIR = FailoverPolicy(accounts=("main", "spare"), failback_after_seconds=60)
HEALTHY = HealthReport(healthy=True, reason="Healthy")
STALE = HealthReport(healthy=False, reason="StreamStale")
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)


class FakeClock:
    """Wall time that follows the loop's own (virtual) time."""

    def now_ns(self) -> int:
        return START_NS + int(asyncio.get_running_loop().time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeApi:
    """One Lease with optimistic locking, and switches to be unreachable."""

    def __init__(self) -> None:
        self.lease: Document = {
            "metadata": {"name": "demo-publisher-0", "resourceVersion": "1", "labels": {"a": "b"}}
        }
        self.reachable = True
        self.present = True
        self.loses_answers = False
        self.cut_off: set[str] = set()

    def seen_from(self, pod: str) -> ClusterApi:
        return cast("ClusterApi", Wire(self, pod))

    def store(self, document: Document) -> None:
        version = int(self.lease["metadata"]["resourceVersion"]) + 1
        self.lease = copy.deepcopy(document)
        self.lease["metadata"]["resourceVersion"] = str(version)

    def held_by(self, holder: str, *, transitions: int = 1, duration: int = 6) -> None:
        record = LeaseRecord(holder=holder, transitions=transitions, duration_seconds=duration)
        self.store(render_lease(self.lease, record))

    @property
    def record(self) -> LeaseRecord:
        return parse_lease(self.lease)


class Wire:
    """One pod's way to the API server."""

    def __init__(self, api: FakeApi, pod: str) -> None:
        self.api = api
        self.pod = pod

    async def get(self, path: str) -> Document:
        self._arrive(path)
        return copy.deepcopy(self.api.lease)

    async def put(self, path: str, document: Document) -> Document:
        self._arrive(path)
        now = self.api.lease["metadata"]["resourceVersion"]
        if document["metadata"]["resourceVersion"] != now:
            raise ClusterRefusedError(path, 409, "the object has been modified")
        self.api.store(document)
        if self.api.loses_answers:
            raise ClusterUnavailableError("connection reset")
        return copy.deepcopy(self.api.lease)

    async def merge(self, path: str, changes: Document) -> Document:
        self._arrive(path)
        merged = copy.deepcopy(self.api.lease)
        annotations = merged["metadata"].get("annotations") or {}
        merged["metadata"]["annotations"] = annotations | changes["metadata"]["annotations"]
        self.api.store(merged)
        return copy.deepcopy(self.api.lease)

    def _arrive(self, path: str) -> None:
        if not self.api.reachable or self.pod in self.api.cut_off:
            raise ClusterUnavailableError("connection refused")
        if not self.api.present:
            raise ClusterRefusedError(path, 404, "not found")


def build(
    api: FakeApi,
    account: str = "main",
    pod: str = "p1",
    policy: FailoverPolicy = FailoverPolicy(),  # noqa: B008 - frozen
) -> LeaseElection:
    return LeaseElection(
        ElectionConfig(namespace="feeds", lease_name="demo-publisher-0"),
        account,
        policy,
        LeaseContext(api=api.seen_from(pod), clock=FakeClock(), log=get_log("election"), pod=pod),
    )


def build_pair(api: FakeApi, policy: FailoverPolicy = PAIR) -> tuple[LeaseElection, LeaseElection]:
    main, spare = build(api, "main", "p1", policy), build(api, "spare", "p2", policy)
    main.judge(HEALTHY)
    spare.judge(HEALTHY)
    return main, spare


@asynccontextmanager
async def running(*elections: LeaseElection) -> AsyncIterator[list[list[Promoted | Demoted]]]:
    """Run elections and collect the events of each."""
    seen: list[list[Promoted | Demoted]] = [[] for _ in elections]

    async def collect(place: int) -> None:
        async for event in elections[place].events():
            seen[place].append(event)

    async with asyncio.TaskGroup() as tasks:
        all_of_them = [tasks.create_task(election.run()) for election in elections]
        all_of_them += [tasks.create_task(collect(place)) for place in range(len(elections))]
        yield seen
        await asyncio.sleep(0.1)
        for task in all_of_them:
            task.cancel()


async def test_single_account_takes_and_renews_the_lease() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as [events]:
        await asyncio.sleep(10)
        first_renewal = api.record.renew_time
        await asyncio.sleep(10)
    assert events == [Promoted(1, "Vacant")]
    assert (api.record.holder, api.record.transitions) == ("main/p1", 1)
    assert str(api.record.renew_time) > str(first_renewal)
    assert api.lease["metadata"]["labels"] == {"a": "b"}
    report = election.report()
    assert (report.active, report.holder, report.epoch) == (True, "main", 1)
    assert report.since_time is not None


async def test_standby_announces_itself_and_reports_the_holder() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, events]:
        await asyncio.sleep(30)
        assert events == []
        assert (spare.report().active, spare.report().holder) == (False, "main")
        assert LEASE_CANDIDATE_PREFIX + "spare" in api.lease["metadata"]["annotations"]
        [peer] = main.peers()
        assert (peer.account, peer.healthy, peer.fresh) == ("spare", True, True)
        [holder] = spare.report().candidates
        assert (holder.account, holder.reason, holder.fresh) == ("main", "Healthy", True)


async def test_holder_that_turns_unhealthy_hands_over_before_it_stops() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    prepared: list[float] = []

    async def prepare() -> None:
        prepared.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1.0)

    main.prepare_handover = prepare
    async with running(main, spare) as [lost, won]:
        await asyncio.sleep(40)
        main.judge(STALE)
        await asyncio.sleep(0.5)
        assert main.report().active
        await asyncio.sleep(3)
    assert prepared == [pytest.approx(40, abs=0.1)]
    assert lost == [Promoted(1, "Vacant"), Demoted(2, "StreamStale")]
    assert won == [Promoted(2, "StreamStale")]
    assert api.record.reason == "StreamStale"


async def test_holder_refused_by_the_venue_does_not_wait_for_the_cooldown() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, won]:
        await asyncio.sleep(5)
        main.judge(STALE)
        await asyncio.sleep(5)
        assert won == []
        main.judge(REFUSED)
        await asyncio.sleep(1.5)
        assert won == [Promoted(2, "CredentialsRefused")]


async def test_handover_that_hangs_in_the_data_path_goes_on_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    main.prepare_handover = asyncio.Event().wait  # type: ignore[assignment]
    async with running(main, spare) as [_, won]:
        await asyncio.sleep(5)
        main.judge(REFUSED)
        await asyncio.sleep(4)
        assert won == [Promoted(2, "CredentialsRefused")]
    assert Event.ELECTION_UNPREPARED in [record.getMessage() for record in caplog.records]


async def test_lease_offered_and_not_taken_is_taken_back() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [events, won]:
        await asyncio.sleep(5)
        api.cut_off.add("p2")
        await asyncio.sleep(0.5)
        main.judge(REFUSED)
        await asyncio.sleep(8)
        assert main.report().active
        assert events == [Promoted(1, "Vacant"), Promoted(2, "NotTaken")]
        assert won == []


async def test_person_naming_an_account_switches_over_and_back() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [first, second]:
        await asyncio.sleep(5)
        for election in (main, spare):
            election.adopt(PAIR.model_copy(update={"active_account": "spare"}))
        await asyncio.sleep(3)
        assert second == [Promoted(2, "SwitchoverRequested")]
        assert first[-1] == Demoted(2, "SwitchoverRequested")
        await asyncio.sleep(300)
        assert spare.report().active
        for election in (main, spare):
            election.adopt(PAIR)
        await asyncio.sleep(5)
        assert second[-1] == Demoted(3, "Failback")
        assert first[2:] == [Promoted(3, "Failback")]


async def test_account_in_maintenance_gives_the_lease_away() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, won]:
        await asyncio.sleep(5)
        main.adopt(PAIR.model_copy(update={"maintenance": ("main",)}))
        spare.adopt(PAIR.model_copy(update={"maintenance": ("main",)}))
        await asyncio.sleep(3)
        assert won == [Promoted(2, "Maintenance")]


async def test_holder_that_dies_is_replaced_when_its_lease_ends() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, won]:
        await asyncio.sleep(20)
        api.cut_off.add("p1")
        await asyncio.sleep(5)
        assert won == []
        await asyncio.sleep(3)
    assert won == [Promoted(2, "LeaseExpired")]


async def test_restarted_holder_lets_the_standby_that_remembers_go_first() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, won]:
        await asyncio.sleep(20)
        api.cut_off.add("p1")
        async with running(build(api, "main", "p3", PAIR)) as [events]:
            await asyncio.sleep(2)
            assert won == [Promoted(2, "Restarted")]
            assert events == []


async def test_released_lease_passes_at_once_to_the_best_peer() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [events, won]:
        await asyncio.sleep(10)
        started = asyncio.get_running_loop().time()
        await main.release()
        await main.release()
        assert asyncio.get_running_loop().time() - started < 1.5
        await asyncio.sleep(0.5)
        assert events[-1] == Demoted(2, LeaseReason.SHUTDOWN)
        assert won == [Promoted(2, LeaseReason.SHUTDOWN)]


async def test_released_lease_without_a_peer_is_free_and_says_why() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as [events]:
        await asyncio.sleep(2)
        await election.release()
        await asyncio.sleep(10)
    assert events == [Promoted(1, "Vacant"), Demoted(1, LeaseReason.SHUTDOWN)]
    record = api.record
    assert (record.holder, record.duration_seconds, record.reason) == ("", 1, "Shutdown")


async def test_release_to_a_peer_that_died_ends_within_the_grace() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [events, _]:
        await asyncio.sleep(10)
        api.cut_off.add("p2")
        await main.release()
        await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() < 14
        assert events[-1] == Demoted(1, LeaseReason.SHUTDOWN)


async def test_release_by_a_standby_leaves_the_lease() -> None:
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [_, events]:
        await asyncio.sleep(5)
        await spare.release()
        assert api.record.holder == "main/p1"
        assert not main.peers()[0].healthy or api.record.candidates[1].healthy is False
    assert events == []


async def test_active_feeder_without_the_api_goes_on_publishing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    api = FakeApi()
    main, spare = build_pair(api)
    async with running(main, spare) as [events, others]:
        await asyncio.sleep(5)
        api.reachable = False
        await asyncio.sleep(3)
        assert main.report().api_reachable
        await asyncio.sleep(600)
        report = main.report()
        assert (report.active, report.holder, report.api_reachable) == (True, "main", False)
        assert report.unreachable_seconds == pytest.approx(603, abs=3)
        api.reachable = True
        await asyncio.sleep(20)
        assert main.report().api_reachable
    assert events == [Promoted(1, "Vacant")]
    assert others == []
    said = [record.getMessage() for record in caplog.records]
    assert said.count(Event.ELECTION_UNREACHABLE) == 2
    assert said.count(Event.ELECTION_REACHED) == 2


async def test_active_feeder_finding_another_holder_after_an_outage_stops() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as [events]:
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
    async with running(build(api)) as [events]:
        await asyncio.sleep(5)
        assert events == []
        await asyncio.sleep(3)
        assert events == [Promoted(0, "ApiUnreachable")]
        api.reachable = True
        await asyncio.sleep(2)
    assert events == [Promoted(0, "ApiUnreachable"), Promoted(4, "Restarted")]
    assert api.record.holder == "main/p1"


async def test_write_whose_answer_was_lost_is_found_and_kept() -> None:
    api = FakeApi()
    api.loses_answers = True
    async with running(build(api)) as [events]:
        await asyncio.sleep(3)
        api.loses_answers = False
        await asyncio.sleep(3)
        assert api.record.holder == "main/p1"
    assert events == [Promoted(1, "Vacant")]


async def test_lease_deleted_and_made_again_goes_on_with_its_epochs() -> None:
    api = FakeApi()
    election = build(api)
    async with running(election) as [events]:
        await asyncio.sleep(2)
        api.present = False
        await asyncio.sleep(30)
        assert election.report().active
        api.present = True
        api.lease = FakeApi().lease
        api.lease["metadata"]["resourceVersion"] = "50"
        await asyncio.sleep(3)
    assert events == [Promoted(1, "Vacant"), Promoted(2, "Vacant")]
    assert election.report().active


async def test_lease_edited_by_another_hand_is_read_and_renewed() -> None:
    api = FakeApi()
    async with running(build(api)) as [events]:
        await asyncio.sleep(2)
        edited = copy.deepcopy(api.lease)
        edited["metadata"]["labels"] = {"owner": "ops"}
        api.store(edited)
        await asyncio.sleep(3)
    assert events == [Promoted(1, "Vacant")]
    assert api.lease["metadata"]["labels"] == {"owner": "ops"}


async def test_solo_election_publishes_from_the_start() -> None:
    election = SoloElection("main", clock=FakeClock())
    await election.run()
    stream = election.events()
    assert await anext(stream) == Promoted(0, "NoElection")
    election.judge(STALE)
    election.adopt(FailoverPolicy(maintenance=("main",)))
    await election.prepare_handover()
    await election.release()
    report = election.report()
    assert (report.active, report.holder, report.reason) == (True, "main", "NoElection")
    assert election.peers() == ()
