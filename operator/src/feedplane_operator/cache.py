"""What is known of the cluster: our resources and their children, as watches and writes tell.

The newest version of an object wins, whichever way it came, so a write is seen by the next
reconcile before its watch event arrives. Must not know what any of it means.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from feedplane_api.names import (
    LABEL_ACCOUNT,
    LABEL_BACKFILL,
    LABEL_FEED_SOURCE,
    LABEL_SHARD,
    Kind,
    worker_name,
)
from feedplane_operator.core.backfill_pods import (
    BackfillPod,
    parse_backfill_pod,
    parse_job,
)
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.core.pods import PodView, parse_pod

RESOURCE_KINDS: Final = frozenset(kind.value for kind in Kind)
Feed = tuple[str, str]
"""Namespace and name of a FeedSource."""
Owner = tuple[str, str]
"""Namespace and name of a Backfill."""


class _Pod(NamedTuple):
    worker: str
    view: PodView
    version: int


class _BackfillPod(NamedTuple):
    view: BackfillPod
    version: int


class Cache:
    """Objects by where they live, and by the FeedSource they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Ref, Manifest] = {}
        self._children: dict[Feed, dict[Ref, Manifest]] = {}
        self._referring: dict[Feed, set[Ref]] = {}
        self._pods: dict[Feed, dict[str, _Pod]] = {}
        self._owned: dict[Owner, dict[Ref, Manifest]] = {}
        self._backfill_pods: dict[Owner, dict[str, _BackfillPod]] = {}
        self._running: dict[Owner, int] = {}

    def put(self, obj: Manifest) -> bool:
        """Take an object in unless a newer version of it is known; return whether it was new."""
        ref = ref_of(obj)
        if ref.kind == "Pod":
            return self._put_pod(obj)
        known = self._objects.get(ref)
        if known is not None and not _is_newer(obj, known):
            return False
        trimmed = _trim(obj)
        self._objects[ref] = trimmed
        owner = backfill_of(trimmed)
        if owner is not None:
            self._owned.setdefault(owner, {})[ref] = trimmed
            self._count_workers(owner)
            return True
        feed = feed_of(trimmed)
        if feed is not None and ref.kind in RESOURCE_KINDS:
            self._referring.setdefault(feed, set()).add(ref)
        elif feed is not None:
            self._children.setdefault(feed, {})[ref] = trimmed
        return True

    def drop(self, ref: Ref, uid: str | None = None) -> bool:
        """Forget an object, if it is the one with the uid; return whether it was known."""
        known = self._objects.get(ref)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return False
        del self._objects[ref]
        owner = backfill_of(known)
        if owner is not None:
            _discard(self._owned, owner, ref)
            self._count_workers(owner)
            return True
        feed = feed_of(known)
        if feed is not None:
            _discard(self._children, feed, ref)
            self._referring.get(feed, set()).discard(ref)
        return True

    def drop_pod(self, obj: Manifest) -> None:
        """Forget a Pod."""
        owner = backfill_of(obj)
        if owner is not None:
            _discard(self._backfill_pods, owner, obj["metadata"]["name"])
            return
        feed = feed_of(obj)
        if feed is not None:
            _discard(self._pods, feed, obj["metadata"]["name"])

    def drop_missing(
        self, kind: str, namespace: str, listed: Collection[Ref], version: int
    ) -> list[Manifest]:
        """Forget what a list does not have though it is older than the list; return it.

        An empty namespace stands for all of them.
        """
        if kind == "Pod":
            self._drop_missing_pods(namespace, listed, version)
            return []
        missing = [
            obj
            for ref, obj in self._objects.items()
            if ref.kind == kind
            and ref not in listed
            and namespace in ("", ref.namespace)
            and version_of(obj) <= version
        ]
        for obj in missing:
            self.drop(ref_of(obj))
        return missing

    def _drop_missing_pods(self, namespace: str, listed: Collection[Ref], version: int) -> None:
        for feed, pods in list(self._pods.items()):
            for name, pod in list(pods.items()):
                listing = Ref("Pod", feed[0], name) in listed or pod.version > version
                if namespace in ("", feed[0]) and not listing:
                    _discard(self._pods, feed, name)
        for owner, workers in list(self._backfill_pods.items()):
            for name, worker in list(workers.items()):
                listing = Ref("Pod", owner[0], name) in listed or worker.version > version
                if namespace in ("", owner[0]) and not listing:
                    _discard(self._backfill_pods, owner, name)

    def get(self, ref: Ref) -> Manifest | None:
        """Return an object, or None."""
        return self._objects.get(ref)

    def children(self, feed: Feed) -> Mapping[Ref, Manifest]:
        """Return the children of a FeedSource."""
        return self._children.get(feed, {})

    def owned(self, backfill: Owner) -> Mapping[Ref, Manifest]:
        """Return the children of a Backfill."""
        return self._owned.get(backfill, {})

    def running_workers(self) -> Mapping[Owner, int]:
        """Return how many workers each Backfill's Jobs have at once."""
        return self._running

    def backfill_pods(self) -> dict[Owner, tuple[BackfillPod, ...]]:
        """Return the Pods of each Backfill."""
        return {owner: self.pods_of_backfill(owner) for owner in self._backfill_pods}

    def pods_of_backfill(self, backfill: Owner) -> tuple[BackfillPod, ...]:
        """Return the Pods of one Backfill, by name."""
        pods = self._backfill_pods.get(backfill, {})
        return tuple(pods[name].view for name in sorted(pods))

    def referring(self, feed: Feed, kind: Kind) -> tuple[Manifest, ...]:
        """Return the resources of a kind that refer to a FeedSource, by name."""
        refs = sorted(ref for ref in self._referring.get(feed, ()) if ref.kind == kind.value)
        return tuple(self._objects[ref] for ref in refs)

    def resources(self, kind: Kind) -> tuple[Manifest, ...]:
        """Return all resources of a kind."""
        return tuple(obj for ref, obj in self._objects.items() if ref.kind == kind.value)

    def refs(self, kind: str) -> tuple[Ref, ...]:
        """Return where all known objects of a kind live."""
        return tuple(ref for ref in self._objects if ref.kind == kind)

    def counts(self) -> dict[str, int]:
        """Return the number of objects by kind."""
        found: dict[str, int] = {}
        for ref in self._objects:
            found[ref.kind] = found.get(ref.kind, 0) + 1
        return found

    def pods(self, feed: Feed) -> dict[str, tuple[PodView, ...]]:
        """Return the Pods of a FeedSource by worker, newest first."""
        workers: dict[str, list[PodView]] = {}
        for pod in self._pods.get(feed, {}).values():
            workers.setdefault(pod.worker, []).append(pod.view)
        return {
            worker: tuple(sorted(pods, key=_youth, reverse=True))
            for worker, pods in workers.items()
        }

    def _count_workers(self, owner: Owner) -> None:
        jobs = (parse_job(job) for ref, job in self.owned(owner).items() if ref.kind == "Job")
        workers = sum(min(job.parallelism, job.workers) for job in jobs if job.working)
        if workers:
            self._running[owner] = workers
        else:
            self._running.pop(owner, None)

    def _put_backfill_pod(self, owner: Owner, obj: Manifest) -> bool:
        view, version = parse_backfill_pod(obj), version_of(obj)
        pods = self._backfill_pods.setdefault(owner, {})
        known = pods.get(view.name)
        if known is not None and known.version > version:
            return False
        pods[view.name] = _BackfillPod(view, version)
        return known is None or known.view != view

    def _put_pod(self, obj: Manifest) -> bool:
        owner = backfill_of(obj)
        if owner is not None:
            return self._put_backfill_pod(owner, obj)
        labels = obj["metadata"].get("labels", {})
        feed = feed_of(obj)
        shard = labels.get(LABEL_SHARD, "")
        if feed is None or not shard.isdecimal():
            return False
        view = parse_pod(obj)
        worker = worker_name(feed[1], labels.get(LABEL_ACCOUNT, ""), int(shard))
        pods = self._pods.setdefault(feed, {})
        known = pods.get(view.name)
        version = version_of(obj)
        if known is not None and known.version > version:
            return False
        pods[view.name] = _Pod(worker, view, version)
        return known is None or known.view != view


