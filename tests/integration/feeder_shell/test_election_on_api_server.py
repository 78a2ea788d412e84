import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.error import HTTPError

import pytest
from support_feeder_cluster import LEASE, Line, Place

from feedplane_api.worker import AccountIdentity, ElectionConfig
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.cluster import ClusterApi
from feedplane_feeder.core.ports import Demoted, Promoted
from feedplane_feeder.election import LeaseElection
from feedplane_feeder.log import get_log

# Real servers on a busy machine take their time.
pytestmark = pytest.mark.timeout(120)


def build(place: Place, api: ClusterApi, account: str = "main", pod: str = "p1") -> LeaseElection:
    return LeaseElection(
        ElectionConfig(
            namespace=place.namespace,
            lease_name=LEASE,
            lease_duration_seconds=3,
            renew_deadline_seconds=2,
            retry_period_seconds=1,
        ),
        AccountIdentity(name=account, preference=0 if account == "main" else 1),
        pod,
        api=api,
        clock=SystemClock(),
        log=get_log("election"),
    )


@asynccontextmanager
async def running(
    place: Place, account: str = "main", pod: str = "p1"
) -> AsyncIterator[tuple[LeaseElection, list[Promoted | Demoted]]]:
    api = ClusterApi(place.address)
    election = build(place, api, account, pod)
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


async def test_watcher_reports_the_holder_and_never_writes(place: Place) -> None:
    async with (
        running(place) as (_, taken),
        running(place, "spare", "p9") as (watcher, events),
    ):
        await until(lambda: taken and watcher.report().holder == "main")
        report = watcher.report()
        assert (report.active, report.epoch, report.reason) == (False, 1, "Vacant")
        assert report.since_time is not None
        assert report.api_reachable
        assert events == []
    assert place.holder() == "main/p1"


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
