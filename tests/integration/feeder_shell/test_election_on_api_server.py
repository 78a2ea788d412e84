import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.error import HTTPError

import pytest
from support_feeder_cluster import LEASE, SEAT_LEASE, Line, Place

from feedplane_api.worker import ElectionConfig, FailoverPolicy, HealthReport
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.cluster import ClusterApi
from feedplane_feeder.core.ports import Demoted, Promoted
from feedplane_feeder.election import LeaseElection
from feedplane_feeder.lease_object import LeaseContext
from feedplane_feeder.log import get_log
from feedplane_feeder.seat import LeaseSeat

# Real servers on a busy machine take their time.
pytestmark = pytest.mark.timeout(120)


PAIR = FailoverPolicy(accounts=("main", "spare"))
HEALTHY = HealthReport(healthy=True, reason="Healthy")
Running = tuple[LeaseElection, list[Promoted | Demoted]]
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)


def election_config(place: Place) -> ElectionConfig:
    return ElectionConfig(
        namespace=place.namespace,
        lease_name=LEASE,
        lease_duration_seconds=3,
        renew_deadline_seconds=2,
        retry_period_seconds=1,
    )


def context(place: Place, api: ClusterApi, pod: str) -> LeaseContext:
    return LeaseContext(api=api, clock=SystemClock(), log=get_log("election"), pod=pod)


@asynccontextmanager
async def running(
    place: Place,
    account: str = "main",
    pod: str = "p1",
    policy: FailoverPolicy = FailoverPolicy(),  # noqa: B008 - frozen
) -> AsyncIterator[Running]:
    api = ClusterApi(place.address)
    election = LeaseElection(election_config(place), account, policy, context(place, api, pod))
    election.judge(HEALTHY)
    seen: list[Promoted | Demoted] = []

    async def collect() -> None:
        async for event in election.events():
            seen.append(event)  # noqa: PERF401 - read while it grows

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(election.run()), tasks.create_task(collect())]
        yield election, seen
        for task in both:
            task.cancel()
    await api.close()


@asynccontextmanager
async def seated(place: Place, policy: FailoverPolicy) -> AsyncIterator[Running]:
    """Let main hold the Lease before anybody else can."""
    async with running(place, policy=policy) as (main, events):
        await until(lambda: events)
        yield main, events


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.05)


def take_lease(place: Place, holder: str) -> None:
    """Write another holder into the Lease, between two renewals of its holder."""
    for _ in range(5):
        lease = place.lease()
        lease["spec"] |= {"holderIdentity": holder, "leaseTransitions": 2}
        try:
            place.plane.request("PUT", place.lease_path, lease)
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
        else:
            return
    pytest.fail("the Lease was never free to be taken")


async def test_lease_of_a_killed_pod_passes_to_its_successor_at_once(place: Place) -> None:
    async with running(place, pod="p1") as (_, events):
        await until(lambda: events)
        assert events == [Promoted(1, "Vacant")]
    assert place.holder() == "main/p1"
    loop = asyncio.get_running_loop()
    async with running(place, pod="p2") as (election, events):
        started = loop.time()
        await until(lambda: events)
        assert loop.time() - started < 1.5
        assert events == [Promoted(2, "Restarted")]
        assert place.holder() == "main/p2"
        await election.release()
    lease = place.lease()
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseDurationSeconds"] == 1
    assert lease["metadata"]["annotations"]["feedplane.dev/reason"] == "Shutdown"


async def test_standby_announces_itself_and_reports_the_holder(place: Place) -> None:
    async with (
        seated(place, PAIR) as (main, _),
        running(place, "spare", "p9", PAIR) as (spare, events),
    ):
        await until(lambda: spare.report().holder == "main" and main.peers())
        report = spare.report()
        assert (report.active, report.epoch, report.reason) == (False, 1, "Vacant")
        assert report.api_reachable
        await until(lambda: main.peers()[0].fresh)
        assert events == []
    assert place.holder() == "main/p1"


async def test_holder_refused_by_its_venue_hands_over_within_a_second(place: Place) -> None:
    loop = asyncio.get_running_loop()
    async with (
        seated(place, PAIR) as (main, lost),
        running(place, "spare", "p9", PAIR) as (_, won),
    ):
        await until(lambda: main.peers() and main.peers()[0].fresh)
        started = loop.time()
        main.judge(REFUSED)
        await until(lambda: won)
        assert loop.time() - started < 2.5
        assert won == [Promoted(2, "CredentialsRefused")]
        await until(lambda: len(lost) == 2)
        assert lost[-1] == Demoted(2, "CredentialsRefused")