def feed_of(obj: Manifest) -> Feed | None:
    """Return the FeedSource an object belongs to or refers to, or None."""
    metadata = obj["metadata"]
    if obj["kind"] == Kind.FEED_SOURCE.value:
        return None
    if obj["kind"] in RESOURCE_KINDS:
        name = (obj.get("spec") or {}).get("feedSourceRef", {}).get("name")
    elif backfill_of(obj) is not None:
        return None
    else:
        name = metadata.get("labels", {}).get(LABEL_FEED_SOURCE)
    return (metadata.get("namespace", ""), name) if name else None


def backfill_of(obj: Manifest) -> Owner | None:
    """Return the Backfill an object is a child of, or None."""
    metadata = obj["metadata"]
    name = metadata.get("labels", {}).get(LABEL_BACKFILL)
    if not name or obj["kind"] in RESOURCE_KINDS:
        return None
    return metadata.get("namespace", ""), name


def version_of(obj: Manifest) -> int:
    """Return an object's version; they are numbers that grow, for objects of one kind."""
    text = obj["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdecimal() else 0


def parse_all(objects: Iterable[Manifest], kind: str, api_version: str) -> list[Manifest]:
    """Return listed objects with the kind and version that lists leave out."""
    return [{"apiVersion": api_version, "kind": kind, **obj} for obj in objects]


def _is_newer(obj: Manifest, known: Manifest) -> bool:
    # Of two objects of one name, the one made later has the greater version as well.
    return version_of(obj) > version_of(known)


def _trim(obj: Manifest) -> Manifest:
    # What nobody asks for is most of an object: who set which field, and a Deployment's status.
    # A Job's status is how a run ended.
    metadata: dict[str, Any] = dict(obj["metadata"])
    metadata.pop("managedFields", None)
    trimmed = {**obj, "metadata": metadata}
    if obj["kind"] not in RESOURCE_KINDS and obj["kind"] != "Job":
        trimmed.pop("status", None)
    return trimmed


def _discard(table: dict[Feed, Any], feed: Feed, key: object) -> None:
    entries = table.get(feed)
    if entries is not None:
        entries.pop(key, None)
        if not entries:
            del table[feed]


def _youth(pod: PodView) -> tuple[bool, str, str]:
    return (not pod.deleting, pod.created.isoformat() if pod.created else "", pod.name)
