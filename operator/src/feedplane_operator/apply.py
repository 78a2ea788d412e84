"""A Plan, carried out: children first, then the status, then the events."""

from feedplane_operator.cache import Cache
from feedplane_operator.clock import monotonic_seconds
from feedplane_operator.cluster import Cluster
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Plan, Ref, ref_of
from feedplane_operator.core.reconcile_feed_source import describe_changes
from feedplane_operator.errors import ConflictError, NotFoundError, RefusedError
from feedplane_operator.events import EventReason, LogEvent
from feedplane_operator.log import get_log
from feedplane_operator.metrics import ACTIVE_CHANGES, WRITES
from feedplane_operator.notify import Notifier
from feedplane_operator.observe import BackfillMemory, FeedMemory
from feedplane_operator.recorder import Recorder

_LOG = get_log("apply")
_CHANGES = {
    EventReason.FAILOVER_COMPLETED: "failover",
    EventReason.FAILBACK_COMPLETED: "failback",
    EventReason.SWITCHOVER_COMPLETED: "switchover",
}


class Applier:
    """Writes what a Plan says, and tells the cache what came of it."""

    def __init__(
        self, cluster: Cluster, cache: Cache, recorder: Recorder, notifier: Notifier
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._recorder = recorder
        self._notifier = notifier

    async def apply_plan(
        self,
        resource: Manifest,
        plan: Plan,
        observed: Observed,
        memory: FeedMemory | BackfillMemory | None,
    ) -> bool:
        """Carry out a Plan; return whether a name was found taken, so that it must be made anew.

        Raises:
            ClusterError: the API server did not do it all; what was done stands.
        """
        reasons = dict(describe_changes(plan, observed.children))
        for manifest in plan.apply:
            ref = ref_of(manifest)
            if not await self._apply_child(manifest, reasons[ref], observed):
                if memory is not None:
                    memory.taken[ref] = monotonic_seconds()
                return True
        for ref in plan.delete:
            await self._delete_child(ref, observed.children.get(ref, resource))
        if plan.status is not None:
            await self._write_status(resource, plan.status)
        for note in plan.events:
            self._recorder.post(resource, note)
            if note.reason in _CHANGES:
                ACTIVE_CHANGES.labels(_CHANGES[note.reason]).inc()
        self._notifier.tell(resource, observed.feed_source, plan.events)
        return False

    async def _apply_child(self, manifest: Manifest, why: str, observed: Observed) -> bool:
        ref = ref_of(manifest)
        # A child that is not known yet is made without force: a field that somebody else set to
        # another value, or another controller, tells that the name is taken.
        known = ref in observed.children
        try:
            live = await self._cluster.apply(manifest, force=known)
        except (ConflictError, RefusedError) as error:
            _LOG.warning(LogEvent.CHILD_REFUSED, error=error, **_where(ref))
            if known or not _says_taken(error):
                raise
            return False
        self._cache.put(live)
        WRITES.labels(ref.kind, "apply").inc()
        _LOG.info(LogEvent.CHILD_APPLIED, **_where(ref), difference=why)
        return True

    async def _delete_child(self, ref: Ref, live: Manifest) -> None:
        uid = live["metadata"]["uid"]
        try:
            await self._cluster.delete(ref, uid)
        except (NotFoundError, ConflictError):
            # Gone already, or another object has taken the name.
            self._cache.drop(ref, uid)
            return
        self._cache.drop(ref, uid)
        WRITES.labels(ref.kind, "delete").inc()
        _LOG.info(LogEvent.CHILD_DELETED, **_where(ref))

    async def _write_status(self, resource: Manifest, status: Manifest) -> None:
        ref = ref_of(resource)
        try:
            live = await self._cluster.apply_status(resource, status)
        except NotFoundError:
            return
        self._cache.put(live)
        WRITES.labels(ref.kind, "status").inc()
        _LOG.debug(LogEvent.STATUS_WRITTEN, **_where(ref))


def _says_taken(error: ConflictError | RefusedError) -> bool:
    return isinstance(error, ConflictError) or "ownerReferences" in error.message


def _where(ref: Ref) -> dict[str, str]:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
