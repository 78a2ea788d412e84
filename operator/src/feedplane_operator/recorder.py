"""Kubernetes events, posted once and counted when they come again.

Own code, since kopf posts a new object for every repeat. Events are told to people and never
waited for: one that cannot be posted is dropped and counted.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from feedplane_api.names import FIELD_MANAGER
from feedplane_operator.cluster import Cluster
from feedplane_operator.core.plan import Manifest, Note, Ref, ref_of
from feedplane_operator.errors import ClusterError, NotFoundError
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log, hide_secrets
from feedplane_operator.metrics import EVENTS, EVENTS_DROPPED

REPEAT_WINDOW: Final = timedelta(minutes=30)
REMEMBERED: Final = 4_096
QUEUED: Final = 1_000
NOTE_LIMIT: Final = 1_024
"""The API's own limit for an event's note."""
_LOG = get_log("recorder")


class Recorder:
    """Posts events about resources."""

    def __init__(self, cluster: Cluster, instance: str, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._instance = instance
        self._now = now
        self._queue: asyncio.Queue[tuple[Manifest, Note]] = asyncio.Queue(QUEUED)
        self._posted: OrderedDict[str, tuple[Ref, int, datetime]] = OrderedDict()

    def post(self, resource: Manifest, note: Note) -> None:
        """Queue an event; a full queue drops it."""
        try:
            self._queue.put_nowait((resource, note))
        except asyncio.QueueFull:
            EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Post what is queued, for ever."""
        while True:
            resource, note = await self._queue.get()
            try:
                await self._post(resource, note)
            except ClusterError as error:
                EVENTS_DROPPED.inc()
                _LOG.warning(LogEvent.EVENT_DROPPED, error=error, reason=note.reason.value)

    async def _post(self, resource: Manifest, note: Note) -> None:
        now = self._now()
        key = _fingerprint(resource, note)
        known = self._posted.get(key)
        if known is not None and now - known[2] < REPEAT_WINDOW:
            ref, count, _ = known
            series = {"count": count + 1, "lastObservedTime": _micro_time(now)}
            try:
                await self._cluster.patch(ref, {"series": series})
            except NotFoundError:
                self._posted.pop(key, None)
            else:
                self._remember(key, ref, count + 1, now)
                return
        event = _event(resource, note, self._instance, now, key)
        await self._cluster.create(event)
        self._remember(key, ref_of(event), 1, now)
        EVENTS.labels(note.reason.value).inc()
        ref = ref_of(resource)
        _LOG.info(
            LogEvent.EVENT_POSTED,
            kind=ref.kind,
            namespace=ref.namespace,
            name=ref.name,
            reason=note.reason.value,
        )

    def _remember(self, key: str, ref: Ref, count: int, now: datetime) -> None:
        self._posted[key] = (ref, count, now)
        self._posted.move_to_end(key)
        while len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)


def _fingerprint(resource: Manifest, note: Note) -> str:
    uid = resource["metadata"].get("uid", "")
    text = f"{uid}/{note.reason.value}/{note.message}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _event(
    resource: Manifest, note: Note, instance: str, now: datetime, key: str
) -> dict[str, Any]:
    metadata = resource["metadata"]
    text = hide_secrets(note.message or note.reason.sentence)[:NOTE_LIMIT]
    # The time makes the name a new one when the window of repeats is over.
    name = f"{metadata['name'][:200]}.{key}{int(now.timestamp()):x}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "eventTime": _micro_time(now),
        "reportingController": f"feedplane.dev/{FIELD_MANAGER}",
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": note.reason.value,
        "type": "Warning" if note.warning else "Normal",
        "note": text,
        "regarding": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
        },
    }


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
