"""Everything listed: once before anything is reconciled, and again now and then.

kopf's own way to hold handlers back until all was listed wakes every waiting object for each one
that arrives, which is minutes at some thousand objects; and after a watch had to begin anew it
never tells what was deleted in between. So the lists are ours, and the watches follow them.
"""

import asyncio
from typing import Final

from feedplane_api.names import LABEL_MANAGED_BY, MANAGED_BY, Kind
from feedplane_operator.cache import Cache, parse_all
from feedplane_operator.cluster import PATHS, Cluster
from feedplane_operator.controller import Controller
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.errors import ClusterError
from feedplane_operator.events import LogEvent
from feedplane_operator.log import get_log
from feedplane_operator.observe import Observer

RELIST_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 1.0
# Resources come last: when one is looked at, all that stands around it is known.
CHILD_KINDS: Final = (
    "ConfigMap",
    "Deployment",
    "Job",
    "Lease",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
)
_LOG = get_log("lister")


class Lister:
    """Brings the cache in line with the cluster."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        controller: Controller,
        observer: Observer,
        namespaces: tuple[str, ...],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._controller = controller
        self._observer = observer
        self._scopes = namespaces or ("",)

    async def run(self, listed: asyncio.Event) -> None:
        """List everything, say so, and list it again from time to time, for ever."""
        while True:
            try:
                await self.list_all()
            except ClusterError as error:
                _LOG.warning(LogEvent.LIST_FAILED, error=error)
            else:
                listed.set()
            await asyncio.sleep(RELIST_SECONDS if listed.is_set() else RETRY_SECONDS)

    async def list_all(self) -> None:
        """List everything once, and ask for whatever turned out to be other than was known.

        Raises:
            ClusterError: something could not be listed; what was listed is kept.
        """
        news: list[Manifest] = []
        for kind in (*CHILD_KINDS, *(kind.value for kind in reversed(Kind))):
            for scope in self._scopes:
                news += await self.list_kind(kind, scope)
        for obj in news:
            self._controller.saw(obj)

    async def list_kind(self, kind: str, scope: str) -> list[Manifest]:
        """List one kind, and return what is new, changed or gone."""
        ours = kind in CHILD_KINDS
        labels = f"{LABEL_MANAGED_BY}={MANAGED_BY}" if ours else ""
        news: list[Manifest] = []
        seen: set[Ref] = set()
        version = 0
        async for items, version_text in self._cluster.pages(kind, scope, labels=labels):
            version = version or int(version_text)
            for obj in parse_all(items, kind, PATHS[kind][0]):
                seen.add(ref_of(obj))
                if self._cache.put(obj):
                    news.append(obj)
        # What was made after the list began is not missing from it.
        for gone in self._cache.drop_missing(kind, scope, seen, version):
            _LOG.info(LogEvent.GHOST_DROPPED, kind=kind, name=gone["metadata"]["name"])
            self.forget(gone)
            news.append(gone)
        return news

    def forget(self, obj: Manifest) -> None:
        """Drop everything about an object that is gone."""
        if obj["kind"] == "Pod":
            self._cache.drop_pod(obj)
            return
        self._cache.drop(ref_of(obj), obj["metadata"].get("uid"))
        place = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if obj["kind"] == Kind.FEED_SOURCE.value:
            self._observer.forget(place)
        elif obj["kind"] == Kind.BACKFILL.value:
            self._observer.forget_backfill(place)
