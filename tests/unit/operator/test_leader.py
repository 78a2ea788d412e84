import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from feedplane_operator import leader
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.errors import (
    ConflictError,
    LeadershipLostError,
    NotFoundError,
    UnreachableError,
)
from feedplane_operator.leader import Election

pytestmark = pytest.mark.looptime


class FakeServer:
    """One Lease with versions; unreachable or contested when told to."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0
        self.reachable = True
        self.conflicts = 0

    async def get(self, ref: Ref) -> Manifest:
        self._answer()
        if self.lease is None:
            raise NotFoundError("GET", 404, "no lease")
        return self.lease

    async def create(self, manifest: Manifest) -> Manifest:
        self._answer()
        return self._store(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        self._answer()
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError("PUT", 409, "changed")
        return self._store(manifest)

    @property
    def holder(self) -> str:
        return "" if self.lease is None else str(self.lease["spec"]["holderIdentity"])

    def _answer(self) -> None:
        if not self.reachable:
            raise UnreachableError("GET", 0, "timeout")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.lease = {
            **manifest,
            # Real clocks write another time with each renewal.
            "spec": {**manifest["spec"], "renewTime": str(self.version)},
        }
        return self.lease


@pytest.fixture(autouse=True)
def _virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "monotonic_seconds", lambda: asyncio.get_running_loop().time())


def _candidate(server: Any, name: str, beat: Callable[[], None] = lambda: None) -> Election:
    return Election(server, namespace="ops", name="lease", identity=name, beat=beat)


async def test_first_candidate_creates_the_lease() -> None:
    server = FakeServer()
    await _candidate(server, "one").acquire()
    assert server.holder == "one"


async def test_second_candidate_waits_the_first_one_out() -> None:
    server = FakeServer()
    await _candidate(server, "one").acquire()
    start = asyncio.get_running_loop().time()
    await _candidate(server, "two").acquire()
    assert server.holder == "two"
    assert 15 < asyncio.get_running_loop().time() - start < 15.3
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_holder_that_renews_keeps_the_other_waiting() -> None:
    server = FakeServer()
    first = _candidate(server, "one")
    await first.acquire()
    renewing = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(_candidate(server, "two").acquire())
    await asyncio.sleep(120)
    assert server.holder == "one"
    assert not waiting.done()
    for task in (renewing, waiting):
        task.cancel()
    await asyncio.wait([renewing, waiting])


async def test_released_lease_is_taken_within_one_look() -> None:
    server = FakeServer()
    first = _candidate(server, "one")
    await first.acquire()
    waiting = asyncio.create_task(_candidate(server, "two").acquire())
    await asyncio.sleep(1)
    await first.release()
    await asyncio.sleep(2.1)
    assert waiting.done()
    await first.release()
    assert server.holder == "two"


async def test_holder_cut_off_gives_up_before_the_lease_expires() -> None:
    server = FakeServer()
    first = _candidate(server, "one")
    await first.acquire()
    server.reachable = False
    start = asyncio.get_running_loop().time()
    with pytest.raises(LeadershipLostError):
        await first.hold()
    assert asyncio.get_running_loop().time() - start < 15


async def test_holder_robbed_gives_up_at_once() -> None:
    server = FakeServer()
    first = _candidate(server, "one")
    await first.acquire()
    assert server.lease is not None
    server.lease = {**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "thief"}}
    start = asyncio.get_running_loop().time()
    with pytest.raises(LeadershipLostError):
        await first.hold()
    assert asyncio.get_running_loop().time() - start < 3


async def test_holder_lives_through_a_short_outage_and_a_conflict() -> None:
    server = FakeServer()
    beats: list[float] = []
    first = _candidate(server, "one", lambda: beats.append(1.0))
    await first.acquire()
    renewing = asyncio.create_task(first.hold())
    server.conflicts = 1
    await asyncio.sleep(5)
    server.reachable = False
    await asyncio.sleep(5)
    server.reachable = True
    await asyncio.sleep(10)
    assert not renewing.done()
    assert len(beats) > 5
    renewing.cancel()
    await asyncio.wait([renewing])


async def test_candidate_waits_for_a_server_that_is_away() -> None:
    server = FakeServer()
    server.reachable = False
    waiting = asyncio.create_task(_candidate(server, "one").acquire())
    await asyncio.sleep(30)
    assert not waiting.done()
    server.reachable = True
    await asyncio.sleep(3)
    assert server.holder == "one"
    assert waiting.done()


async def test_release_without_server_is_no_error() -> None:
    server = FakeServer()
    first = _candidate(server, "one")
    await first.release()
    await first.acquire()
    server.reachable = False
    await first.release()
    assert server.holder == "one"
