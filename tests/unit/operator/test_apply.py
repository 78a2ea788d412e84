from dataclasses import replace
from typing import Any

import pytest
from support_plans import NOW, parse_subscription, stored
from support_resources import feed_source, subscription

from feedplane_operator.apply import Applier
from feedplane_operator.cache import Cache
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Note, Plan, Ref, ref_of
from feedplane_operator.core.reconcile_feed_source import reconcile_feed_source
from feedplane_operator.errors import ClusterError, ConflictError, NotFoundError, RefusedError
from feedplane_operator.events import EventReason
from feedplane_operator.observe import FeedMemory

RESOURCE = stored(feed_source("spot"))
OBSERVED = Observed(subscriptions=(parse_subscription(subscription("s", "spot")),))
PLAN = reconcile_feed_source(RESOURCE, OBSERVED, NOW)
PAUSED = Note(reason=EventReason.PAUSED, message="spec.state is Paused")


class FakeCluster:
    """Does what it is told, or fails as it is told."""

    def __init__(self, error: ClusterError | None = None) -> None:
        self.error = error
        self.applied: list[tuple[Ref, bool]] = []
        self.statuses = 0
        self.deleted: list[Ref] = []

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        if self.error:
            raise self.error
        self.applied.append((ref_of(manifest), force))
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "7"}}

    async def apply_status(self, resource: Manifest, status: Manifest) -> Manifest:
        if isinstance(self.error, NotFoundError):
            raise self.error
        self.statuses += 1
        return {**resource, "status": status}

    async def delete(self, ref: Ref, uid: str) -> None:
        if self.error:
            raise self.error
        self.deleted.append(ref)


class Notes(list[EventReason]):
    """Notes events instead of posting them."""

    def post(self, resource: Manifest, note: Note) -> None:
        self.append(note.reason)


class Told(list[EventReason]):
    """Notes what webhooks would be told."""

    def tell(self, resource: Manifest, feed_source: Manifest | None, notes: Any) -> None:
        self.extend(note.reason for note in notes)


def _applier(cluster: FakeCluster, cache: Cache | None = None) -> tuple[Applier, Notes]:
    notes: Any = Notes()
    fake: Any = cluster
    return Applier(fake, cache or Cache(), notes, Told()), notes  # type: ignore[arg-type]


async def test_plan_is_carried_out_children_first() -> None:
    cluster, cache = FakeCluster(), Cache()
    applier, notes = _applier(cluster, cache)
    plan = replace(PLAN, events=(PAUSED,))
    assert not await applier.apply_plan(RESOURCE, plan, OBSERVED, FeedMemory())
    assert [ref for ref, _ in cluster.applied] == [ref_of(child) for child in PLAN.apply]
    # Nothing of these is known yet, so a field of somebody else must be a conflict.
    assert not any(force for _, force in cluster.applied)
    assert cluster.statuses == 1
    assert notes == [EventReason.PAUSED]
    assert len(cache.children(("default", "spot"))) == len(PLAN.apply)


async def test_known_child_is_applied_with_force() -> None:
    cluster = FakeCluster()
    applier, _ = _applier(cluster)
    child = PLAN.apply[0]
    known = Observed(children={ref_of(child): {"metadata": {}}})
    await applier.apply_plan(RESOURCE, Plan(apply=(child,)), known, None)
    assert cluster.applied == [(ref_of(child), True)]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConflictError("PATCH", 409, "owned by x"), id="a field of another manager"),
        pytest.param(
            RefusedError("PATCH", 422, "metadata.ownerReferences: one controller"), id="an owner"
        ),
    ],
)
async def test_name_of_a_new_child_found_taken_is_remembered(error: ClusterError) -> None:
    applier, _ = _applier(FakeCluster(error))
    memory = FeedMemory()
    assert await applier.apply_plan(RESOURCE, PLAN, OBSERVED, memory)
    assert list(memory.taken) == [ref_of(PLAN.apply[0])]


async def test_child_refused_for_another_reason_is_an_error() -> None:
    applier, _ = _applier(FakeCluster(RefusedError("PATCH", 403, "forbidden")))
    with pytest.raises(RefusedError):
        await applier.apply_plan(RESOURCE, PLAN, OBSERVED, FeedMemory())


@pytest.mark.parametrize("error", [None, NotFoundError("DELETE", 404, "gone")])
async def test_child_deleted_is_forgotten(error: ClusterError | None) -> None:
    cache, ref = Cache(), Ref("Service", "default", "x")
    labels = {"feedplane.dev/feed-source": "spot"}
    metadata = {"name": "x", "namespace": "default", "uid": "u", "labels": labels}
    live = {"kind": "Service", "metadata": metadata}
    cache.put(live)
    applier, _ = _applier(FakeCluster(error), cache)
    observed = Observed(children={ref: live})
    await applier.apply_plan(RESOURCE, Plan(delete=(ref,)), observed, None)
    assert cache.get(ref) is None


async def test_status_of_a_resource_that_is_gone_is_let_go() -> None:
    applier, _ = _applier(FakeCluster(NotFoundError("PATCH", 404, "gone")))
    assert not await applier.apply_plan(RESOURCE, Plan(status={"a": 1}), OBSERVED, None)