async def test_three_candidates_racing_for_a_dead_lease_make_one_holder(place: Place) -> None:
    trio = FailoverPolicy(accounts=("main", "spare", "third"))
    async with (
        running(place, "spare", "p2", trio) as (spare, second),
        running(place, "third", "p3", trio) as (third, others),
    ):
        async with running(place, "main", "p1", trio):
            await until(lambda: place.holder() != "")
            await until(lambda: len(spare.peers()) == 2)
        await until(lambda: place.holder() in {"spare/p2", "third/p3"})
        await asyncio.sleep(2)
        assert [spare.report().active, third.report().active].count(True) == 1
        assert len([*second, *others]) <= 3


async def test_offer_nobody_takes_is_taken_back(place: Place) -> None:
    async with seated(place, PAIR) as (main, events):
        async with running(place, "spare", "p9", PAIR):
            await until(lambda: main.peers() and main.peers()[0].fresh)
        main.judge(REFUSED)
        await until(lambda: events[-1] == Promoted(events[-1].epoch, "NotTaken"))
        assert main.report().active


async def test_api_server_away_moves_nobody(place: Place, line: Line) -> None:
    async with (
        seated(place, PAIR) as (main, first),
        running(place, "spare", "p9", PAIR) as (spare, second),
    ):
        await until(lambda: spare.report().holder == "main")
        line.break_off()
        await until(lambda: not spare.report().api_reachable)
        await asyncio.sleep(8)
        assert main.report().active
        line.cut = False
        await until(lambda: main.report().api_reachable and spare.report().api_reachable)
        await asyncio.sleep(4)
        assert (len(first), second) == (1, [])
        assert main.report().unreachable_seconds >= 8


@pytest.mark.parametrize("race", range(20))
async def test_seat_raced_for_is_held_by_one_at_a_time(place: Place, race: int) -> None:
    api = ClusterApi(place.address)
    seats = [
        LeaseSeat(election_config(place), SEAT_LEASE, "main", context(place, api, f"p{race}-{n}"))
        for n in range(2)
    ]
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(seat.run()) for seat in seats]
        await until(lambda: any(seat.held for seat in seats))
        await asyncio.sleep(0.2)
        assert [seat.held for seat in seats].count(True) == 1
        winner = next(seat for seat in seats if seat.held)
        loser = next(seat for seat in seats if not seat.held)
        await winner.release()
        assert not winner.held
        await until(lambda: loser.held)
        assert not winner.held
        for task in both:
            task.cancel()
    await api.close()


@pytest.mark.parametrize("trouble", ["refused", "mute"])
async def test_active_feeder_cut_off_for_ten_seconds_goes_on(
    place: Place, line: Line, trouble: str
) -> None:
    async with running(place) as (election, events):
        await until(lambda: events)
        renewed = place.lease()["spec"]["renewTime"]
        if trouble == "mute":
            line.mute = True
        else:
            line.break_off()
        await until(lambda: not election.report().api_reachable)
        await asyncio.sleep(8)
        report = election.report()
        assert (report.active, report.holder, report.api_reachable) == (True, "main", False)
        line.mute = line.cut = False
        await until(lambda: election.report().api_reachable)
        await until(lambda: place.lease()["spec"]["renewTime"] > renewed)
        assert events == [Promoted(1, "Vacant")]
        assert place.lease()["spec"]["leaseTransitions"] == 1


async def test_lease_taken_by_another_hand_stops_the_feeder(place: Place) -> None:
    async with running(place) as (election, events):
        await until(lambda: events)
        take_lease(place, "spare/p9")
        await until(lambda: len(events) == 2)
        assert events == [Promoted(1, "Vacant"), Demoted(2, "Superseded")]
        assert not election.report().active


async def test_lease_deleted_and_made_again_is_held_again(place: Place) -> None:
    async with running(place) as (election, events):
        await until(lambda: events)
        place.plane.request("DELETE", place.lease_path)
        await asyncio.sleep(3)
        assert election.report().active
        collection = place.lease_path.rpartition("/")[0]
        place.plane.request(
            "POST",
            collection,
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}},
        )
        await until(lambda: place.holder() == "main/p1")
        assert election.report().active
